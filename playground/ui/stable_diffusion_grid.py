"""Guidance sweeps and X/Y grids on the stage: every cell from the same noise, filling in as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from playground.sessions import Visitor
from playground.stable_diffusion import DenoisingStep, RequestError, StableDiffusionLab
from playground.stable_diffusion.desk import in_line
from playground.stable_diffusion.generation import check, generate
from playground.stable_diffusion.grid import PlannedCell, Value, plan_grid
from playground.stable_diffusion.line import Waiting
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.schedulers import SCHEDULERS
from playground.ui.common import Update
from playground.ui.live.diffusion import pack_begin, pack_cell, pack_end, pack_news, pack_tokens, tokens_meta
from playground.ui.stable_diffusion_knobs import Wish, in_words, read_axis
from playground.ui.stable_diffusion_show import Show, ended

if TYPE_CHECKING:
    from playground.ui.stable_diffusion_tab import StableDiffusionTab


def draw_grid(tab: StableDiffusionTab, visitor: Visitor, show: Show, wish: Wish, x: Any, y: Any) -> Iterator[Update]:
    """Draw a grid along the axes that the page asks for. Raises RequestError and what drawing raises."""
    across, down = read_axis(x), read_axis(y)
    if across is None:
        raise RequestError("Choose what changes along x.")
    lab = StableDiffusionLab(wish.model)
    cells = plan_grid(lab.request, wish.prompt, across, down, wish.knobs)
    for cell in cells:
        check(lab.loaded, cell.request)
    tokens = lab.tokens(wish.prompt)
    grid = {
        "x": across[0],
        "y": down[0] if down else "",
        "columns": [_label(across[0], value) for value in across[1]],
        "rows": [_label(down[0], value) for value in down[1]] if down else [""],
    }
    run, slot = show.begin(), {"prompt": wish.prompt, "tokens": tokens_meta(tokens), "seeds": [wish.seed]}
    calls = sum(SCHEDULERS[cell.request.scheduler].calls(cell.request.steps) for cell in cells)
    yield {
        tab.stage: show.tell(pack_begin(run, "grid", [slot], 1, SCHEDULERS[wish.scheduler].title, grid=grid)),
        tab.tokens: pack_tokens(tokens),
        tab.news: pack_news(f"{len(cells)} pictures, {calls:,} U-Net calls"),
        **dict.fromkeys(tab.notices.values(), ""),
    }
    done = 0
    with ended(in_line(lab.loaded, _steps(lab.loaded, cells))) as events:
        for event in events:
            visitor.touch()
            if show.run != run:
                return
            if isinstance(event, Waiting):
                if show.stopped:
                    break
                yield {tab.news: pack_news(event.words)}
            else:
                cell, step = event
                done += step.index == step.total
                message = _cell(visitor, run, wish.model, cell, step, done)
                if step.index == step.total:
                    show.cells[cell.row, cell.column] = message
                yield {tab.stage: message}
            if show.stopped:
                break
    whole = done == len(cells)
    status = f"{done} pictures. Click one to take its settings." if whole else f"Stopped: {done} of {len(cells)} drawn."
    yield {tab.stage: show.tell(pack_end(run, status, done=done))}


def _steps(loaded: Loaded, cells: Sequence[PlannedCell]) -> Iterator[tuple[PlannedCell, DenoisingStep]]:
    for cell in cells:
        for step in generate(loaded, cell.request):
            yield cell, step


def _cell(visitor: Visitor, run: int, model: str, cell: PlannedCell, step: DenoisingStep, done: int) -> str:
    """The cell as far as it is drawn; a finished one is in the gallery."""
    if step.index < step.total:
        return pack_cell(run, cell.row, cell.column, step, done=done)
    desk = visitor.diffusion
    before = {kept.number for kept in desk.gallery}
    (kept,) = desk.keep(step, cell.request, model)
    dropped = [str(number) for number in before - {each.number for each in desk.gallery}]
    words = f"{cell.request.prompt or 'no words'}; {in_words(cell.request)}, seed {cell.request.seeds[0]}"
    facts: dict[str, Any] = {"id": str(kept.number), "words": words, "prompt": cell.request.prompt, "dropped": dropped}
    return pack_cell(run, cell.row, cell.column, step, done=done, **facts)


def _label(axis: str, value: Value) -> str:
    if axis == "scheduler":
        return SCHEDULERS[str(value)].title
    return f"{value:g}" if isinstance(value, float) else str(value)
