"""Counts and timings of the node, for diagnostics."""

import time
from collections import deque
from statistics import median

import numpy as np

RECENT = 100  # samples that rates and percentiles look back on


class TransportLoss:
    """Counts frames that never arrived, by the gaps between the stamps of those that did.

    A camera is taken to run at a steady rate: a gap of n periods means n - 1 lost frames. The period is the median of
    the recent gaps.
    """

    LEAST_GAPS = 5  # before that the period is not known

    def __init__(self) -> None:
        self.lost = 0
        self._gaps: deque[int] = deque(maxlen=RECENT)

    def arrived(self, gap_ns: int) -> None:
        """Takes the time from the stamp before to this one; a camera that stamps nothing tells nothing."""
        if gap_ns <= 0:
            return
        if len(self._gaps) >= self.LEAST_GAPS:
            self.lost += max(0, round(gap_ns / median(self._gaps)) - 1)
        self._gaps.append(gap_ns)

    def restart(self) -> None:
        """Forgets the period, after a jump in time; what was counted stays."""
        self._gaps.clear()


class Counters:
    """What happened to the images since activation: received = tracked + skipped + refused + the one in work."""

    def __init__(self) -> None:
        self.received = 0
        self.tracked = 0
        self.skipped = 0
        self.refused = 0
        self._latency_ms: deque[float] = deque(maxlen=RECENT)
        self._track_ms: deque[float] = deque(maxlen=RECENT)
        self._done: deque[float] = deque(maxlen=RECENT)  # monotonic seconds

    def track_done(self, track_ms: float) -> None:
        self.tracked += 1
        self._done.append(time.monotonic())
        self._track_ms.append(track_ms)

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
        return float(np.percentile(self._latency_ms, percent)) if self._latency_ms else float("nan")

    def track_percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self._track_ms, percent)) if self._track_ms else float("nan")
