"""X/Y grids: the same noise, one knob changing along each axis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.settings import SETTINGS
from playground.stable_diffusion import generation
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError

Value = float | int | str
Axis = tuple[str, Sequence[Value]]
AXES = {
    "guidance_scale": "guidance",
    "steps": "steps",
    "scheduler": "scheduler",
    "seed": "seed",
    "word": "word of the prompt",
}


@dataclass(frozen=True)
class PlannedCell:
    """A cell to be drawn."""

    row: int
    column: int
    x: Value
    y: Value | None
    request: Request


@dataclass(frozen=True, eq=False)
class GridCell:
    """A cell as far as it is drawn; `image` (3, H, W) in [0, 1], a preview until it is finished."""

    row: int
    column: int
    x: Value
    y: Value | None
    request: Request
    image: Tensor | None
    step: int  # of its own `steps`
    steps: int
    finished: bool
    done: int  # cells finished, this one included
    total: int


def plan_grid(
    make: Callable[..., Request], prompt: str, x: Axis, y: Axis | None, knobs: dict[str, Any]
) -> list[PlannedCell]:
    """The cells row by row; `make(prompt, **knobs)` makes a request. Both axes may replace a word, each another one.

    Raises RequestError.
    """
    axes = [x] if y is None else [x, y]
    for name, values in axes:
        if name not in AXES:
            raise RequestError(f"No axis {name[:40]!r}. Choose one of: {', '.join(AXES)}.")
        if not values:
            raise RequestError(f"The axis {AXES[name]} has no values: write at least one.")
    if y is not None and x[0] == y[0] != "word":
        raise RequestError("Both axes turn the same knob. Choose another for one of them.")
    places = _places(prompt, axes)
    rows: Sequence[Value | None] = [None] if y is None else y[1]
    planned: list[PlannedCell] = []
    if (total := len(x[1]) * len(rows)) > SETTINGS.max_grid_pictures:
        raise RequestError(f"{total} pictures are too many: at most {SETTINGS.max_grid_pictures}.")
    for row, down in enumerate(rows):
        for column, across in enumerate(x[1]):
            words, turned, here = prompt, dict(knobs), (across, down)
            for (start, end), axis in sorted(places.items(), reverse=True):  # from the last: the others stay in place
                words = f"{words[:start]}{here[axis]}{words[end:]}"
            for (name, _), value in zip(axes, here, strict=False):
                if name == "seed":
                    turned |= {"seed": value, "seeds": None}
                elif name != "word":
                    turned[name] = value
            planned.append(PlannedCell(row, column, across, down, make(words, **{**turned, "images": 1})))
    if (steps := sum(cell.request.steps * cell.request.images for cell in planned)) > SETTINGS.max_image_steps:
        raise RequestError(
            f"{len(planned)} pictures have {steps:,} steps together: take fewer of either (at most "
            f"{SETTINGS.max_image_steps:,})."
        )
    return planned


def _places(prompt: str, axes: Sequence[Axis]) -> dict[tuple[int, int], int]:
    """Where in `prompt` which of the axes puts its word, from and to: wherever the axis's first value stands as a word
    of its own. Raises RequestError.
    """
    places: dict[tuple[int, int], int] = {}
    for axis, (name, values) in enumerate(axes):
        if name != "word":
            continue
        word = str(values[0]).strip()
        edges = [r"\b" if re.match(r"\w", letter) else "" for letter in (word[:1], word[-1:])]
        found = [match.span() for match in re.finditer(f"{edges[0]}{re.escape(word)}{edges[1]}", prompt) if word]
        if not found:
            raise RequestError(
                f"The prompt does not have {word[:80]!r} as a word of its own: begin with the word to replace."
            )
        if any(start < other[1] and other[0] < end for start, end in found for other in places):
            raise RequestError(f"Both axes replace {word[:80]!r}: let one of them begin with another word.")
        places |= dict.fromkeys(found, axis)
    return places


def run_grid(
    loaded: Loaded, cells: Sequence[PlannedCell], init_image: Tensor | None = None, mask: Tensor | None = None
) -> Iterator[GridCell]:
    """Draw the cells one after another, every step of each; all from `init_image`, where there is one."""
    for done, cell in enumerate(cells):
        for step in generation.generate(loaded, cell.request, init_image, mask):
            finished = step.index == step.total
            yield GridCell(
                row=cell.row,
                column=cell.column,
                x=cell.x,
                y=cell.y,
                request=cell.request,
                image=None if step.images is None else step.images[0],
                step=step.index,
                steps=step.total,
                finished=finished,
                done=done + finished,
                total=len(cells),
            )
