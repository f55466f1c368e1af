"""What all benchmarks share: their arguments, the table that they print, and the same figures as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from benchmarks.machine import describe


@dataclass(frozen=True)
class Figure:
    """A row of the table: ours, the other's, the number that has a goal, and whether the goal is met."""

    what: str
    ours: str
    other: str
    value: float | None
    goal: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None or self.value is None:
            return None if self.goal is None else False
        return self.value <= self.goal if self.at_most else self.value >= self.goal


class Report:
    """A benchmark's output: first the machine, at the end the table, and the JSON where `--json` asks for it."""

    def __init__(self, arguments: argparse.Namespace, *notes: str) -> None:
        """Sets torch to one thread, and prints the machine and `notes`, what holds for all figures."""
        torch.set_num_threads(1)
        self.json, self.quick = arguments.json, getattr(arguments, "quick", False)
        self.stream: TextIO = sys.stderr if self.json == "-" else sys.stdout
        self.machine = f"{describe()}, 1 thread of torch"
        self.note(self.machine, *(["quick: not for quoting"] if self.quick else []), *notes)

    def note(self, *lines: str) -> None:
        """Print `lines` where the table goes."""
        print(*lines, sep="\n", file=self.stream, flush=True)

    def finish(self, figures: Sequence[Figure], sides: tuple[str, str] = ("ours", "the other"), **rest: Any) -> None:
        """Print the table, its two columns of measurements headed by `sides`; `rest` goes into the JSON alone."""
        show(figures, self.stream, sides)
        if self.json is None:
            return
        report = {
            "machine": self.machine,
            "quick": self.quick,
            "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
            **rest,
        }
        text = json.dumps(report, indent=1, ensure_ascii=False)
        print(text) if self.json == "-" else Path(self.json).write_text(text, encoding="utf-8")


def make_parser(
    doc: str | None, quick: str = "", parts: Sequence[str] = (), against: bool = False
) -> argparse.ArgumentParser:
    """A benchmark's arguments. `quick`: what --quick does; `parts`: what --only may choose from."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="all figures; -: to the standard output, the table to the other")
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    if parts:
        parser.add_argument("--only", choices=parts, nargs="+", default=parts)
    if against:
        parser.add_argument("--against", metavar="COMMIT", help="only compare the lab's speed with that of COMMIT")
        parser.add_argument("--rounds", type=int, default=6, help="of --against: each runs both checkouts once")
    return parser


def show(figures: Sequence[Figure], stream: TextIO, sides: tuple[str, str] = ("ours", "the other")) -> None:
    """Print the table; columns that are empty throughout are left out."""
    rows = [("", *sides, "figure", "goal", "met")]
    for figure in figures:
        goal = "" if figure.goal is None else ("≤" if figure.at_most else "≥") + number(figure.goal)
        met = "" if figure.met is None else "yes" if figure.met else "NO"
        rows.append((figure.what, figure.ours, figure.other, number(figure.value), goal, met))
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=stream)


def number(value: float | None) -> str:
    """Small ratios as 1/n."""
    if value is None:
        return ""
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.3g}"


def say(text: str) -> None:
    """Progress, kept apart from the table."""
    print(text, file=sys.stderr, flush=True)
