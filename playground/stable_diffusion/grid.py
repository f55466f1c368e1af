"""X/Y grids: the same noise, one knob changing along each axis."""

from __future__ import annotations

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
    """The cells row by row; `make(prompt, **knobs)` makes a request. Raises RequestError."""
    axes = [x] if y is None else [x, y]
    for name, values in axes:
        if name not in AXES:
            raise RequestError(f"No axis {name[:40]!r}. Choose one of: {', '.join(AXES)}.")
        if not values:
            raise RequestError(f"The axis {AXES[name]} has no values: write at least one.")
        if name == "word" and str(values[0]) not in prompt:
            raise RequestError(f"The prompt does not have {str(values[0])[:80]!r}: begin with the word to replace.")
    if y is not None and x[0] == y[0]:
        raise RequestError("Both axes turn the same knob. Choose another for one of them.")
    rows: Sequence[Value | None] = [None] if y is None else y[1]
    planned: list[PlannedCell] = []
    if (total := len(x[1]) * len(rows)) > SETTINGS.max_grid_pictures:
        raise RequestError(f"{total} pictures are too many: at most {SETTINGS.max_grid_pictures}.")
    for row, down in enumerate(rows):
        for column, across in enumerate(x[1]):
            words, turned = prompt, dict(knobs)
            for axis, value in zip(axes, (across, down), strict=False):
                if axis[0] == "word":
                    words = words.replace(str(axis[1][0]), str(value))
                elif axis[0] == "seed":
                    turned |= {"seed": value, "seeds": None}
                else:
                    turned[axis[0]] = value
            planned.append(PlannedCell(row, column, across, down, make(words, **{**turned, "images": 1})))
    if (steps := sum(cell.request.steps * cell.request.images for cell in planned)) > SETTINGS.max_image_steps:
        raise RequestError(
            f"{len(planned)} pictures have {steps:,} steps together: take fewer of either (at most "
            f"{SETTINGS.max_image_steps:,})."
        )
    return planned


def run_grid(loaded: Loaded, cells: Sequence[PlannedCell]) -> Iterator[GridCell]:
    """Draw the cells one after another, every step of each."""
    for done, cell in enumerate(cells):
        for step in generation.generate(loaded, cell.request):
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
