"""The Schedules tab's numbers: how soon the quality chart is there, whether it shows what theory says, and the page.

    python -m benchmarks.schedules [--json FILE|-] [--only chart|page …] [--quick]
    python -m benchmarks.schedules --against COMMIT

The chart is the page's first: the exact denoiser of the blurred spiral, six samplers × four schedules, 4 … 128 calls.
Slopes are of the error over 16 calls and more, on the Karras schedule, where the steps follow what the paths need. The
chart takes half a minute at most, the page (benchmarks/schedules_page.py) about a minute; leave the machine alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from benchmarks.against import compare
from benchmarks.page import rows
from benchmarks.stopwatch import Spent, spend
from benchmarks.table import Figure, Report, make_parser
from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.sampling_config import scheduled
from playground.schedules.quality import POINTS, ChartConfig, ChartPoint, floor, measure, slope
from playground.schedules.reference import ENDS

PARTS = ("chart", "page")
FIRST_CURVE, ALL_CURVES = 2.0, 30.0  # seconds: the goals
THEORY = "karras"  # the schedule whose slopes are printed
ASYMPTOTIC = 16  # calls: below, steps are too long for an order to show
TOLERANCE = 0.3
QUICK_CALLS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Chart:
    """One chart, from nothing known to its last point."""

    config: ChartConfig
    first_curve: Spent
    all_curves: Spent
    floor: float  # of `distance`, in the cloud's units
    points: list[ChartPoint]


def measure_chart(config: ChartConfig) -> Chart:
    """Draw the whole chart once. diffusers, which the app imports in the background, is there already."""
    import_diffusers(*(row.class_name for row in scheduled().values()))
    for cache in (POINTS, ENDS):
        cache.clear()
    points: list[ChartPoint] = []
    run = (event for event in measure(config) if isinstance(event, ChartPoint))
    first = spend(lambda: points.extend(islice(run, len(config.calls))))
    rest = spend(lambda: points.extend(run))
    everything = Spent(first.cpu + rest.cpu, first.wall + rest.wall)
    return Chart(config, first, everything, floor(config), points)


def slopes(chart: Chart) -> dict[str, float]:
    """The error's slope on the schedule `THEORY`, by sampler."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for point in chart.points:
        of_theory = chart.config.schedules[point.schedule].name == THEORY
        if of_theory and point.error is not None and point.budget >= ASYMPTOTIC:
            lines[point.sampler].append((point.calls, point.error))
    return {sampler: slope(line) for sampler, line in lines.items()}


def figures(chart: Chart | None) -> list[Figure]:
    """The chart's lines of the table."""
    if chart is None:
        return []
    size = f"{len(chart.config.samplers)} samplers × {len(chart.config.schedules)} schedules"
    calls = f"{chart.config.calls[0]} … {chart.config.calls[-1]} calls"
    lines = [
        Figure(f"first curve, {calls}", str(chart.first_curve), "", chart.first_curve.cpu, FIRST_CURVE),
        Figure(f"all: {size}", str(chart.all_curves), "", chart.all_curves.cpu, ALL_CURVES),
    ]
    for sampler, found in slopes(chart).items():
        order = -float(SAMPLERS[sampler].order) or None
        theory = "" if order is None else f"theory {order:g} ± {TOLERANCE:g}"
        away = None if order is None else abs(found - order)
        goal = None if order is None else TOLERANCE
        lines.append(Figure(f"{THEORY}, {SAMPLERS[sampler].title}: slope", f"{found:.2f}", theory, away, goal))
    missing = sum(bool(point.note) for point in chart.points)
    lines.append(Figure("points left out, with the reason", f"{missing} of {len(chart.points)}", "", None))
    return lines


def measure_page() -> dict[str, Any]:
    """The page's own figures. Imported here: it needs a browser."""
    from benchmarks.schedules_page import run

    return run()


def main() -> None:
    """Measure what was asked for and print it."""
    arguments = make_parser(__doc__, "a few seconds, to see that the chart runs", PARTS, against=True).parse_args()
    if arguments.against:
        compare(("schedules",), arguments)
        return
    config = ChartConfig()
    if arguments.quick:
        config = replace(config, calls=QUICK_CALLS)

    report = Report(arguments, "seconds of the processor (of the wall)")
    chart = measure_chart(config) if "chart" in arguments.only else None
    page = measure_page() if "page" in arguments.only else {}
    report.finish(
        [*figures(chart), *rows(page)], chart=chart and asdict(chart), slopes=chart and slopes(chart), page=page
    )


if __name__ == "__main__":
    main()
