"""Whose turn it is to compute, when many want to.

Networks as small as these are thousands of tiny operations, and each one lets go of Python's interpreter lock. With a
class of threads at it, the lock changes hands at every operation and nearly all the time goes into the changing: twelve
runs side by side were measured at a tenth of one run's speed, taken together. So runs take turns of some milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Step = TypeVar("Step")

SLICE_SECONDS = 0.02  # long beside the cost of a change of threads, short beside what an eye notices


class Turns:
    """One at a time, in the order of asking.

    with turns.work() as turn:
        ...                       # alone
        turn.share()              # now and then: whoever waits gets a turn once this one's slice is used up
        with turn.rest(): ...     # not computing: others may
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._busy = False
        self._since = 0.0

    @contextmanager
    def work(self) -> Iterator[Turns]:
        """Wait for a turn, and hold it."""
        self._begin()
        try:
            yield self
        finally:
            self._end()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Let others compute, then wait for the next turn."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def share(self) -> None:
        """Let the next one in if the slice is used up and anybody waits."""
        if self._waiting and time.perf_counter() - self._since > SLICE_SECONDS:
            with self.rest():
                pass

    def _begin(self) -> None:
        with self._lock:
            if not self._busy:
                self._busy, self._since = True, time.perf_counter()
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()  # opened by whoever ends a turn, and the turn is handed over, not free for others to grab
        self._since = time.perf_counter()

    def _end(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._busy = False


TURNS = Turns()  # of this process: the interpreter lock is one, whoever's lab it is


def in_turns(steps: Iterator[Step], turns: Turns = TURNS) -> Iterator[Step]:
    """The same steps, each computed in a turn of its own."""
    while True:
        with turns.work():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
