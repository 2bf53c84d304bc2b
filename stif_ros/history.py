"""A ring of recent images, so that a box given for an old image can still be used."""

from collections import deque
from dataclasses import dataclass
from typing import Any

STAMP_TOLERANCE_NS = 500_000  # a stamp that went through a float of seconds is off by less


@dataclass(frozen=True, eq=False)
class Frame:
    """An image message.

    Attributes:
        serial: Its number in the order of arrival.
        stamp_ns: Its stamp; where it has none, when it arrived, of another clock.
        message: sensor_msgs Image or CompressedImage.
        entry: When it arrived, ``time.perf_counter()``.
    """

    serial: int
    stamp_ns: int
    message: Any
    entry: float = 0.0

    @property
    def size_bytes(self) -> int:
        return len(self.message.data)


class FrameHistory:
    """Recent frames in the order of their stamps, bounded in time and in memory; the newest is always kept."""

    def __init__(self, seconds: float, megabytes: float) -> None:
        self.seconds = seconds
        self.megabytes = megabytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def newest_ns(self) -> int | None:
        return self._frames[-1].stamp_ns if self._frames else None

    @property
    def oldest_ns(self) -> int | None:
        return self._frames[0].stamp_ns if self._frames else None

    def add(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._bytes += frame.size_bytes
        oldest_kept = frame.stamp_ns - int(self.seconds * 1e9)
        while len(self._frames) > 1 and (
            self._frames[0].stamp_ns < oldest_kept or self._bytes > self.megabytes * 1_000_000
        ):
            self._bytes -= self._frames.popleft().size_bytes

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    def at(self, stamp_ns: int) -> Frame | None:
        """The frame with this stamp, or None."""
        nearest = min(self._frames, key=lambda frame: abs(frame.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > STAMP_TOLERANCE_NS:
            return None
        return nearest

    def after(self, frame: Frame) -> list[Frame]:
        """The frames that arrived later than this one, oldest first."""
        return [later for later in self._frames if later.serial > frame.serial]
