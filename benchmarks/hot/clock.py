"""Runs one checkout's hot paths and prints their processor seconds as JSON: benchmarks/against.py starts it.

    python -P benchmarks/hot/clock.py FILE [--names | NAME …]

The checkout to be measured is the one on PYTHONPATH; this file and FILE may come from another one.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections.abc import Callable, Iterator

FEWEST, MOST, ENOUGH = 3, 20, 1.0  # runs of each: at least, at most, and so many seconds are enough


def fewest_seconds(work: Callable[[], object]) -> float:
    """Of the quickest run, the one that other work on the machine disturbed least. The first, which pays for imports
    and empty caches, does not count.
    """
    work()
    seconds: list[float] = []
    while len(seconds) < FEWEST or (len(seconds) < MOST and sum(seconds) < ENOUGH):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return min(seconds)


def main(path: str, *names: str) -> None:
    """Print the names of all figures, or the seconds of those in `names`."""
    make: Callable[[], Iterator[tuple[str, Callable[[], object]]]] = runpy.run_path(path)["figures"]
    begun = time.process_time()
    figures = dict(make())
    prepared = time.process_time() - begun
    if names == ("--names",):
        print(json.dumps(["import and preparation", *figures]))
        return
    seconds = {"import and preparation": prepared}
    seconds |= {name: fewest_seconds(work) for name, work in figures.items() if name in names}
    print(json.dumps({name: value for name, value in seconds.items() if name in names}))


if __name__ == "__main__":
    main(*sys.argv[1:])
