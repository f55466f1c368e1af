"""The toy lab beside the recipe it grew from, and its page beside an empty one.

    python -m benchmarks.toy [--json FILE|-] [--only training|sampling|startup|page …] [--data spiral …]
                             [--epochs N] [--quick]

Nothing is remembered from an earlier run: the reference (benchmarks/reference_toy.py) is trained anew each time, for 40
of its 100 epochs. The whole takes about a quarter of an hour on two cores; leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import torch

from benchmarks.machine import describe
from benchmarks.reference_toy import PUBLISHED_EPOCHS, T
from benchmarks.toy_contest import SAMPLED, Contest, Effort, contest, warm_up
from benchmarks.toy_page import Page, Startup, measure_page, measure_startup
from playground.toy.data import DATASETS

PARTS = ("training", "sampling", "startup", "page")
SHARED_EPOCHS = 40
QUICK = Effort(200, 1, 2, (0,), (30, 60), 1)


@dataclass(frozen=True)
class Figure:
    """A line of the table: ours, the other's, the number that has a goal, and whether it is met."""

    what: str
    ours: str
    other: str
    value: float | None
    goal: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool | None:
        """None where nothing is aimed at."""
        if self.goal is None or self.value is None:
            return None if self.goal is None else False
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def figures(contests: list[Contest], startup: Startup | None, page: Page | None) -> list[Figure]:
    """The table's lines."""
    lines = []
    for c in contests:
        aims = [("training to its quality", c.equal, 1 / 100)]
        if c.dataset == "spiral":
            aims.append(("training to half its distance", c.half, 1 / 20))
        for what, attempt, goal in aims:
            ours, ratio = "not reached", None
            if attempt:
                ours = f"{attempt.spent}, {attempt.steps} steps"
                ratio = attempt.spent.cpu / c.reference_spent.cpu
            lines.append(Figure(f"{c.dataset}: {what}", ours, str(c.reference_spent), ratio, goal))
            if attempt:
                lines.append(Figure("    excess distance, energy, off", str(attempt.distances), str(c.final), None))
        if s := c.sampling:
            ratio = s.ours.cpu / s.reference.cpu if s.excess <= s.reference_excess else None
            ours = f"{s.ours}, {s.steps} steps, {s.excess:.4f}"
            other = f"{s.reference}, {T:,} steps, {s.reference_excess:.4f}"
            lines.append(Figure(f"{c.dataset}: {SAMPLED:,} samples, excess distance", ours, other, ratio, 1 / 30))
    if startup:
        ours, other = f"{startup.app:.2f} s", f"{startup.empty:.2f} s"
        lines.append(Figure("start, against an empty Gradio page", ours, other, startup.app / startup.empty, 1.5))
    if page:
        rates = f"{page.steps_per_second:.0f}", f"{page.headless_steps_per_second:.0f}"
        ratio = page.steps_per_second / page.headless_steps_per_second
        lines += [
            Figure("page: training steps/s, against no page", *rates, ratio, 0.6, at_most=False),
            Figure("page: new frames/s while it trains", f"{page.frames_per_second:.1f}", "", None),
            Figure("page: painted frames/s while it trains", f"{page.painted_per_second:.1f}", "", None),
            Figure("page: main thread busy while it trains", f"{100 * page.busy:.0f} %", "", None),
            Figure("page: canvas re-mounted", str(page.remounts), "", page.remounts, 0),
            Figure("page: requests while scrubbing", str(page.scrub_requests), "", page.scrub_requests, 0),
            Figure(
                "page: painted frames/s while scrubbing",
                f"{page.scrub_painted_per_second:.1f}",
                "",
                page.scrub_painted_per_second,
                30,
                at_most=False,
            ),
        ]
    return lines


def show(lines: Sequence[Figure], table: TextIO) -> None:
    """The table."""
    rows = [("", "ours", "the other", "figure", "goal", "met")]
    for f in lines:
        sign = "≤" if f.at_most else "≥"
        verdict = "" if f.met is None else "yes" if f.met else "NO"
        rows.append(
            (f.what, f.ours, f.other, number(f.value), "" if f.goal is None else sign + number(f.goal), verdict)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=table)


def number(value: float | None) -> str:
    """Small ratios as 1/n."""
    if value is None:
        return ""
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.3g}"


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--data", choices=DATASETS, nargs="+", default=["spiral", "disc_grid", "checkerboard"])
    parser.add_argument("--epochs", type=int, default=SHARED_EPOCHS, help="of the reference; as published: 100")
    parser.add_argument("--quick", action="store_true", help="half a minute, to see that everything runs")
    parser.add_argument(
        "--json", metavar="FILE", help="all figures; -: to the standard output, and the table beside it"
    )
    arguments = parser.parse_args()
    quick, only = arguments.quick, arguments.only
    effort = QUICK if quick else Effort()
    data, epochs = (arguments.data[:1], 1) if quick else (arguments.data, arguments.epochs)

    table = sys.stderr if arguments.json == "-" else sys.stdout
    torch.set_num_threads(1)
    machine = f"{describe()}, 1 thread of torch"
    print(machine, file=table)
    if quick:
        print("quick: not for quoting", file=table)
    print("seconds of the processor (of the wall)", file=table)
    # first: what can be missing, app or browser, is missed before minutes of training
    startup = measure_startup(1 if quick else 6) if "startup" in only else None
    page = measure_page(1 if quick else 2, 2.0 if quick else 10.0) if "page" in only else None
    contests: list[Contest] = []
    if "training" in only or "sampling" in only:
        shared = f"reference: {epochs} of its {PUBLISHED_EPOCHS} epochs; ours: medians over {len(effort.seeds)} seeds"
        judged = f"distances: {effort.sets} × {effort.samples:,} samples, {effort.draws} fresh draws, floors taken out"
        print(shared, judged, sep="\n", file=table)
        warm_up()
        contests = [contest(dataset, epochs, effort, "sampling" in only) for dataset in data]
    lines = figures(contests, startup, page)
    show(lines, table)
    if arguments.json:
        report = {
            "machine": machine,
            "quick": quick,
            "epochs": epochs,
            "effort": asdict(effort),
            "figures": [asdict(line) | {"met": line.met} for line in lines],
            "contests": [asdict(c) for c in contests],
            "startup": startup and asdict(startup),
            "page": page and asdict(page),
        }
        text = json.dumps(report, indent=1, ensure_ascii=False)
        print(text) if arguments.json == "-" else Path(arguments.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
