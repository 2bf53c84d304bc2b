"""From image messages to tracking results: the history, the newest-frame slot, the worker, the target.

The way of an image: ``add_image`` (the executor's thread) puts it into the history and the slot; ``_process`` (the
worker's thread) takes the newest, converts it, tracks, and hands the outcome to ``publish``.
"""

import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.tracking import Tracker, TrackResult, TrackState
from stif_ros.history import Frame, FrameHistory
from stif_ros.newest import NewestWorker
from stif_ros.statistics import Counters, TransportLoss
from stif_ros.target import TargetRequest

DEFAULT_TARGET_ID = "target"


@dataclass(frozen=True)
class PipelineSettings:
    """Values of the node's parameters of the same names."""

    history_seconds: float = 2.0
    history_megabytes: float = 256.0
    catch_up_seconds: float = 0.5


@dataclass(frozen=True)
class Outcome:
    """What the tracker found in one image.

    Attributes:
        message: The image message.
        image: (H, W, 3) BGR.
        result: None while there is no target.
        target_id: Empty while there is no target.
        unseen_ns: Time between the stamps of the last image in which the target was seen and this one.
        skipped: Images that were passed over since the outcome before.
        track_ms: Time that the tracker took.
    """

    message: Any
    image: NDArray[np.uint8]
    result: TrackResult | None
    target_id: str
    unseen_ns: int
    skipped: int
    track_ms: float


@dataclass(frozen=True)
class _Pending:
    """A request and, once it is here, the image it belongs to."""

    request: TargetRequest
    frame: Frame | None = None


