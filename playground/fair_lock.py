"""A lock for computing, shared fairly by many threads.

Networks as small as these are thousands of tiny operations, each of which releases Python's interpreter lock. With many
threads, that lock changes hands at every operation, and nearly all time is spent on switching: twelve runs side by side
were measured at a tenth of the speed of a single one, all taken together. So runs take turns of some milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Step = TypeVar("Step")
SLICE_SECONDS = 0.02  # long compared with a thread switch, too short for the eye to notice


class FairLock:
    """A lock that is granted in the order in which threads asked for it."""

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
        """Wait for the lock."""
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()  # released by the thread that ends its turn: the lock is handed over, never free to grab

    def end(self) -> None:
        """Hand the lock to the thread that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._busy = False

    @property
    def wanted(self) -> bool:
        """Whether anyone is waiting."""
        return bool(self._waiting)


class Turn:
    """The lock while held: call `share()` now and then, and wrap what does not compute in `with rest():`."""

    def __init__(self, lock: FairLock) -> None:
        self._lock = lock
        self._held, self._since = False, 0.0
        self._begin()

    def share(self) -> None:
        """Let the next thread in if the time slice is used up and anyone is waiting."""
        if self._lock.wanted and time.perf_counter() - self._since > SLICE_SECONDS:
            self.end()
            self._begin()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Let others compute, then wait for the next turn. After an exception the turn is over, without a wait: closing
        a resting generator must not block its caller, which may be a server's event loop.
        """
        self.end()
        yield
        self._begin()

    def end(self) -> None:
        """Give the turn back, if it is still held."""
        if self._held:
            self._held = False
            self._lock.end()

    def _begin(self) -> None:
        self._lock.begin()
        self._held, self._since = True, time.perf_counter()


COMPUTE_LOCK = FairLock()  # one for the process, as there is one interpreter lock


def in_turns(steps: Iterator[Step], lock: FairLock = COMPUTE_LOCK) -> Iterator[Step]:
    """The same steps, each computed while holding the lock."""
    while True:
        with lock.work():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
