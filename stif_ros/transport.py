"""Counts the frames that were published and never reached the node."""

from collections import deque
from statistics import median

RECENT = 100  # gaps that the period is taken from
LEAST_GAPS = 5  # before that the period is not known
PAUSE_NS = 2_000_000_000  # a longer gap is a camera that paused or a clock that was set, no loss


class TransportLoss:
    """Frames that never arrived: exactly, by the publisher's sequence numbers, or else by the gaps between stamps.

    Sequence numbers tell where the middleware gives them (Iron and later) and a single publisher sends. By stamps the
    camera is taken to run at a steady rate, the median of the recent gaps: a gap of n periods means n - 1 lost frames.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._sequence: int | None = None  # of the last frame
        self._gaps: deque[int] = deque(maxlen=RECENT)

    def arrived(self, gap_ns: int | None, sequence: int | None = None) -> None:
        """Takes a frame.

        Args:
            gap_ns: From the stamp before to this one; None where one of them is missing.
            sequence: The publisher's count; None where it is not known or several publishers send.
        """
        before, self._sequence = self._sequence, sequence
        if sequence is not None:
            # A lower number is that of a camera that was started again.
            if before is not None and sequence > before:
                self.lost += sequence - before - 1
            return
        if gap_ns is None or gap_ns == 0:
            return
        if not 0 < gap_ns < PAUSE_NS:
            self._gaps.clear()
            return
        if len(self._gaps) >= LEAST_GAPS:
            self.lost += max(0, round(gap_ns / median(self._gaps)) - 1)
        self._gaps.append(gap_ns)
