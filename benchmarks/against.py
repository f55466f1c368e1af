"""This checkout beside an older commit of itself: the hot paths of both, in one run.

Other work slows a shared machine down for minutes at a time. So the two alternate in fresh processes (before, after,
after, before, …), what is compared is processor time on one thread, and a figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.table import Figure, Report, say

ROOT = Path(__file__).resolve().parents[1]
HOT = ROOT / "benchmarks" / "hot"
WORSE = 1.05  # after ÷ before: the goal
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A working tree of `commit` in a temporary folder, gone afterwards. Exits where there is no such commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        added = subprocess.run(
            ["git", "worktree", "add", "--detach", str(tree), commit], cwd=ROOT, capture_output=True, text=True
        )
        if added.returncode:
            sys.exit(added.stderr.strip())
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def ask(tree: Path, part: str, *names: str) -> Any:
    """What clock.py, run on the checkout in `tree`, says of benchmarks/hot/`part`.py. Exits where that fails."""
    # The scripts are this checkout's, the code they import is the tree's: -P keeps their own folder off the path.
    command = [sys.executable, "-P", str(HOT / "clock.py"), str(HOT / f"{part}.py"), *names]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(tree), "GRADIO_ANALYTICS_ENABLED": "False"}
    answer = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"{part} cannot be measured in {tree}:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


def measure(part: str, before: Path, rounds: int) -> list[Figure]:
    """What both checkouts can do, in processor seconds."""
    theirs = ask(before, part, "--names")
    names = [name for name in ask(ROOT, part, "--names") if name in theirs]
    seconds: dict[Path, list[dict[str, float]]] = {before: [], ROOT: []}
    for k in range(rounds):
        for tree in (before, ROOT) if k % 2 == 0 else (ROOT, before):
            seconds[tree].append(ask(tree, part, *names))
        say(f"{part}: round {k + 1} of {rounds}")
    return [_figure(part, name, [[s[name] for s in seconds[tree]] for tree in (before, ROOT)]) for name in names]


def _figure(part: str, name: str, seconds: list[list[float]]) -> Figure:
    before, after = (statistics.median(each) for each in seconds)
    # Neighbours in time share what else the machine did: their ratio varies less than the seconds do.
    ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
    return Figure(f"{part}: {name}", f"{before:.3g} s", f"{after:.3g} s", ratio, WORSE)


def compare(parts: Sequence[str], arguments: argparse.Namespace) -> None:
    """Measure `parts`, files of benchmarks/hot, in `arguments.against` and here, and print both."""
    report = Report(arguments, f"seconds of the processor, medians of {arguments.rounds} processes each")
    with checkout(arguments.against) as before:
        figures = [figure for part in parts for figure in measure(part, before, arguments.rounds)]
    report.finish(figures, ("before", "after"), against=arguments.against)
