"""Finding a LOST target again: bounded work in each image, and no TRACKING before it was seen several times."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stif_core.crops import SearchWindow
from stif_core.geometry import FloatArray, centre, iou
from stif_core.tracking.appearance import Appearance
from stif_core.tracking.locator import Locator, Sighting
from stif_core.tracking.motion import move_box
from stif_core.tracking.passes import Steps
from stif_core.tracking.search import WholeImageSearch
from stif_core.tracking.settings import TrackerSettings

# Its looks may have changed for good: what the network is certain of is taken after 300 frames all the same.
CERTAIN, PATIENCE = 0.9, 0.01
SPREAD = 0.5  # how far from its last place a target may be, in sides of its window, when it was lost just now
SPREAD_RATE = 0.03  # and so much more with every frame
SAME_PLACE = 0.3  # IoU above which two boxes are of one thing


@dataclass(frozen=True)
class Candidate:
    """What may be the target.

    Attributes:
        sighting: Its newest box and score.
        probability: That this is the target, by the score.
        belief: That this is the target, by its looks (see ``Appearance``), 0 to 1.
        seen: Frames in a row in which it looked right; a doubtful one counts less.
    """

    sighting: Sighting
    probability: float
    belief: float
    seen: float

    @property
    def merit(self) -> float:
        return self.probability * self.belief


class Reacquisition:
    """The search for one target, from the frame in which it was lost."""

    def __init__(
        self,
        locator: Locator,
        enhanced: NDArray[np.float32],
        appearance: Appearance,
        search: WholeImageSearch,
    ) -> None:
        """
        Args:
            locator: The network.
            enhanced: The memory of the initial frame alone, see ``Locator.enhance``.
            appearance: What the target looked like in the initial frame.
            search: Orders the windows.
        """
        self._locator, self._enhanced, self._appearance, self._search = locator, enhanced, appearance, search
        self._frames = 0
        self.candidate: Candidate | None = None

    def move(self, camera: FloatArray) -> None:
        """Moves the candidate with the image; ``camera`` is its motion since the image before, (2, 3)."""
        if self.candidate is not None:
            sighting = self.candidate.sighting
            moved = replace(sighting, box=move_box(camera, sighting.box))
            self.candidate = replace(self.candidate, sighting=moved)

    def step(
        self,
        image: NDArray[np.uint8],
        expected: FloatArray,
        count: int,
        probability: Callable[[float], float],
        settings: TrackerSettings,
    ) -> Steps[Candidate | None]:
        """Looks into ``count`` windows of the next image; the candidate once it is confirmed.

        Args:
            image: (H, W, 3) BGR.
            expected: Where the target is expected, xywh.
            count: One or more.
            probability: From a score to the probability that the target is there.
            settings: Parameters.
        """
        self._frames += 1
        followed = None
        if self.candidate is not None:
            count -= 1
            box = self.candidate.sighting.box
            window = SearchWindow.around(box, self._locator.crop_size)
            sighting = yield from self._locator.locate(image, window, box[2:], self._enhanced, settings)
            followed = self._judge(image, sighting, probability, self.candidate.seen)
        other = yield from self._look_around(image, expected, count, probability, settings)
        self.candidate = self._better(followed, other, settings)
        if self.candidate is not None and self.candidate.seen >= settings.confirm_frames:
            return self.candidate
        return None

    def _look_around(
        self,
        image: NDArray[np.uint8],
        expected: FloatArray,
        count: int,
        probability: Callable[[float], float],
        settings: TrackerSettings,
    ) -> Steps[Candidate | None]:
        """The best of some windows."""
        side = SearchWindow.around(expected, self._locator.crop_size).side
        reach = side * (SPREAD + SPREAD_RATE * self._frames)
        anywhere = replace(settings, window=0.0)
        best = None
        for window, size in self._search.next_windows(image, centre(expected), reach, count):
            sighting = yield from self._locator.locate(image, window, size, self._enhanced, anywhere)
            if best is None or sighting.score > best.score:
                best = sighting
        return None if best is None else self._judge(image, best, probability, 0)

    def _judge(
        self, image: NDArray[np.uint8], sighting: Sighting, probability: Callable[[float], float], seen: float
    ) -> Candidate:
        belief = self._appearance.belief(self._appearance.likeness(image, sighting.box))
        chance = probability(sighting.score)
        if chance >= CERTAIN:
            belief = max(belief, PATIENCE)
        return Candidate(sighting, chance, belief, seen)

    def _better(
        self, followed: Candidate | None, other: Candidate | None, settings: TrackerSettings
    ) -> Candidate | None:
        """The followed candidate, while it looks right and no other looks better."""
        if followed is not None and followed.belief > 0 and followed.probability >= settings.tracking_probability:
            better = other is not None and other.merit > followed.merit
            if other is None or not better or iou(other.sighting.box, followed.sighting.box) > SAME_PLACE:
                return replace(followed, seen=followed.seen + followed.belief)
        if other is not None and other.belief > 0 and other.probability >= settings.uncertain_probability:
            return other
        return None
