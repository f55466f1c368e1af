"""Guidance sweeps and X/Y grids on the stage: every cell from the same noise, filling in as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from playground.diffusion.samplers import SAMPLERS
from playground.fair_lock import COMPUTE_LOCK
from playground.stable_diffusion import DenoisingStep, Request, RequestError, StableDiffusionLab
from playground.stable_diffusion.device_queue import Waiting
from playground.stable_diffusion.digits.pictures import SIZE
from playground.stable_diffusion.grid import GridCell, Value
from playground.stable_diffusion.prompt_check import parse_prompt, read
from playground.stable_diffusion.session import StableDiffusionSession, queued
from playground.ui.shared.notices import Update
from playground.ui.stable_diffusion.knobs import KINDS, DrawSettings, in_words, read_axis
from playground.ui.stable_diffusion.stage import (
    Channels,
    pack_begin,
    pack_cell,
    pack_end,
    pack_news,
    pack_tokens,
    tokens_meta,
)
from playground.ui.stable_diffusion.state import Visit, closing


def draw_grid(channels: Channels, visit: Visit, settings: DrawSettings, x: Any, y: Any) -> Iterator[Update]:
    """Draw a grid along the axes that the page asks for. Raises RequestError and what drawing raises."""
    across, down = read_axis(x), read_axis(y)
    if across is None:
        raise RequestError("Choose what changes along x.")
    (visitor, state), lab = visit, StableDiffusionLab(settings.model)
    image, mask, start = state.start(settings.start_from, settings.height, settings.width)
    grid = lab.grid(settings.prompt, across, down, init_image=image, mask=mask, **settings.knobs)
    tokens = lab.tokens(settings.prompt)
    axes = {
        "x": across[0],
        "y": down[0] if down else "",
        "columns": [_label(across[0], value) for value in across[1]],
        "rows": [_label(down[0], value) for value in down[1]] if down else [""],
    }
    run, slot = state.new_run(), {"prompt": settings.prompt, "tokens": tokens_meta(tokens), "seeds": [settings.seed]}
    begin = pack_begin(run, "grid", [slot], 1, SAMPLERS[settings.scheduler].title, start, grid=axes)
    total = len(grid.cells)
    yield {
        channels.stage: state.remember(begin),
        channels.tokens: pack_tokens(tokens),
        channels.news: pack_news(f"{total} {_pictures(total)}, {grid.calls:,} U-Net calls"),
        **dict.fromkeys(channels.notices.values(), ""),
    }
    tally = Tally(settings.model == "tiny" and (settings.height, settings.width) == (SIZE, SIZE))
    with closing(queued(lab.loaded, iter(grid))) as events:
        for event in events:
            visitor.touch()
            if state.run != run:
                return
            if isinstance(event, Waiting):
                if state.stopped:
                    break
                yield {channels.news: pack_news(event.words)}
            else:
                cell, step = event
                message = _pack_cell(visitor.stable_diffusion, run, settings, cell, step, tally)
                if step.index == step.total:
                    state.cells[cell.row, cell.column] = message
                yield {channels.stage: message}
            if state.stopped:
                break
    done = tally.done
    whole = f"{done} {_pictures(done)}. Click one to take its settings."
    status = whole if done == total else f"Stopped: {done} of {total} drawn."
    status = f"{status} {tally.in_words}".strip()
    yield {channels.stage: state.remember(pack_end(run, status, wrong=bool(tally.faults), done=done))}


@dataclass
class Tally:
    """The pictures so far. `judged`: they are of the tiny model's kind, which the judge network can read."""

    judged: bool
    done: int = 0
    right: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})  # of unseen pairs, of others
    faults: dict[str, None] = field(default_factory=dict)  # what is wrong with the steps, each once

    def add(self, request: Request, step: DenoisingStep) -> str:
        """Count a finished picture. Returns what the judge reads in it."""
        self.done += 1
        self.faults |= {step.words: None} if step.words else {}
        named = parse_prompt(request.prompt) if self.judged else None
        if named is None or step.images is None:
            return ""
        with COMPUTE_LOCK.work():
            reading = read(step.images[0])
        self.right[named.unseen].append(not reading.wrong(named))
        return reading.in_words(named)

    @property
    def in_words(self) -> str:
        """For the end of the grid."""
        names = {True: " unseen pairs", False: " others" if self.right[True] else ""}
        shares = [f"{sum(each)} of {len(each)}{names[unseen]}" for unseen, each in self.right.items() if each]
        counted = f"Right, as the judge reads them: {', '.join(shares)}." if shares else ""
        return " ".join(filter(None, [counted, *self.faults]))


def _pictures(number: int) -> str:
    return "picture" if number == 1 else "pictures"


def _pack_cell(
    session: StableDiffusionSession, run: int, settings: DrawSettings, cell: GridCell, step: DenoisingStep, tally: Tally
) -> str:
    """The cell as far as it is drawn; a finished one is also put into the gallery."""
    request = cell.request
    named = parse_prompt(request.prompt) if settings.model == "tiny" else None
    unseen = bool(named and named.unseen)
    if step.index < step.total:
        return pack_cell(run, cell.row, cell.column, step, done=tally.done, unseen=unseen)
    before = {each.number for each in session.gallery}
    (picture,) = session.keep(step, request, settings.model, KINDS[settings.start_from])
    dropped = [str(number) for number in before - {each.number for each in session.gallery}]
    words = [f"{request.prompt or 'no words'}; {in_words(request)}, seed {request.seeds[0]}"]
    words += ["unseen pair"] if unseen else []
    words += [reading] if (reading := tally.add(request, step)) else []
    facts: dict[str, Any] = {"id": str(picture.number), "words": "; ".join(words), "prompt": request.prompt}
    facts |= {"unseen": unseen, "dropped": dropped}
    return pack_cell(run, cell.row, cell.column, step, done=tally.done, **facts)


def _label(axis: str, value: Value) -> str:
    if axis == "scheduler":
        return SAMPLERS[str(value)].title
    return f"{value:g}" if isinstance(value, float) else str(value)
