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


class FairLock:
    """One at a time, in the order of asking."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._busy = False

    @contextmanager
    def work(self) -> Iterator[Turn]:
        """Wait for a turn, and hold it."""
        turn = Turn(self)
        try:
            yield turn
        finally:
            turn.end()

    def begin(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()  # opened by whoever ends a turn: it is handed over, not free for others to grab

    def end(self) -> None:
        """Hand on to whoever has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._busy = False

    @property
    def wanted(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)


class Turn:
    """A turn one holds: `share()` now and then, `with rest():` while not computing."""

    def __init__(self, turns: FairLock) -> None:
        self._turns = turns
        self._held, self._since = False, 0.0
        self._begin()

    def share(self) -> None:
        """Let the next one in if the slice is used up and anybody waits."""
        if self._turns.wanted and time.perf_counter() - self._since > SLICE_SECONDS:
            self.end()
            self._begin()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Let others compute, then wait for the next turn. Left by an exception, the turn is over: whoever closes a
        generator that rests must not wait, least of all a server's event loop.
        """
        self.end()
        yield
        self._begin()

    def end(self) -> None:
        """Give the turn back, if it is still held."""
        if self._held:
            self._held = False
            self._turns.end()

    def _begin(self) -> None:
        self._turns.begin()
        self._held, self._since = True, time.perf_counter()


COMPUTE_LOCK = FairLock()  # of this process: the interpreter lock is one, whoever's lab it is


def in_turns(steps: Iterator[Step], turns: FairLock = COMPUTE_LOCK) -> Iterator[Step]:
    """The same steps, each computed in a turn of its own."""
    while True:
        with turns.work():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
