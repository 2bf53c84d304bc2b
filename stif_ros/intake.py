"""What has come in and waits for the worker: recent images, the targets asked for, the wish to forget some or all."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from stif_core.io.stamps import nanoseconds
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
        reset: Forget all targets.
        removed: Forget these.
        requests: Targets to take up then, each in the image that it belongs to.
    """

    reset: bool
    removed: set[str]
    requests: list[tuple[TargetRequest, Frame]]


class Intake:
    """Every method may be called from any thread, and none of them waits for the tracker."""

    def __init__(self, problem: Report, seconds: float, megabytes: float) -> None:
        self._problem = problem
        self._lock = threading.Lock()
        self._history = FrameHistory(seconds, megabytes)
        # By the target's id: a newer request takes the place of one for the same target that still waits.
        self._pending: dict[str, _Pending] = {}
        self._removed: set[str] = set()
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
        stamp_ns = nanoseconds(message.header.stamp)
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
            for target_id, pending in self._pending.items():
                if pending.request.stamp_ns is None and pending.frame is None:
                    self._pending[target_id] = replace(pending, frame=frame)
        return frame, gap_ns

    def ask(self, request: TargetRequest, followed: Collection[str], most: int) -> str:
        """Queues a target; returns what will happen.

        Args:
            request: With the id of the target.
            followed: Ids of the targets that are followed now.
            most: How many there may be; with 1 a new one takes the place of the one before.

        Raises:
            ValueError: The image that it belongs to is gone, or there are as many targets as there may be.
        """
        with self._lock:
            others = {*followed, *self._pending} - {request.target_id} - self._removed
            if most > 1 and len(others) >= most:
                raise ValueError(
                    f"there are {len(others)} targets ({', '.join(sorted(others))}), as many as max_targets allows: "
                    "set one of these anew, or remove one"
                )
            pending, text = _Pending(request), "tracking starts with the next image"
            if request.stamp_ns is not None:
                pending, text = self._find_image(pending, request.stamp_ns)
            if most == 1:
                self._pending.clear()
            self._pending[request.target_id] = pending
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

    def ask_removal(self, target_id: str, followed: Collection[str]) -> None:
        """Asks to forget a target, and drops a request for it. Raises ValueError when there is none of this name."""
        with self._lock:
            known = {*followed, *self._pending} - self._removed
            if target_id not in known:
                names = ", ".join(sorted(known)) or "none"
                raise ValueError(f"no target has the id '{target_id}'; targets: {names}")
            self._pending.pop(target_id, None)
            self._removed.add(target_id)

    def ask_reset(self) -> None:
        """Asks to forget all targets and drops what was asked for before."""
        with self._lock:
            self._pending.clear()
            self._reset_asked = True

    def drop_requests(self) -> None:
        with self._lock:
            self._pending.clear()

    def forget_images(self) -> None:
        with self._lock:
            self._history.clear()
            self._last_stamp_ns = 0

    def take_due(self, frame: Frame | None) -> Due:
        """What has been asked for up to this frame; None: up to the newest image."""
        with self._lock:
            due = Due(self._reset_asked, self._removed, [])
            self._reset_asked, self._removed = False, set()
            for target_id, pending in list(self._pending.items()):
                stamp_ns, start = pending.request.stamp_ns, pending.frame
                if start is None and stamp_ns is not None:
                    start = self._history.at(stamp_ns)
                    if start is None and (self._history.newest_ns or 0) > stamp_ns:
                        self._problem("target", "target refused: no image with its stamp arrived")
                        del self._pending[target_id]
                if start is not None and (frame is None or start.serial <= frame.serial):
                    due.requests.append((pending.request, start))
                    del self._pending[target_id]
            return due

    def between(self, start: Frame, end: Frame | None) -> list[Frame]:
        """The frames kept that arrived after ``start`` and before ``end``, oldest first."""
        with self._lock:
            return [frame for frame in self._history.after(start) if end is None or frame.serial < end.serial]
