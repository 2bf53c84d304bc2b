"""Passes through the network as requests, so that several targets can share one.

A generator yields ``Pass`` after ``Pass`` and is sent the answer of each; what it returns is its result.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from stif_core.runtime.backend import Backend


@dataclass(frozen=True)
class Pass:
    """A call of one of the backend's functions with a batch of 1; answered by what it returns."""

    function: Literal["memorize", "enhance", "track"]
    inputs: tuple[NDArray[Any], ...]


T = TypeVar("T")
Steps = Generator[Pass, Any, T]


def run(backend: Backend, steps: Steps[T]) -> T:
    """Carries out the passes one by one."""
    answer = None
    while True:
        try:
            asked = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = getattr(backend, asked.function)(*asked.inputs)


def run_together(backend: Backend, several: Sequence[Steps[T]]) -> list[T]:
    """Carries out the passes of several at a time: those of one kind that are asked for next are one batch."""
    results: dict[int, T] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(several)))
    while answers:
        asked: dict[str, dict[int, Pass]] = {}
        for i, answer in answers.items():
            try:
                request = several[i].send(answer)
            except StopIteration as end:
                results[i] = end.value
            else:
                asked.setdefault(request.function, {})[i] = request
        answers = {}
        for function, requests in asked.items():
            waiting = list(requests)
            size = backend.batch or len(waiting)
            for batch in (waiting[start : start + size] for start in range(0, len(waiting), size)):
                inputs = [np.concatenate(parts) for parts in zip(*(requests[i].inputs for i in batch), strict=True)]
                answer = getattr(backend, function)(*inputs)
                answers |= {i: _row(answer, row) for row, i in enumerate(batch)}
    return [results[i] for i in range(len(several))]


def _row(answer: Any, row: int) -> Any:
    """One target's part of an array, or of each of several."""
    if isinstance(answer, tuple):
        return tuple(part[row : row + 1] for part in answer)
    return answer[row : row + 1]
