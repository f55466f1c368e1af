"""Guidance sweeps and X/Y grids on the stage: every cell from the same noise, filling in as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from playground.fair_lock import COMPUTE_LOCK
from playground.sessions import Visitor
from playground.stable_diffusion import DenoisingStep, Request, RequestError, StableDiffusionLab
from playground.stable_diffusion.device_queue import Waiting
from playground.stable_diffusion.digits.pictures import SIZE
from playground.stable_diffusion.generation import check, generate
from playground.stable_diffusion.grid import PlannedCell, Value, plan_grid
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.picture import Kind
from playground.stable_diffusion.prompt_check import read, said
from playground.stable_diffusion.schedulers import SCHEDULERS
from playground.stable_diffusion.session import queued
from playground.ui.shared.notices import Update
from playground.ui.stable_diffusion.knobs import DrawSettings, in_words, read_axis
from playground.ui.stable_diffusion.show import Show, ended
from playground.ui.stable_diffusion.stage import pack_begin, pack_cell, pack_end, pack_news, pack_tokens, tokens_meta

if TYPE_CHECKING:
    from playground.ui.stable_diffusion.tab import StableDiffusionTab


def draw_grid(
    tab: StableDiffusionTab, visitor: Visitor, show: Show, settings: DrawSettings, x: Any, y: Any
) -> Iterator[Update]:
    """Draw a grid along the axes that the page asks for. Raises RequestError and what drawing raises."""
    across, down = read_axis(x), read_axis(y)
    if across is None:
        raise RequestError("Choose what changes along x.")
    lab = StableDiffusionLab(settings.model)
    image, mask, begun = show.start(settings.begin, settings.height, settings.width)
    cells = plan_grid(lab.request, settings.prompt, across, down, settings.knobs)
    for cell in cells:
        check(lab.loaded, cell.request, image, mask)
    tokens = lab.tokens(settings.prompt)
    grid = {
        "x": across[0],
        "y": down[0] if down else "",
        "columns": [_label(across[0], value) for value in across[1]],
        "rows": [_label(down[0], value) for value in down[1]] if down else [""],
    }
    run, slot = show.begin(), {"prompt": settings.prompt, "tokens": tokens_meta(tokens), "seeds": [settings.seed]}
    yield {
        tab.stage: show.tell(
            pack_begin(run, "grid", [slot], 1, SCHEDULERS[settings.scheduler].title, begun, grid=grid)
        ),
        tab.tokens: pack_tokens(tokens),
        tab.news: pack_news(_cost(cells, image is not None)),
        **dict.fromkeys(tab.notices.values(), ""),
    }
    kind: Kind = "text" if image is None else "img2img" if mask is None else "inpaint"
    tally = Tally(settings.model == "tiny" and (settings.height, settings.width) == (SIZE, SIZE))
    with ended(queued(lab.loaded, _steps(lab.loaded, cells, image, mask))) as events:
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
                message = _cell(visitor, run, settings.model, kind, cell, step, tally)
                if step.index == step.total:
                    show.cells[cell.row, cell.column] = message
                yield {tab.stage: message}
            if show.stopped:
                break
    done, whole = tally.done, tally.done == len(cells)
    pictures = f"{done} {'picture' if done == 1 else 'pictures'}. Click one to take its settings."
    status = pictures if whole else f"Stopped: {done} of {len(cells)} drawn."
    told = f"{status} {tally.in_words}".strip()
    yield {tab.stage: show.tell(pack_end(run, told, wrong=bool(tally.faults), done=done))}


@dataclass
class Tally:
    """What came out so far. `judged`: the pictures are of the tiny model's kind, which the judge can read."""

    judged: bool
    done: int = 0
    right: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})  # of unseen pairs, of others
    faults: dict[str, None] = field(default_factory=dict)  # what steps had to say, each once

    def take(self, request: Request, step: DenoisingStep) -> str:
        """Count a finished picture; what the judge reads in it."""
        self.done += 1
        self.faults |= {step.words: None} if step.words else {}
        words = said(request.prompt) if self.judged else None
        if words is None or step.images is None:
            return ""
        with COMPUTE_LOCK.work():
            reading = read(step.images[0])
        self.right[words.unseen].append(not reading.wrong(words))
        return reading.in_words(words)

    @property
    def in_words(self) -> str:
        """For the end of the grid."""
        names = {True: " unseen pairs", False: " others" if self.right[True] else ""}
        shares = [f"{sum(each)} of {len(each)}{names[unseen]}" for unseen, each in self.right.items() if each]
        counted = f"Right, as the judge reads them: {', '.join(shares)}." if shares else ""
        return " ".join(filter(None, [counted, *self.faults]))


def _cost(cells: Sequence[PlannedCell], begun: bool) -> str:
    """How much there is to do, before it is done; of a picture the first steps are skipped, as diffusers does."""
    walked = [
        (SCHEDULERS[request.scheduler], int(request.steps * request.strength) if begun else request.steps)
        for request in (cell.request for cell in cells)
    ]
    calls = sum(scheduler.calls(steps) for scheduler, steps in walked)
    return f"{len(cells)} {'picture' if len(cells) == 1 else 'pictures'}, {calls:,} U-Net calls"


def _steps(
    loaded: Loaded, cells: Sequence[PlannedCell], image: Tensor | None, mask: Tensor | None
) -> Iterator[tuple[PlannedCell, DenoisingStep]]:
    for cell in cells:
        for step in generate(loaded, cell.request, image, mask):
            yield cell, step


def _cell(
    visitor: Visitor, run: int, model: str, kind: Kind, cell: PlannedCell, step: DenoisingStep, tally: Tally
) -> str:
    """The cell as far as it is drawn; a finished one is in the gallery."""
    request = cell.request
    words = said(request.prompt) if model == "tiny" else None
    unseen = bool(words and words.unseen)
    if step.index < step.total:
        return pack_cell(run, cell.row, cell.column, step, done=tally.done, unseen=unseen)
    session = visitor.stable_diffusion
    before = {kept.number for kept in session.gallery}
    (kept,) = session.keep(step, request, model, kind)
    dropped = [str(number) for number in before - {each.number for each in session.gallery}]
    told = [f"{request.prompt or 'no words'}; {in_words(request)}, seed {request.seeds[0]}"]
    told += ["unseen pair"] if unseen else []
    told += [read_as] if (read_as := tally.take(request, step)) else []
    facts: dict[str, Any] = {"id": str(kept.number), "words": "; ".join(told), "prompt": request.prompt}
    facts |= {"unseen": unseen, "dropped": dropped}
    return pack_cell(run, cell.row, cell.column, step, done=tally.done, **facts)


def _label(axis: str, value: Value) -> str:
    if axis == "scheduler":
        return SCHEDULERS[str(value)].title
    return f"{value:g}" if isinstance(value, float) else str(value)
