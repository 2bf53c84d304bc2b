"""What has come in and waits for the worker: recent images, the target asked for, the wish to reset."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stif_ros.history import Frame, FrameHistory
from stif_ros.target import TargetRequest

Report = Callable[[str, str], None]  # takes the kind of a problem and a line about it


@dataclass(frozen=True)
class _Pending:
    """A request and, once it is here, the image it belongs to."""

    request: TargetRequest
    frame: Frame | None = None


@dataclass(frozen=True)
class Due:
    """What the worker has to do before it tracks.

    Attributes:
        reset: Forget the target.
        request: The target to take up, in the image ``frame``; None: none.
    """

    reset: bool
    request: TargetRequest | None = None
    frame: Frame | None = None


class Intake:
    """Every method may be called from any thread, and none of them waits for the tracker."""

    def __init__(self, problem: Report, seconds: float, megabytes: float) -> None:
        self._problem = problem
        self._lock = threading.Lock()
        self._history = FrameHistory(seconds, megabytes)
        self._pending: _Pending | None = None  # a newer request takes the place of one that still waits
        self._reset_asked = False
        self._serial = 0
        self._last_stamp_ns = 0  # zero: the image before had none

    def add(self, message: Any, entry: float, seconds: float, megabytes: float) -> tuple[Frame, int | None]:
        """Takes an image message.

        Args:
            message: The image.
            entry: When it came, ``time.perf_counter()``.
            seconds, megabytes: How much of the past to keep.

        Returns:
            Its frame, and the time from the stamp before to this one, ns; None where one of them is missing.
        """
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        with self._lock:
            self._serial += 1
            # A camera that stamps nothing: the arrival tells how old an image is.
            frame = Frame(self._serial, stamp_ns or time.monotonic_ns(), message, entry)
            gap_ns = stamp_ns - self._last_stamp_ns if stamp_ns and self._last_stamp_ns else None
            self._last_stamp_ns = stamp_ns
            newest = self._history.newest_ns
            if newest is not None and frame.stamp_ns < newest:
                self._problem(
                    "time",
                    f"the images' time ran backwards by {(newest - frame.stamp_ns) / 1e9:.3f} s: "
                    "the images before are forgotten, tracking goes on",
                )
                self._history.clear()
            self._history.seconds, self._history.megabytes = seconds, megabytes
            self._history.add(frame)
            # A request for "the next image" means this one, even if the worker takes a newer one first.
            pending = self._pending
            if pending is not None and pending.request.stamp_ns is None and pending.frame is None:
                self._pending = replace(pending, frame=frame)
        return frame, gap_ns

    def ask(self, request: TargetRequest) -> str:
        """Queues a target; returns what will happen.

        Raises:
            ValueError: The image that it belongs to is gone.
        """
        with self._lock:
            pending, text = _Pending(request), "tracking starts with the next image"
            if request.stamp_ns is not None:
                pending, text = self._find_image(pending, request.stamp_ns)
            self._pending = pending
        return text

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

    def ask_reset(self) -> None:
        """Asks to forget the target and drops what was asked for before."""
        with self._lock:
            self._pending, self._reset_asked = None, True

    def drop_request(self) -> None:
        with self._lock:
            self._pending = None

    def forget_images(self) -> None:
        with self._lock:
            self._history.clear()
            self._last_stamp_ns = 0

    def take_due(self, frame: Frame | None) -> Due:
        """What has been asked for up to this frame; None: up to the newest image."""
        with self._lock:
            reset, self._reset_asked = self._reset_asked, False
            pending = self._pending
            if pending is None:
                return Due(reset)
            stamp_ns, start = pending.request.stamp_ns, pending.frame
            if start is None and stamp_ns is not None:
                start = self._history.at(stamp_ns)
                if start is None and (self._history.newest_ns or 0) > stamp_ns:
                    self._problem("target", "target refused: no image with its stamp arrived")
                    self._pending = None
            if start is None or (frame is not None and start.serial > frame.serial):
                return Due(reset)
            self._pending = None
            return Due(reset, pending.request, start)

    def between(self, start: Frame, end: Frame | None) -> list[Frame]:
        """The frames kept that arrived after ``start`` and before ``end``, oldest first."""
        with self._lock:
            return [frame for frame in self._history.after(start) if end is None or frame.serial < end.serial]
