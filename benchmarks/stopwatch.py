"""What a piece of work costs, in seconds of the processor and by the clock on the wall."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of the processor, and by the clock on the wall."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:.3g} s ({self.wall:.3g})"


def spend(work: Callable[[], object]) -> Spent:
    """What `work` takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def median_spent(several: Sequence[Spent]) -> Spent:
    """The medians of processor and wall seconds, each taken by itself."""
    return Spent(statistics.median(s.cpu for s in several), statistics.median(s.wall for s in several))
