"""One prompt on the stage, or two from the same noise: every step of them, and what is kept at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from playground.sessions import Visitor
from playground.stable_diffusion import DenoisingStep, Request, StableDiffusionLab
from playground.stable_diffusion.desk import Desk, Strip, in_line
from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.lab import Token
from playground.stable_diffusion.line import Waiting
from playground.stable_diffusion.picture import Kind
from playground.stable_diffusion.schedulers import SCHEDULERS
from playground.ui.common import Update
from playground.ui.live.diffusion import pack_begin, pack_end, pack_news, pack_step, pack_tokens, tokens_meta
from playground.ui.stable_diffusion_knobs import Wish, in_words
from playground.ui.stable_diffusion_show import Show, ended, interleaved

if TYPE_CHECKING:
    from playground.ui.stable_diffusion_tab import StableDiffusionTab

NO_WORDS = "No words, so nothing to guide by: drawn without guidance. "


def draw_prompts(
    tab: StableDiffusionTab, visitor: Visitor, show: Show, wish: Wish, prompts: Sequence[str]
) -> Iterator[Update]:
    """Draw one prompt or two, with the model that `wish` names, which is loaded. Raises what drawing raises."""
    lab = StableDiffusionLab(wish.model)
    requests = [wish.request(lab, prompt) for prompt in prompts]
    image, mask, words = show.start(wish.begin, wish.height, wish.width)
    runs = [generate(lab.loaded, each, image, mask) for each in requests]
    run, tokens = show.begin(), [lab.tokens(prompt) for prompt in prompts]
    slots = [
        {"prompt": each.prompt, "tokens": tokens_meta(read), "seeds": each.seeds}
        for each, read in zip(requests, tokens, strict=True)
    ]
    mode, scheduler = "two" if len(prompts) == 2 else "one", SCHEDULERS[wish.scheduler].title
    expected = tab.pace.in_words(lab.loaded, requests[0], len(requests))
    yield {
        tab.stage: show.tell(pack_begin(run, mode, slots, wish.images, scheduler, words)),
        tab.tokens: pack_tokens(tokens[0]),
        tab.news: pack_news(f"Drawing; {expected}" if expected else "Drawing …"),
        **dict.fromkeys(tab.notices.values(), ""),
    }
    counts, newest = [0 for _ in requests], dict[int, DenoisingStep]()
    strip = Strip(requests[0].seeds[0])
    with ended(in_line(lab.loaded, interleaved(runs))) as events:
        for event in events:
            visitor.touch()
            if show.run != run:  # another wish came meanwhile, and is at work on its own
                return
            if isinstance(event, Waiting):
                if show.stopped:
                    break
                yield {tab.news: pack_news(event.words)}
            else:
                slot, step = event
                counts[slot] += 1
                newest[slot] = step
                if slot == 0:
                    strip.add(step)
                read = sum(not token.cut for token in tokens[slot])
                scale = requests[slot].guidance_scale if requests[slot].guided else 1.0
                yield {tab.stage: show.tell(pack_step(step, run, slot, scale, read))}
            if show.stopped:
                break
    tab.pace.learn(lab.loaded, requests[0], newest.get(0))
    visitor.diffusion.strip = strip
    last = list(newest.values())
    if not last or any(step.index < step.total for step in last):
        at = f" at step {last[0].index} of {last[0].total}" if last else ""
        yield {tab.stage: show.tell(pack_end(run, f"Stopped{at}; what is there can be scrubbed.", steps=counts))}
        return
    kind: Kind = "text" if image is None else "img2img" if mask is None else "inpaint"
    ids, dropped = _keep(visitor.diffusion, last, requests, wish.model, kind)
    said = (NO_WORDS if not all(prompt.strip() for prompt in prompts) else "") + _cut_in_words(tokens)
    faults = " ".join(dict.fromkeys(step.words for step in last if step.words))
    total, seconds = sum(len(step.seeds) for step in last), sum(step.seconds for step in last)
    status = f"{said}{total} {'picture' if total == 1 else 'pictures'} in {seconds:.1f} s. {faults}".strip()
    facts = {"steps": counts, "ids": ids, "knobs": in_words(requests[0]), "dropped": dropped}
    yield {tab.stage: show.tell(pack_end(run, status, wrong=bool(faults), **facts))}


def _keep(
    desk: Desk, last: Sequence[DenoisingStep], requests: Sequence[Request], model: str, kind: Kind
) -> tuple[list[list[str]], list[str]]:
    """Put the pictures into the gallery: their ids for each prompt, and the ids that made room."""
    before = {kept.number for kept in desk.gallery}
    ids = [
        [str(kept.number) for kept in desk.keep(step, request, model, kind)]
        for step, request in zip(last, requests, strict=True)
    ]
    return ids, [str(number) for number in before - {kept.number for kept in desk.gallery}]


def _cut_in_words(tokens: Sequence[Sequence[Token]]) -> str:
    cut = sum(token.cut for read in tokens for token in read)
    return f"{cut} {'token was' if cut == 1 else 'tokens were'} cut: the model does not see them. " if cut else ""
