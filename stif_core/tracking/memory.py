"""Bounded bank of memory frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MemoryFrame:
    """The feature (1, C, n, n) of one frame, and the number of that frame since initialisation."""

    index: int
    feature: NDArray[np.float32]


class MemoryBank:
    """Keeps the initial frame for ever and a bounded spread of later ones."""

    def __init__(self, initial: NDArray[np.float32], capacity: int) -> None:
        self._frames = [MemoryFrame(0, initial)]
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def newest(self) -> int:
        """Index of the newest frame."""
        return self._frames[-1].index

    def add(self, frame: MemoryFrame) -> None:
        """Adds a frame; a full bank drops the one whose neighbours in time are closest together.

        The initial frame and the new one are never dropped.
        """
        self._frames.append(frame)
        if len(self._frames) > self._capacity:
            inner = range(1, len(self._frames) - 1)
            gaps = {i: self._frames[i + 1].index - self._frames[i - 1].index for i in inner}
            del self._frames[min(gaps, key=gaps.__getitem__) if gaps else -1]

    def select(self, count: int) -> NDArray[np.float32]:
        """``count`` frames as (1, count, C, n, n): the initial one first, then evenly over the bank to the newest.

        A bank with fewer frames repeats the initial one.
        """
        available = min(count, len(self._frames))
        picks = np.linspace(0, len(self._frames) - 1, available).round().astype(int)
        chosen = [self._frames[i].feature for i in picks]
        chosen = [chosen[0]] * (count - available) + chosen
        return np.stack(chosen, axis=1)
