"""A worker thread that always takes the newest item."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestWorker(Generic[T]):
    """Calls ``work(item, replaced)`` in a thread of its own; an item not begun yet is replaced by a newer one.

    ``replaced`` counts the items that were put since the last call and never worked on. ``wake`` makes the worker
    call ``work(None, 0)`` even if no item comes.
    """

    def __init__(self, work: Callable[[T | None, int], None]) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._item: T | None = None
        self._replaced = 0
        self._woken = False
        self._running = True
        self._thread = threading.Thread(target=self._loop, name="tracker", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        with self._condition:
            self._replaced += self._item is not None
            self._item = item
            self._condition.notify()

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        """Returns once the item in work is done; one that waits is dropped."""
        with self._condition:
            self._running = False
            self._condition.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._item is not None or self._woken or not self._running)
                if not self._running:
                    return
                item, self._item = self._item, None
                self._woken = False
                replaced = 0
                if item is not None:
                    replaced, self._replaced = self._replaced, 0
            self._work(item, replaced)
