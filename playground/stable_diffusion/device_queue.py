"""A queue for each device: it computes one step at a time, and the run that came first goes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

Step = TypeVar("Step")
POLL = 0.2  # seconds between two messages to a run that waits; at each it may leave, because it was stopped or closed


@dataclass(frozen=True)
class Waiting:
    """This run waits for the `ahead` runs before it or, if there are none, for a step of another run to end."""

    ahead: int

    @property
    def words(self) -> str:
        """For the page."""
        if self.ahead == 0:
            return "Next in line: a step of another run is being made."
        return "Next in line: one run is before yours." if self.ahead == 1 else f"{self.ahead} runs are before yours."


class DeviceQueue:
    """Runs in the order in which they came. While the page of the first one draws a step, the next one computes its
    own: the device is never idle, and a page that has gone to sleep does not block it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: list[object] = []  # all that are under way, by arrival
        self._wanting: set[object] = set()
        self._busy = False

    def __len__(self) -> int:
        return len(self._runs)

    def run(self, steps: Iterator[Step]) -> Iterator[Step | Waiting]:
        """The same steps, each computed when it is this run's turn, and a Waiting until it is. Close it to leave."""
        ticket = object()
        with self._changed:
            self._runs.append(ticket)
        try:
            while True:
                while not self._enter(ticket):
                    yield Waiting(self._runs.index(ticket))
                try:
                    step = next(steps)
                except StopIteration:
                    return
                finally:
                    self._leave()
                yield step
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                close()
            with self._changed:
                self._runs.remove(ticket)
                self._changed.notify_all()

    def _enter(self, ticket: object) -> bool:
        """Wait up to POLL seconds for a turn. Returns whether it came."""
        with self._changed:
            self._wanting.add(ticket)
            came = self._changed.wait_for(lambda: not self._busy and self._first() is ticket, POLL)
            self._wanting.remove(ticket)
            self._busy = self._busy or came
            return came

    def _leave(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _first(self) -> object:
        return next(ticket for ticket in self._runs if ticket in self._wanting)


DEVICE_QUEUES = {
    "cpu": DeviceQueue(),
    "cuda": DeviceQueue(),
    "mps": DeviceQueue(),
}  # of this process: all visitors share its devices
