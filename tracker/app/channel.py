"""Bounded channels between a pipeline's threads: nothing grows without limit, and an ending never hangs a reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818  # no error: it ends a loop
    """The channel was closed: nothing more can be put, or everything was taken."""


class Channel(Generic[T]):
    """A queue of one or several lanes, one per stream, each with its own bound.

    A lane is first in, first out. `take` visits the lanes in turn, so that a fast stream cannot starve a slow one.

    Parameters
    ----------
    lanes : int
        How many.
    capacity : int
        Items a lane holds before `put` waits.
    newest : frozenset[int]
        Lanes (by number) that hold one item and replace it instead of waiting: live sources, where an old frame is
        worth less than none. What was replaced is counted in `dropped`.
    """

    def __init__(self, lanes: int = 1, capacity: int = 2, newest: frozenset[int] = frozenset()) -> None:
        if lanes < 1 or capacity < 1:
            raise ValueError(f"channel of {lanes} lanes with room for {capacity}; expected at least 1 of each")
        self.dropped = [0] * lanes
        self._lanes: list[deque[T]] = [deque() for _ in range(lanes)]
        self._ended = [False] * lanes
        self._capacity, self._newest = capacity, newest
        self._next = 0
        self._changed = threading.Condition()

    def put(self, item: T, lane: int = 0) -> None:
        """Append to a lane, waiting for room; raises Closed when the lane has ended."""
        with self._changed:
            queue = self._lanes[lane]
            if lane in self._newest:
                if queue and not self._ended[lane]:
                    queue.clear()
                    self.dropped[lane] += 1
            else:
                self._changed.wait_for(lambda: self._ended[lane] or len(queue) < self._capacity)
            if self._ended[lane]:
                raise Closed
            queue.append(item)
            self._changed.notify_all()

    def end(self, lane: int = 0, last: T | None = None) -> bool:
        """Refuse further items in a lane, after `last`, for which there is room; False if it had ended before."""
        with self._changed:
            if self._ended[lane]:
                return False
            self._ended[lane] = True
            if last is not None:
                self._lanes[lane].append(last)
            self._changed.notify_all()
            return True

    def abort(self) -> None:
        """End every lane and forget what waits in them."""
        with self._changed:
            for lane, queue in enumerate(self._lanes):
                self._ended[lane] = True
                queue.clear()
            self._changed.notify_all()

    def take(self, count: int = 1) -> list[T]:
        """Wait for a lane with `count` items or an end, then take so many, or what is left, of every such lane.

        A lane's items stay together, oldest first. Raises Closed when all lanes have ended and are empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: any(self._ready(count)) or (all(self._ended) and not any(self._lanes)))
            ready = list(self._ready(count))
            if not ready:
                raise Closed
            self._next = (self._next + 1) % len(self._lanes)
            items = [queue.popleft() for queue in ready for _ in range(min(count, len(queue)))]
            self._changed.notify_all()
            return items

    def _ready(self, count: int) -> Iterator[deque[T]]:
        """Lanes to take from, beginning with another one each time."""
        lanes = len(self._lanes)
        for lane in ((self._next + i) % lanes for i in range(lanes)):
            if (queue := self._lanes[lane]) and (len(queue) >= count or self._ended[lane]):
                yield queue

    def __len__(self) -> int:
        with self._changed:
            return sum(len(queue) for queue in self._lanes)


class OrderedWorkers(Generic[T]):
    """Lets several workers take from one channel and pass on in the order in which they took.

    Parameters
    ----------
    inlet : Channel[T]
        Where the work comes from.
    admit : Callable[[list[T]], None]
        Called with what was taken, in order and by one worker at a time.
    count : int
        Items to take at once, see `Channel.take`.
    """

    def __init__(
        self, inlet: Channel[T], admit: Callable[[list[T]], None] = lambda items: None, count: int = 1
    ) -> None:
        self._inlet, self._admit, self._count = inlet, admit, count
        self._taking = threading.Lock()
        self._passed = threading.Condition()
        self._taken = self._turn = 0

    def take(self) -> tuple[int, list[T]]:
        """A number, and work as from `Channel.take`; raises Closed as that does."""
        with self._taking:
            items = self._inlet.take(self._count)
            self._admit(items)
            self._taken += 1
            return self._taken - 1, items

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Waits until everything taken before `number` was passed on."""
        with self._passed:
            self._passed.wait_for(lambda: self._turn == number)
        try:
            yield
        finally:
            with self._passed:
                self._turn += 1
                self._passed.notify_all()
