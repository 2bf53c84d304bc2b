"""Counts and timings of the node, for diagnostics."""

import time
from collections import deque

import numpy as np

RECENT = 100  # samples that rates and percentiles look back on

# Where the time of an image goes: in this machine before the callback (`receive`), in the callback, waiting for the
# worker, from message to pixels, in the tracker, in the publishers. `overhead` is all from the callback's entry to the
# return of the last publisher, less `track`.
STAGES = ("receive", "callback", "wait", "convert", "track", "publish", "overhead")


class Counters:
    """What happened to the images since activation: received = tracked + skipped + refused + the one in work."""

    def __init__(self) -> None:
        self.received = 0
        self.tracked = 0
        self.skipped = 0
        self.refused = 0
        self._latency_ms: deque[float] = deque(maxlen=RECENT)
        self._stages: dict[str, deque[float]] = {stage: deque(maxlen=RECENT) for stage in STAGES}
        self._done: deque[float] = deque(maxlen=RECENT)  # monotonic seconds

    def track_done(self) -> None:
        self.tracked += 1
        self._done.append(time.monotonic())

    def took(self, stage: str, milliseconds: float) -> None:
        """Takes the time that one image spent in a stage; NaN is left out."""
        if np.isfinite(milliseconds):
            self._stages[stage].append(milliseconds)

    def published(self, latency_ms: float) -> None:
        if np.isfinite(latency_ms):
            self._latency_ms.append(latency_ms)

    def silent_for(self) -> float:
        """Seconds since an image was tracked; infinite before the first."""
        return time.monotonic() - self._done[-1] if self._done else float("inf")

    def rate_hz(self) -> float:
        """Images tracked per second, up to now: it falls when none come any more."""
        return len(self._done) / (time.monotonic() - self._done[0]) if len(self._done) > 1 else 0.0

    def latency_percentile_ms(self, percent: float) -> float:
        return float(np.percentile(list(self._latency_ms), percent)) if self._latency_ms else float("nan")

    def stage_percentile_ms(self, stage: str, percent: float) -> float:
        """Of a stage named in ``STAGES``; NaN while nothing is known."""
        times = list(self._stages[stage])
        return float(np.percentile(times, percent)) if times else float("nan")
