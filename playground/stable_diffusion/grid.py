"""X/Y grids: the same noise, one knob changing along each axis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.settings import SETTINGS
from playground.stable_diffusion.generation import DenoisingStep, generate
from playground.stable_diffusion.limits import check
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError
from playground.stable_diffusion.speed import unet_calls

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
class GridCell:
    """A picture of a grid: its place, what the axes say there, and the run that draws it."""

    row: int
    column: int
    x: Value
    y: Value | None
    request: Request


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid, checked when it is made and drawn when it is iterated over: cell after cell, every step of each.

    Raises what `limits.check` raises.
    """

    loaded: Loaded
    cells: Sequence[GridCell]  # row by row
    init_image: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        for cell in self.cells:
            check(self.loaded, cell.request, self.init_image, self.mask)

    @property
    def calls(self) -> int:
        """U-Net calls of all cells together."""
        requests = [cell.request for cell in self.cells]
        return sum(unet_calls(r.scheduler, r.steps, 1.0 if self.init_image is None else r.strength) for r in requests)

    def __iter__(self) -> Iterator[tuple[GridCell, DenoisingStep]]:
        """Raises what `generate` raises."""
        for cell in self.cells:
            for step in generate(self.loaded, cell.request, self.init_image, self.mask):
                yield cell, step


def plan_grid(
    make: Callable[..., Request], prompt: str, x: Axis, y: Axis | None, knobs: dict[str, Any]
) -> list[GridCell]:
    """The cells row by row; `make(prompt, **knobs)` makes a request. Both axes may replace a word, if not the same.

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
    planned: list[GridCell] = []
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
            planned.append(GridCell(row, column, across, down, make(words, **{**turned, "images": 1})))
    if (steps := sum(cell.request.steps * cell.request.images for cell in planned)) > SETTINGS.max_image_steps:
        raise RequestError(
            f"{len(planned)} pictures have {steps:,} steps together: take fewer of either (at most "
            f"{SETTINGS.max_image_steps:,})."
        )
    return planned


def _places(prompt: str, axes: Sequence[Axis]) -> dict[tuple[int, int], int]:
    """(start, end) in `prompt`: the index of the axis that puts its word there. It does so wherever its first value
    stands as a word of its own. Raises RequestError.
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
