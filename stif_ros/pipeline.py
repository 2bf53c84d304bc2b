"""From image messages to tracking results: the newest-frame slot, the worker, the targets.

The way of an image: ``add_image`` (the executor's thread) puts it into the intake and the slot; ``_process`` (the
worker's thread) takes the newest, converts it, tracks, and hands the outcome to ``publish``.
"""

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stif_core.tracking.target_set import TargetSet
from stif_ros.history import Frame
from stif_ros.intake import Intake
from stif_ros.newest import NewestWorker
from stif_ros.statistics import Counters
from stif_ros.target import TargetRequest
from stif_ros.targets import Targets, TargetTrack
from stif_ros.transport import TransportLoss

DEFAULT_TARGET_ID = "target"


@dataclass(frozen=True)
class PipelineSettings:
    """Values of the node's parameters of the same names."""

    max_targets: int = 1
    history_seconds: float = 2.0
    history_megabytes: float = 256.0
    catch_up_seconds: float = 0.5


@dataclass(frozen=True)
class Outcome:
    """What was found in one image.

    Attributes:
        message: The image message.
        image: (H, W, 3) BGR.
        tracks: Of all targets, in the order in which they were set.
        skipped: Images that were passed over since the outcome before.
        track_ms: Time that the tracker took.
    """

    message: Any
    image: NDArray[np.uint8]
    tracks: tuple[TargetTrack, ...]
    skipped: int
    track_ms: float


