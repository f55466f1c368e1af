"""The toy lab beside the recipe it grew from, and its page beside an empty one.

    python -m benchmarks.toy [--json FILE|-] [--only training|sampling|startup|page …] [--data spiral …]
                             [--epochs N] [--quick]
    python -m benchmarks.toy --against COMMIT

Nothing is remembered from an earlier run: the reference (benchmarks/reference_toy.py) is trained anew each time, for 40
of its 100 epochs. The whole takes about a quarter of an hour on two cores; leave the machine alone meanwhile.
"""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.against import compare
from benchmarks.reference_toy import PUBLISHED_EPOCHS, T
from benchmarks.table import Figure, Report, make_parser
from benchmarks.toy_contest import SAMPLED, Contest, Effort, contest, warm_up
from benchmarks.toy_page import Page, Startup, measure_page, measure_startup
from playground.toy.data import DATASETS

PARTS = ("training", "sampling", "startup", "page")
SHARED_EPOCHS = 40
QUICK = Effort(200, 1, 2, (0,), (30, 60), 1)


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


def main() -> None:
    """Measure what was asked for and print it."""
    parser = make_parser(__doc__, "half a minute, to see that everything runs", PARTS, against=True)
    parser.add_argument("--data", choices=DATASETS, nargs="+", default=["spiral", "disc_grid", "checkerboard"])
    parser.add_argument("--epochs", type=int, default=SHARED_EPOCHS, help="of the reference; as published: 100")
    arguments = parser.parse_args()
    if arguments.against:
        compare(("toy", "app"), arguments)
        return
    quick, only = arguments.quick, arguments.only
    effort = QUICK if quick else Effort()
    data, epochs = (arguments.data[:1], 1) if quick else (arguments.data, arguments.epochs)

    report = Report(arguments, "seconds of the processor (of the wall)")
    # first: what can be missing, app or browser, is missed before minutes of training
    startup = measure_startup(1 if quick else 6) if "startup" in only else None
    page = measure_page(1 if quick else 2, 2.0 if quick else 10.0) if "page" in only else None
    contests: list[Contest] = []
    if "training" in only or "sampling" in only:
        shared = f"reference: {epochs} of its {PUBLISHED_EPOCHS} epochs; ours: medians over {len(effort.seeds)} seeds"
        judged = f"distances: {effort.sets} × {effort.samples:,} samples, {effort.draws} fresh draws, floors taken out"
        report.note(shared, judged)
        warm_up()
        contests = [contest(dataset, epochs, effort, "sampling" in only) for dataset in data]
    report.finish(
        figures(contests, startup, page),
        epochs=epochs,
        effort=asdict(effort),
        contests=[asdict(c) for c in contests],
        startup=startup and asdict(startup),
        page=page and asdict(page),
    )


if __name__ == "__main__":
    main()