class TrackingPipeline:
    """Tracks one target through a stream of image messages; every method may be called from any thread."""

    def __init__(
        self,
        tracker: Tracker,
        convert: Callable[[Any], NDArray[np.uint8]],
        publish: Callable[[Outcome], None],
        problem: Callable[[str, str], None],
        settings: Callable[[], PipelineSettings] = PipelineSettings,
    ) -> None:
        """
        Args:
            tracker: Used by the worker's thread alone.
            convert: Image message -> (H, W, 3) BGR; raises ValueError for one that it cannot convert.
            publish: Takes each outcome, in the worker's thread; must not raise.
            problem: Takes the kind of a problem ("image", "time", "target" or "defect") and a line about it.
            settings: Gives the values that hold now.
        """
        self.counters = Counters()
        self.transport = TransportLoss()
        self._tracker = tracker
        self._convert = convert
        self._publish = publish
        self._problem = problem
        self._settings = settings
        self._lock = threading.Lock()  # guards the history, the pending request and the wish to reset
        self._history = FrameHistory(settings().history_seconds, settings().history_megabytes)
        self._pending: _Pending | None = None  # a newer request takes the place of one that still waits
        self._target_id = ""
        self._image_size: tuple[int, int] | None = None
        self._result: TrackResult | None = None
        self._last_seen_ns = 0
        self._reset_asked = False
        self._skipped = 0  # images passed over since the last outcome
        self._serial = 0
        self._worker: NewestWorker[Frame] | None = None

    @property
    def running(self) -> bool:
        return self._worker is not None

    @property
    def state(self) -> str:
        """Name of the track's state."""
        result = self._result
        return "IDLE" if result is None else result.state.name

    def start(self) -> None:
        """Begins to work on images, with fresh counters; a target from before goes on."""
        self.counters, self.transport = Counters(), TransportLoss()
        with self._lock:
            self._history.clear()
        self._worker = NewestWorker(self._work)

    def stop(self) -> None:
        """Returns when the image in work is done; the target stays, a request that still waits is dropped."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        with self._lock:
            self._pending = None
        self._skipped = 0

    def add_image(self, message: Any) -> None:
        """Takes an image message; never waits for the tracker."""
        worker = self._worker
        if worker is None:
            return
        stamp = message.header.stamp
        with self._lock:
            self._serial += 1
            frame = Frame(self._serial, stamp.sec * 1_000_000_000 + stamp.nanosec, message)
            self.counters.received += 1
            self._keep(frame)
            # A request for "the next image" means this one, even if the worker takes a newer one first.
            pending = self._pending
            if pending is not None and pending.request.stamp_ns is None and pending.frame is None:
                self._pending = replace(pending, frame=frame)
        worker.put(frame)

    def _keep(self, frame: Frame) -> None:
        newest = self._history.newest_ns
        if newest is not None and frame.stamp_ns < newest:
            self._problem(
                "time",
                f"the images' time ran backwards by {(newest - frame.stamp_ns) / 1e9:.3f} s: "
                "the images before are forgotten, tracking goes on",
            )
            self._history.clear()
            self.transport.restart()
        elif newest is not None:
            self.transport.arrived(frame.stamp_ns - newest)
        settings = self._settings()
        self._history.seconds, self._history.megabytes = settings.history_seconds, settings.history_megabytes
        self._history.add(frame)

    def set_target(self, request: TargetRequest) -> tuple[str, str]:
        """Queues a target.

        Returns:
            Its id, and what will happen.

        Raises:
            ValueError: The pipeline does not run, the box does not fit the image, or the image is gone.
        """
        worker = self._worker
        if worker is None:
            raise ValueError("the node is not active")
        with self._lock:
            if self._image_size is not None:
                request.pixels(*self._image_size)
            pending = _Pending(request)
            text = "tracking starts with the next image"
            if request.stamp_ns is not None:
                pending, text = self._find_image(pending, request.stamp_ns)
            self._pending = pending
            target_id = request.target_id or self._target_id or DEFAULT_TARGET_ID
        worker.wake()
        return target_id, text

    def _find_image(self, pending: _Pending, stamp_ns: int) -> tuple[_Pending, str]:
        """Binds a request to the image with its stamp. Raises ValueError if that is gone."""
        oldest, newest = self._history.oldest_ns, self._history.newest_ns
        if oldest is None or newest is None:
            return pending, "tracking starts when the image with this stamp arrives"
        age = (newest - stamp_ns) / 1e9
        frame = self._history.at(stamp_ns)
        if frame is not None:
            return replace(pending, frame=frame), f"tracking starts from an image {age:.3f} s old"
        if stamp_ns > newest:
            return pending, "tracking starts when the image with this stamp arrives"
        if stamp_ns < oldest:
            raise ValueError(
                f"the image with this stamp is {age:.3f} s older than the newest, and images are kept for "
                f"{(newest - oldest) / 1e9:.3f} s only (parameters history_seconds and history_megabytes)"
            )
        raise ValueError(f"no image has this stamp ({age:.3f} s before the newest): use the stamp of one received")

    def reset(self) -> None:
        """Forgets the target and what was asked for, before the next image is tracked."""
        worker = self._worker
        with self._lock:
            self._pending = None
            self._reset_asked = True
        if worker is None:
            self._take_request(None, None)
        else:
            worker.wake()

    # -- the worker's thread

    def _work(self, frame: Frame | None, replaced: int) -> None:
        self.counters.skipped += replaced
        self._skipped += replaced
        try:
            if frame is None:  # woken by a request
                self._take_request(None, None)
                return
            outcome = self._process(frame)
        except Exception:  # the node must outlive a defect in one image's way; the traceback goes to the log
            self.counters.refused += frame is not None
            self._problem("defect", f"internal error, please report it:\n{traceback.format_exc()}")
            return
        if outcome is None:
            self.counters.refused += 1
            return
        self._skipped = 0
        self.counters.track_done(outcome.track_ms)
        self._publish(outcome)

    def _process(self, frame: Frame) -> Outcome | None:
        """Tracks in one image; None for an image that cannot be used."""
        image = self._image(frame)
        if image is None:
            return None
        begin = time.perf_counter()
        result = self._take_request(frame, image)
        if result is None and self._target_id:
            result = self._tracker.track(image)
        track_ms = (time.perf_counter() - begin) * 1000
        self._result = result
        if result is not None and result.state == TrackState.TRACKING:
            self._last_seen_ns = frame.stamp_ns
        unseen_ns = 0 if result is None else max(0, frame.stamp_ns - self._last_seen_ns)
        return Outcome(frame.message, image, result, self._target_id, unseen_ns, self._skipped, track_ms)

    def _image(self, frame: Frame) -> NDArray[np.uint8] | None:
        try:
            image = self._convert(frame.message)
        except ValueError as error:
            self._problem("image", f"image refused: {error}")
            return None
        self._image_size = (image.shape[1], image.shape[0])
        return image

    def _take_request(self, frame: Frame | None, image: NDArray[np.uint8] | None) -> TrackResult | None:
        """Carries out what was asked for up to this frame; a result if the target was set in this very image."""
        with self._lock:
            if self._reset_asked:
                self._reset_asked, self._target_id, self._result = False, "", None
            due = self._due(frame)
        if due is None:
            return None
        request, start = due
        start_image = image if start is frame else self._image(start)
        if start_image is None:
            self._problem("target", "target refused: its image could not be used")
            return None
        try:
            box = request.pixels(start_image.shape[1], start_image.shape[0])
        except ValueError as error:
            self._problem("target", f"target refused: {error}")
            return None
        self._result = self._tracker.init(start_image, box)
        self._target_id, self._last_seen_ns = request.target_id or self._target_id or DEFAULT_TARGET_ID, start.stamp_ns
        if start is frame:
            return self._result
        self._catch_up(start, frame)
        return None

    def _due(self, frame: Frame | None) -> tuple[TargetRequest, Frame] | None:
        """Takes the pending request if its image is here, and drops it if that will not come any more."""
        pending = self._pending
        if pending is None:
            return None
        stamp_ns, start = pending.request.stamp_ns, pending.frame
        if start is None and stamp_ns is not None:
            start = self._history.at(stamp_ns)
            if start is None and (self._history.newest_ns or 0) > stamp_ns:
                self._problem("target", "target refused: no image with its stamp arrived")
                self._pending = None
        if start is None or (frame is not None and start.serial > frame.serial):
            return None
        self._pending = None
        return pending.request, start

    def _catch_up(self, start: Frame, end: Frame | None) -> None:
        """Tracks through the images between two frames in at most ``catch_up_seconds``, leaving out some if need be."""
        with self._lock:
            frames = [f for f in self._history.after(start) if end is None or f.serial < end.serial]
        budget = self._settings().catch_up_seconds
        begin, tracked = time.perf_counter(), 0
        while frames:
            image = self._image(frames[0])
            if image is not None:
                self._result = self._tracker.track(image)
                if self._result.state == TrackState.TRACKING:
                    self._last_seen_ns = frames[0].stamp_ns
            tracked += 1
            elapsed = time.perf_counter() - begin
            affordable = int((budget - elapsed) / (elapsed / tracked))
            if affordable < 1:
                return
            stride = math.ceil((len(frames) - 1) / affordable)
            frames = frames[max(1, stride) :]