class TrackingPipeline:
    """Tracks targets through a stream of image messages; every method may be called from any thread."""

    def __init__(
        self,
        trackers: TargetSet,
        convert: Callable[[Any], NDArray[np.uint8]],
        publish: Callable[[Outcome], None],
        problem: Callable[[str, str], None],
        settings: Callable[[], PipelineSettings] = PipelineSettings,
    ) -> None:
        """
        Args:
            trackers: Used by the worker's thread alone.
            convert: Image message -> (H, W, 3) BGR; raises ValueError for one that it cannot convert.
            publish: Takes each outcome, in the worker's thread.
            problem: Takes the kind of a problem ("image", "time", "target" or "defect") and a line about it.
            settings: Gives the values that hold now.
        """
        self.counters = Counters()
        self.transport = TransportLoss()
        self._targets = Targets(trackers)
        self._convert = convert
        self._publish = publish
        self._problem = problem
        self._settings = settings
        self._intake = Intake(problem, settings().history_seconds, settings().history_megabytes)
        self.image_size: tuple[int, int] | None = None  # (width, height) of the newest image
        self._skipped = 0  # images passed over since the last outcome
        self._worker: NewestWorker[Frame] | None = None

    @property
    def running(self) -> bool:
        return self._worker is not None

    @property
    def states(self) -> dict[str, str]:
        """Names of the targets' states, by the ids of the targets, in the order in which they were set."""
        return {track.target_id: track.result.state.name for track in self._targets.tracks}

    def start(self) -> None:
        """Begins to work on images, with fresh counters; targets from before go on."""
        self.counters, self.transport = Counters(), TransportLoss()
        self._intake.forget_images()
        self._worker = NewestWorker(self._work)

    def stop(self) -> None:
        """Returns when the image in work is done; the targets stay, requests that still wait are dropped."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        self._intake.drop_requests()
        self._skipped = 0

    def add_image(self, message: Any, sequence: int | None = None, receive_ms: float = math.nan) -> None:
        """Takes an image message; never waits for the tracker.

        Args:
            message: The image.
            sequence: The publisher's count of it; None where that is not known.
            receive_ms: How long it has been in this machine; NaN where that is not known.
        """
        entry = time.perf_counter()
        worker = self._worker
        if worker is None:
            return
        settings = self._settings()
        frame, gap_ns = self._intake.add(message, entry, settings.history_seconds, settings.history_megabytes)
        self.counters.received += 1
        self.transport.arrived(gap_ns, sequence)
        worker.put(frame)
        self.counters.took("receive", receive_ms)
        self.counters.took("callback", (time.perf_counter() - entry) * 1000)

    def set_target(self, request: TargetRequest) -> tuple[str, str]:
        """Queues a target.

        Returns:
            Its id, and what will happen.

        Raises:
            ValueError: The pipeline does not run, the box does not fit the image, the image is gone, or there are as
                many targets as there may be.
        """
        worker = self._worker
        if worker is None:
            raise ValueError("the node is not active")
        if self.image_size is not None:
            request.pixels(*self.image_size)
        ids = self._targets.ids
        request = replace(request, target_id=request.target_id or next(iter(ids), DEFAULT_TARGET_ID))
        text = self._intake.ask(request, ids, self._settings().max_targets)
        worker.wake()
        return request.target_id, text

    def remove_target(self, target_id: str) -> None:
        """Forgets a target, or a request for it that waits, before the next image is tracked.

        Raises:
            ValueError: There is none of this name.
        """
        self._intake.ask_removal(target_id, self._targets.ids)
        self._wake()

    def reset(self) -> None:
        """Forgets the targets and what was asked for, before the next image is tracked."""
        self._intake.ask_reset()
        self._wake()

    def _wake(self) -> None:
        worker = self._worker
        if worker is None:
            self._take_requests(None, None)
        else:
            worker.wake()

    # -- the worker's thread

    def _work(self, frame: Frame | None, replaced: int) -> None:
        self.counters.skipped += replaced
        self._skipped += replaced
        try:
            if frame is None:  # woken by a request
                self._take_requests(None, None)
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
        self.counters.track_done()
        self._hand_out(frame, outcome)

    def _hand_out(self, frame: Frame, outcome: Outcome) -> None:
        begin = time.perf_counter()
        try:
            self._publish(outcome)
        except Exception:  # what cannot be published must not end the worker
            self._problem("defect", f"cannot be published, please report it:\n{traceback.format_exc()}")
        end = time.perf_counter()
        self.counters.took("publish", (end - begin) * 1000)
        self.counters.took("overhead", (end - frame.entry) * 1000 - outcome.track_ms)

    def _process(self, frame: Frame) -> Outcome | None:
        """Tracks in one image; None for an image that cannot be used."""
        self.counters.took("wait", (time.perf_counter() - frame.entry) * 1000)
        image = self._image(frame)
        if image is None:
            return None
        begin = time.perf_counter()
        begun_here = self._take_requests(frame, image)
        self._targets.track(image, frame.stamp_ns, [name for name in self._targets.ids if name not in begun_here])
        track_ms = (time.perf_counter() - begin) * 1000
        self.counters.took("track", track_ms)
        return Outcome(frame.message, image, self._targets.tracks, self._skipped, track_ms)

    def _image(self, frame: Frame) -> NDArray[np.uint8] | None:
        begin = time.perf_counter()
        try:
            image = self._convert(frame.message)
        except ValueError as error:
            self._problem("image", f"image refused: {error}")
            return None
        self.counters.took("convert", (time.perf_counter() - begin) * 1000)
        self.image_size = (image.shape[1], image.shape[0])
        return image

    def _take_requests(self, frame: Frame | None, image: NDArray[np.uint8] | None) -> set[str]:
        """Carries out what was asked for up to this frame; the targets that were set in this very image."""
        due = self._intake.take_due(frame)
        if due.reset:
            self._targets.clear()
        for target_id in due.removed:
            self._targets.remove(target_id)
        begun_here = set()
        for request, start in due.requests:
            start_image = image if start is frame else self._image(start)
            if start_image is None:
                self._problem("target", "target refused: its image could not be used")
                continue
            try:
                box = request.pixels_on_something(start_image)
            except ValueError as error:
                self._problem("target", f"target refused: {error}")
                continue
            alone = self._settings().max_targets == 1
            self._targets.set(request.target_id, start_image, box, start.stamp_ns, alone)
            if start is frame:
                begun_here.add(request.target_id)
            else:
                self._catch_up(request.target_id, start, frame)
        return begun_here

    def _catch_up(self, target_id: str, start: Frame, end: Frame | None) -> None:
        """Tracks through the images between two frames in at most ``catch_up_seconds``, leaving out some if need be."""
        frames = self._intake.between(start, end)
        budget = self._settings().catch_up_seconds
        begin, tracked = time.perf_counter(), 0
        while frames:
            image = self._image(frames[0])
            if image is not None:
                self._targets.track(image, frames[0].stamp_ns, [target_id])
            tracked += 1
            elapsed = time.perf_counter() - begin
            affordable = int((budget - elapsed) / (elapsed / tracked))
            if affordable < 1:
                return
            stride = math.ceil((len(frames) - 1) / affordable)
            frames = frames[max(1, stride) :]
