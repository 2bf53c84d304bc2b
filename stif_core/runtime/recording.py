"""Crops that a tracker cuts from footage: what int8 ranges are taken from, and what precisions are compared on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stif_core.runtime.backend import Backend

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """Inputs of a network, as a tracker gave them.

    Attributes:
        memory_image: (M, 3, S, S) uint8 BGR.
        foreground: (M, 1, S, S) uint8, 1 inside the target's box.
        query_image: (N, 3, S, S) uint8 BGR.
        source: Index of the memory crop that shows each query's target at its initialisation, (N,).
    """

    memory_image: Crop
    foreground: Crop
    query_image: Crop
    source: NDArray[np.int64]

    def thinned(self, queries: int) -> "Crops":
        """At most so many queries, evenly spread, with the memory crops that belong to them."""
        if len(self.source) <= queries:
            return self
        picks = np.linspace(0, len(self.source) - 1, queries).round().astype(int)
        kept, source = np.unique(self.source[picks], return_inverse=True)
        return Crops(self.memory_image[kept], self.foreground[kept], self.query_image[picks], source)


class RecordingBackend:
    """A backend that keeps the memory crops and every ``interval``-th query crop of what passes through it."""

    def __init__(self, backend: Backend, interval: int) -> None:
        self.name = backend.name
        self.precision = backend.precision
        self.batch: int | None = 1  # crops are kept one by one
        self.config = backend.config
        self._backend = backend
        self._interval = interval
        self._queries = 0
        self._initial = 0
        self._memory: list[tuple[Crop, Crop]] = []
        self._query: list[tuple[Crop, int]] = []

    def next_target(self) -> None:
        """The next memory crop is that of a new target's initial frame."""
        self._initial = len(self._memory)

    def memorize(self, image: Crop, foreground: Crop) -> NDArray[np.float32]:
        self._memory += zip(image.copy(), foreground.copy(), strict=True)
        return self._backend.memorize(image, foreground)

    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._backend.enhance(memory)

    def track(self, image: Crop, enhanced: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._queries += 1
        if self._queries % self._interval == 0:
            self._query += [(crop, self._initial) for crop in image.copy()]
        return self._backend.track(image, enhanced)

    def crops(self) -> Crops:
        """Raises ValueError when nothing was tracked."""
        if not self._query:
            raise ValueError("no query crop was recorded: the footage is too short")
        images, foregrounds = zip(*self._memory, strict=True)
        queries, sources = zip(*self._query, strict=True)
        return Crops(np.stack(images), np.stack(foregrounds), np.stack(queries), np.array(sources, np.int64))
