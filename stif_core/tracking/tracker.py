"""The online tracker: one target through a stream of images."""

import itertools
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.crops import SearchWindow, foreground_map, plain_canvas
from stif_core.geometry import FloatArray, centre, check_target_box, clip_box, xyxy_to_xywh
from stif_core.runtime.backend import Backend, load_backend
from stif_core.tracking.memory import MemoryBank, MemoryFrame
from stif_core.tracking.postprocess import Peak, best_cell
from stif_core.tracking.settings import TrackerSettings
from stif_core.weights import DEFAULT_MODEL, find_model

SMALLEST_BOX = 2.0  # pixels; a box never shrinks below it
SAME_ASPECT = 0.02  # relative change of the image's aspect ratio up to which a new resolution is a mere scaling


class TrackState(IntEnum):
    """Values as in ``stif_ros/msg/Track.msg``; a tracker without a target (IDLE, 0) gives no result."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


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
        self._search_offsets = search_offsets(self.settings.search_reach, self.settings.search_step)
        self._bank: MemoryBank | None = None

    @classmethod
    def load(cls, model: str = DEFAULT_MODEL, backend: str = "auto", threads: int = 0) -> "Tracker":
        """A tracker with a shipped model, or one given by the path of its JSON file.

        Raises:
            ValueError: The model or the backend is not there; says what to do.
        """
        files = find_model(model)
        settings = TrackerSettings.from_dict(files.description().get("tracking", {}))
        return cls(load_backend(files, backend, threads), settings)

    def init(self, image: NDArray[np.uint8], box: ArrayLike) -> TrackResult:
        """Takes a new target, and forgets the one before; returns the box as it was given, with score 1.

        Raises:
            ValueError: The image is not (H, W, 3) uint8, or the box has no area or lies outside.
        """
        height, width = _check_image(image)
        self._box = clip_box(check_target_box(box, width, height), width, height, SMALLEST_BOX)
        self._image_size = (width, height)
        self._index = 0
        self._state = TrackState.TRACKING
        self._seen_box = self._box  # where it was last in TRACKING
        self._unseen = 0  # frames in a row since then
        self._usual_score: float | None = None  # of the frames in TRACKING; None before the first
        self._visits = 0  # windows searched while LOST
        self._candidate: FloatArray | None = None  # where a LOST target may be
        self._confirmed = 0  # frames in a row in which it was seen there
        self._misplaced = False  # the box says nothing about where the target was
        self._bank = MemoryBank(self._memorize(image), self.settings.memory_capacity)
        return TrackResult(self._box.copy(), 1.0, 1.0, self._state)

    def track(self, image: NDArray[np.uint8]) -> TrackResult:
        """Finds the target in the next image.

        Raises:
            RuntimeError: ``init`` was not called.
            ValueError: The image is not (H, W, 3) uint8.
        """
        if self._bank is None:
            raise RuntimeError("the tracker has no target: call init(image, box) first")
        height, width = _check_image(image)
        self._index += 1
        if (width, height) != self._image_size:
            self._follow_resolution(width, height)
        anchor = self._box if self._candidate is None else self._candidate
        window = SearchWindow.around(anchor, self.backend.config.crop_size)
        if self._state == TrackState.LOST and self._candidate is None:
            window = self._next_search_window(window)
        peak = self._find(image, window, anchor)
        box = self._smoothed(peak, window, anchor)
        box = clip_box(box, width, height, SMALLEST_BOX)
        if self._usual_score is None:
            self._usual_score = peak.score
        probability = float(self.settings.calibration.probability(peak.score, self.usual_score))
        self._update_state(probability, peak.score, box)
        if self._state == TrackState.TRACKING:
            self._remember(image, probability)
        box = np.full(4, np.nan) if self._misplaced else self._box.copy()
        return TrackResult(box, probability, peak.score, self._state)

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
        self._state, self._unseen = TrackState.UNCERTAIN, 0
        self._candidate, self._confirmed = None, 0

    def _next_search_window(self, around: SearchWindow) -> SearchWindow:
        """The next window to search for a LOST target; those that look past the image are left out."""
        width, height = self._image_size
        for _ in self._search_offsets:
            dx, dy = self._search_offsets[self._visits % len(self._search_offsets)]
            self._visits += 1
            x, y = around.x + dx * around.side, around.y + dy * around.side
            if 0 <= x <= width and 0 <= y <= height:
                return replace(around, x=x, y=y)
        return around

    def _find(self, image: NDArray[np.uint8], window: SearchWindow, anchor: FloatArray) -> Peak:
        assert self._bank is not None
        crop = window.sample(image, plain_canvas(image, window.size))
        memory = self._bank.select(self.backend.config.memory_frames)
        score, boxes = self.backend.track(_channels_first(crop), memory)
        return best_cell(score[0], boxes[0], anchor[2:] * window.scale, window.size, self.settings)

    def _smoothed(self, peak: Peak, window: SearchWindow, anchor: FloatArray) -> FloatArray:
        """The peak's box in the image, its size blended with the one before; the position is not smoothed."""
        found = window.to_image(xyxy_to_xywh(peak.box_xyxy))
        rate = peak.penalty * peak.score * self.settings.size_rate
        size = (1 - rate) * anchor[2:] + rate * found[2:]
        return np.concatenate([centre(found) - size / 2, size])

    def _update_state(self, probability: float, score: float, box: FloatArray) -> None:
        """UNCERTAIN when the box is likely wrong; LOST when that lasts; TRACKING when the target is seen again."""
        settings = self.settings
        doubtful, seen = probability < settings.uncertain_probability, probability >= settings.tracking_probability
        if self._state == TrackState.LOST and not self._confirmed_again(box, doubtful, seen):
            return
        if seen:
            self._state = TrackState.TRACKING
        elif doubtful and self._state == TrackState.TRACKING:
            self._state = TrackState.UNCERTAIN
        self._box = box
        if self._state == TrackState.TRACKING:
            self._seen_box = box
            assert self._usual_score is not None
            self._usual_score += settings.usual_rate * (score - self._usual_score)
            self._unseen, self._misplaced = 0, False
            return
        self._unseen += 1
        if self._unseen >= settings.lost_after:
            self._state, self._visits = TrackState.LOST, 0
            self._box = self._seen_box  # the guesses since then are worth nothing

    def _confirmed_again(self, box: FloatArray, doubtful: bool, seen: bool) -> bool:
        """Whether a LOST target was seen in several frames in a row; the first may find it near a window's edge."""
        if self._candidate is None:
            self._candidate = None if doubtful else box
            return False
        self._candidate, self._confirmed = (box, self._confirmed + 1) if seen else (None, 0)
        if self._confirmed < self.settings.confirm_frames:
            return False
        self._candidate, self._confirmed = None, 0
        return True

    def _remember(self, image: NDArray[np.uint8], probability: float) -> None:
        assert self._bank is not None
        due = self._index - self._bank.newest >= self.settings.memory_interval
        if self.settings.memory_capacity > 1 and due and probability >= self.settings.memory_probability:
            self._bank.add(MemoryFrame(self._index, self._memorize(image)))

    def _memorize(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        window = SearchWindow.around(self._box, self.backend.config.crop_size)
        crop = window.sample(image, plain_canvas(image, window.size))
        foreground = foreground_map(window.to_crop(self._box), window.size)
        return self.backend.memorize(_channels_first(crop), foreground[None, None])

    def _follow_resolution(self, width: int, height: int) -> None:
        """Same aspect ratio: the box scales along. Another one: the target is LOST, searched around the middle."""
        old_width, old_height = self._image_size
        factor = np.array([width / old_width, height / old_height])
        self._image_size = (width, height)
        scale = np.tile(factor, 2)
        self._box, self._seen_box = self._box * scale, self._seen_box * scale
        self._candidate, self._confirmed, self._visits = None, 0, 0
        if abs(factor[0] / factor[1] - 1) > SAME_ASPECT:
            size = self._box[2:] / factor * np.sqrt(factor.prod())
            self._box = np.concatenate([np.array([width, height]) / 2 - size / 2, size])
            self._state, self._misplaced = TrackState.LOST, True


def search_offsets(reach: float, step: float) -> list[tuple[float, float]]:
    """Where to look for a LOST target, one window a frame: squares around its last position, each larger than before.

    Every square is searched whole, so that what is near is looked at more often than what is far.

    Args:
        reach: Largest offset in x and y, in sides of the search window.
        step: Distance of neighbouring windows, in the same unit.
    """
    offsets = []
    for radius in range(1, max(1, int(reach / step)) + 1):
        axis = range(-radius, radius + 1)
        square = sorted(itertools.product(axis, axis), key=lambda ij: max(abs(ij[0]), abs(ij[1])))
        offsets += [(i * step, j * step) for i, j in square]
    return offsets


def _check_image(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width of a valid image."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected an image (H, W, 3) of uint8 in BGR order, got {image.shape} of {image.dtype}")
    return image.shape[0], image.shape[1]


def _channels_first(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(crop.transpose(2, 0, 1))[None]
