"""The online tracker: one target through a stream of images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.crops import SearchWindow
from stif_core.geometry import FloatArray, check_target_box, clip_box, inside
from stif_core.runtime.backend import Backend, load_backend
from stif_core.tracking.appearance import Appearance
from stif_core.tracking.distractors import Distractors
from stif_core.tracking.locator import SMALLEST_BOX, Locator, Sighting
from stif_core.tracking.memory import MemoryBank, MemoryFrame
from stif_core.tracking.motion import CameraMotion, CutDetector, move_box
from stif_core.tracking.passes import Steps, run
from stif_core.tracking.reacquire import Candidate, Reacquisition
from stif_core.tracking.search import TargetSketch, WholeImageSearch
from stif_core.tracking.settings import TrackerSettings
from stif_core.tracking.states import StateMachine, TrackState
from stif_core.weights import DEFAULT_MODEL, find_model

APPEARANCE_INTERVAL = 3  # of so many frames in TRACKING the target's looks are learned in one
DOUBT = 6  # frames in TRACKING after a cut in which the looks are checked
STRANGE_LOOKS = 2  # so many in a row that are not the target's end TRACKING
AMBIGUOUS = 0.49  # of the probability is left while the target and another are seen as one
ABSENT = 3  # frames in a row without the target from which on it is looked for elsewhere
PLAUSIBLE = 0.5  # belief in the looks of a box below which the target may clearly not be there
SAME_ASPECT = 0.02  # relative change of the image's aspect ratio up to which a new resolution is a mere scaling


@dataclass(frozen=True)
class TrackResult:
    """What is known of the target in one image.

    Attributes:
        box: xywh in image pixels; while LOST where the target was last seen, NaN if nothing is known of that.
        score: Probability that the box is right (see ``Calibration``); while LOST, that the candidate in the window
            searched in this image is the target.
        raw_score: Of the network for the best candidate in this image, 0 to 1.
        state: Whether to believe it.
    """

    box: FloatArray
    score: float
    raw_score: float
    state: TrackState


class Tracker:
    """Follows one target. Images are (H, W, 3) uint8 BGR, boxes xywh in pixels."""

    def __init__(self, backend: Backend, settings: TrackerSettings | None = None) -> None:
        self.backend = backend
        self.settings = settings or TrackerSettings()
        self._locator = Locator(backend.config)
        self._camera = CameraMotion()
        self._cuts = CutDetector()
        self._bank: MemoryBank | None = None

    @classmethod
    def load(
        cls,
        model: str = DEFAULT_MODEL,
        backend: str = "auto",
        threads: int = 0,
        log: Callable[[str], None] = lambda line: None,
    ) -> "Tracker":
        """A tracker with a shipped model, or one given by the path of its JSON file; see ``load_backend``.

        Raises:
            ValueError: The model or the backend is not there; says what to do.
        """
        files = find_model(model)
        settings = TrackerSettings.from_dict(files.description().get("tracking", {}))
        return cls(load_backend(files, backend, threads, log), settings)

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> TrackResult:
        """Takes a new target, and forgets the one before; returns the box as it was given, with score 1.

        Raises:
            ValueError: The image is not (H, W, 3) uint8, or the box has no area or lies outside.
        """
        return run(self.backend, self.init_steps(image, box))

    def track(self, image: NDArray[np.uint8]) -> TrackResult:
        """Finds the target in the next image.

        Raises:
            RuntimeError: ``init`` was not called.
            ValueError: The image is not (H, W, 3) uint8.
        """
        return run(self.backend, self.track_steps(image))

    def init_steps(self, image: NDArray[np.uint8], box: ArrayLike) -> Steps[TrackResult]:
        """``init`` as steps, for ``run_together``."""
        height, width = _check_image(image)
        self._box = clip_box(check_target_box(box, width, height), width, height, SMALLEST_BOX)
        self._image_size = (width, height)
        self._index = 0
        self._states = StateMachine()
        self._seen_box = self._box  # where it was last in TRACKING
        self._usual_score: float | None = None  # of the frames in TRACKING; None before the first
        self._reacquisition: Reacquisition | None = None  # while the target is missing
        self._doubt = 0  # frames for which its looks are still checked
        self._strange = 0  # checks in a row at which it did not look like itself
        self._misplaced = False  # the box says nothing about where the target was
        self._distractors = Distractors(self._box)
        self._camera.forget()
        self._cuts.forget()
        self._cuts.update(image)
        self._appearance = Appearance.of(image, self._box)
        self._sketch = TargetSketch.of(image, self._box)
        initial = yield from self._locator.memorize(image, self._box)
        self._bank = MemoryBank(initial, self.settings.memory_capacity)
        self._initial_memory = yield from self._locator.enhance(self._bank)
        self._memory = self._initial_memory  # enhanced, until the bank changes
        return TrackResult(self._box.copy(), 1.0, 1.0, self._states.state)

    def track_steps(self, image: NDArray[np.uint8]) -> Steps[TrackResult]:
        """``track`` as steps, for ``run_together``."""
        if self._bank is None:
            raise RuntimeError("the tracker has no target: call init(image, box) first")
        height, width = _check_image(image)
        self._index += 1
        if (width, height) != self._image_size:
            self._follow_resolution(width, height)
        if self.settings.reacquire and self._states.state == TrackState.LOST:
            return (yield from self._search(image))
        return (yield from self._follow(image))

    @property
    def usual_score(self) -> float:
        """What the network's score usually is for this target, within the bounds of the settings."""
        usual = self.settings.usual_high if self._usual_score is None else self._usual_score
        return float(np.clip(usual, self.settings.usual_low, self.settings.usual_high))

    def move_to(self, box: ArrayLike) -> None:
        """Looks for the target around this box (xywh) in the next image, UNCERTAIN; what is remembered of it stays."""
        if self._bank is None:
            raise RuntimeError("the tracker has no target: call init(image, box) first")
        self._box = clip_box(check_target_box(box, *self._image_size), *self._image_size, SMALLEST_BOX)
        self._seen_box = self._box
        self._states = StateMachine(TrackState.UNCERTAIN)
        self._reacquisition, self._doubt = None, 0
        self._distractors = Distractors(self._box)

    def _follow(self, image: NDArray[np.uint8]) -> Steps[TrackResult]:
        """Looks around the last box, and elsewhere too once the target is clearly not there."""
        if self._reacquisition is not None:
            self._follow_camera(image)
        window = SearchWindow.around(self._box, self._locator.crop_size)
        sighting = yield from self._locator.locate(
            image, window, self._box[2:], self._memory, self.settings, self.settings.distractors
        )
        clear = True
        if self.settings.distractors:
            sighting, clear = self._tell_apart(image, sighting)
        if self._usual_score is None:
            self._usual_score = sighting.score
        probability = self._probability(sighting.score) * (1.0 if clear else AMBIGUOUS)
        belief = self._belief(image, sighting.box, probability) if self.settings.reacquire else 1.0
        absent = probability < self.settings.absent_probability and belief < PLAUSIBLE
        if self._doubt > 0 or self._states.state == TrackState.TRACKING:
            probability *= belief
        doubted = self._doubt > 0 or self._reacquisition is not None
        merged = not clear and sighting.score > 0
        state = self._states.unsure() if merged else self._states.see(probability, self.settings, absent, doubted)
        self._box = sighting.box
        if state == TrackState.TRACKING:
            self._reacquisition = None
            yield from self._take(image, sighting, probability)
            return self._result(probability, sighting.score)
        if self.settings.reacquire and self._states.absent >= ABSENT and self._reacquisition is None:
            self._begin_search(image)
        elsewhere = self.settings.search_windows - 1 if self._reacquisition is not None else 0
        if elsewhere and (found := (yield from self._look_elsewhere(image, elsewhere))):
            return self._result(found.merit, found.sighting.score)
        if state == TrackState.LOST:
            # The guesses since then are worth nothing.
            self._box = clip_box(self._seen_box, *self._image_size, SMALLEST_BOX)
        return self._result(probability, sighting.score)

    def _tell_apart(self, image: NDArray[np.uint8], sighting: Sighting) -> tuple[Sighting, bool]:
        """What continues the target's track among all that resembles it, and whether that is certain."""
        chosen, clear = self._distractors.choose(image, sighting, self.usual_score, self._appearance)
        if chosen is sighting:
            return sighting, clear
        return replace(chosen, box=clip_box(chosen.box, *self._image_size, SMALLEST_BOX)), clear

    def _belief(self, image: NDArray[np.uint8], box: FloatArray, probability: float) -> float:
        """Whether the box holds the target by its looks, 0 to 1; in TRACKING 1 while there is no cause to doubt.

        Looks that change are no cause: a helicopter that turns is the same one. A cut is, and a weak score: what is
        seen then may be another.
        """
        tracking = self._states.state == TrackState.TRACKING
        if self._cuts.update(image):
            self._doubt, self._strange = DOUBT, 0
        if tracking and self._doubt == 0 and probability >= self.settings.tracking_probability:
            self._strange = 0
            # The half of a target that walks out of the view is not what it usually looks like.
            sure = probability >= self.settings.memory_probability and inside(box, *self._image_size)
            if sure and self._index % APPEARANCE_INTERVAL == 0:
                self._appearance.learn(self._appearance.likeness(image, box))
            return 1.0
        belief = self._appearance.belief(self._appearance.likeness(image, box))
        if not tracking:
            return belief
        self._doubt = max(0, self._doubt - 1)
        # Once may be an accident, such as somebody who passes in front.
        self._strange = self._strange + 1 if belief == 0 else 0
        return 1.0 if self._strange < STRANGE_LOOKS else 0.0

    def _search(self, image: NDArray[np.uint8]) -> Steps[TrackResult]:
        """Looks everywhere for a LOST target, some windows an image."""
        if self._reacquisition is None:
            self._begin_search(image)
        assert self._reacquisition is not None
        search = self._reacquisition
        self._follow_camera(image)
        self._box = clip_box(self._seen_box, *self._image_size, SMALLEST_BOX)
        found = yield from self._look_elsewhere(image, self.settings.search_windows)
        candidate = found or search.candidate
        if candidate is None:
            return self._result(0.0, 0.0)
        return self._result(candidate.merit, candidate.sighting.score)

    def _begin_search(self, image: NDArray[np.uint8]) -> None:
        self._camera.forget()
        self._camera.update(image)
        windows = WholeImageSearch(self._sketch, self._seen_box[2:], self._locator.crop_size, self.settings)
        self._reacquisition = Reacquisition(self._locator, self._initial_memory, self._appearance, windows)

    def _follow_camera(self, image: NDArray[np.uint8]) -> None:
        """What was seen where before moves with the image."""
        assert self._reacquisition is not None
        camera = self._camera.update(image)
        self._box = clip_box(move_box(camera, self._box), *self._image_size, SMALLEST_BOX)
        self._seen_box = move_box(camera, self._seen_box)  # may be out of view, until the camera turns back
        self._reacquisition.move(camera)
        self._distractors.move(camera)

    def _look_elsewhere(self, image: NDArray[np.uint8], count: int) -> Steps[Candidate | None]:
        """Looks into some windows of the whole image; the target if they confirm it, which is TRACKING then."""
        search = self._reacquisition
        assert search is not None
        found = yield from search.step(image, self._seen_box, count, self._probability, self.settings)
        if found is None:
            return None
        self._states.found()
        self._reacquisition, self._doubt, self._strange = None, 0, 0
        self._box = found.sighting.box
        self._distractors = Distractors(self._box)
        yield from self._take(image, found.sighting, found.merit)
        return found

    def _take(self, image: NDArray[np.uint8], sighting: Sighting, probability: float) -> Steps[None]:
        """The target was seen: learns from it."""
        self._seen_box = sighting.box
        self._misplaced = False
        if self._usual_score is None:
            self._usual_score = sighting.score
        self._usual_score += self.settings.usual_rate * (sighting.score - self._usual_score)
        yield from self._remember(image, probability)

    def _probability(self, score: float) -> float:
        return float(self.settings.calibration.probability(score, self.usual_score))

    def _result(self, probability: float, score: float) -> TrackResult:
        box = np.full(4, np.nan) if self._misplaced else self._box.copy()
        return TrackResult(box, probability, score, self._states.state)

    def _remember(self, image: NDArray[np.uint8], probability: float) -> Steps[None]:
        assert self._bank is not None
        due = self._index - self._bank.newest >= self.settings.memory_interval
        if self.settings.memory_capacity > 1 and due and probability >= self.settings.memory_probability:
            feature = yield from self._locator.memorize(image, self._box)
            self._bank.add(MemoryFrame(self._index, feature))
            self._memory = yield from self._locator.enhance(self._bank)

    def _follow_resolution(self, width: int, height: int) -> None:
        """Same aspect ratio: the box scales along. Another one: the target is LOST, searched around the middle."""
        old_width, old_height = self._image_size
        factor = np.array([width / old_width, height / old_height])
        self._image_size = (width, height)
        scale = np.tile(factor, 2)
        self._box, self._seen_box = self._box * scale, self._seen_box * scale
        self._reacquisition = None
        if abs(factor[0] / factor[1] - 1) > SAME_ASPECT:
            size = self._box[2:] / factor * np.sqrt(factor.prod())
            self._box = np.concatenate([np.array([width, height]) / 2 - size / 2, size])
            self._seen_box = self._box
            self._states.state, self._misplaced = TrackState.LOST, True
        self._distractors = Distractors(self._box)


def _check_image(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width of a valid image."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected an image (H, W, 3) of uint8 in BGR order, got {image.shape} of {image.dtype}")
    return image.shape[0], image.shape[1]
