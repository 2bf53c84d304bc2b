"""What went wrong: counted by kind for diagnostics, logged without flooding."""

import threading
import time
from typing import Any

FLOODING = ("image", "time")  # may come with every image
PERIOD = 2.0  # seconds between two log lines of such a kind

# image: refused; time: the stamps ran backwards; target: refused; silence: no image comes; qos: a publisher does not
# match; camera_info: gives no bearings; defect: an error in this package.
KINDS = ("image", "time", "target", "silence", "qos", "camera_info", "defect")


class Problems:
    """Called with a kind and a line about it, from any thread."""

    def __init__(self, logger: Any) -> None:
        self.counts = dict.fromkeys(KINDS, 0)  # since the node was started
        self.last = ""
        self._logger = logger
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}  # when a kind was logged last, monotonic seconds

    def __call__(self, kind: str, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.counts[kind] += 1
            self.last = text
            if kind in FLOODING and now - self._told.get(kind, -PERIOD) < PERIOD:
                return
            self._told[kind] = now
        self._logger.warning(text)
