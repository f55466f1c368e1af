"""One prompt on the stage, or two from the same noise: every step of them, and the pictures at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from playground.diffusion.samplers import SAMPLERS
from playground.stable_diffusion import DenoisingStep, Request, StableDiffusionLab
from playground.stable_diffusion.device_queue import Waiting
from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.lab import Token
from playground.stable_diffusion.picture import Kind
from playground.stable_diffusion.session import ContactSheet, StableDiffusionSession, queued
from playground.ui.shared.notices import Update
from playground.ui.stable_diffusion.knobs import KINDS, DrawSettings, in_words
from playground.ui.stable_diffusion.models import expected_in_words
from playground.ui.stable_diffusion.stage import (
    Channels,
    pack_begin,
    pack_end,
    pack_news,
    pack_step,
    pack_tokens,
    tokens_meta,
)
from playground.ui.stable_diffusion.state import Visit, closing, interleaved


def draw_prompts(channels: Channels, visit: Visit, settings: DrawSettings, prompts: Sequence[str]) -> Iterator[Update]:
    """Draw one prompt or two, with the model that `settings` names, which is loaded. Raises what drawing raises."""
    (visitor, state), lab = visit, StableDiffusionLab(settings.model)
    requests = [settings.request(lab, prompt) for prompt in prompts]
    image, mask, start = state.start(settings.start_from, settings.height, settings.width)
    runs = [generate(lab.loaded, each, image, mask) for each in requests]
    run, tokens = state.new_run(), [lab.tokens(prompt) for prompt in prompts]
    slots = [
        {
            "prompt": each.prompt,
            "negative_prompt": each.negative_prompt,
            "tokens": tokens_meta(read),
            "seeds": each.seeds,
        }
        for each, read in zip(requests, tokens, strict=True)
    ]
    mode, scheduler = "two" if len(prompts) == 2 else "one", SAMPLERS[settings.scheduler].title
    expected = expected_in_words(lab, requests)
    yield {
        channels.stage: state.remember(pack_begin(run, mode, slots, settings.images, scheduler, start)),
        channels.tokens: pack_tokens(tokens[0]),
        channels.news: pack_news(f"Drawing; {expected}" if expected else "Drawing …"),
        **dict.fromkeys(channels.notices.values(), ""),
    }
    counts, newest = [0 for _ in requests], dict[int, DenoisingStep]()
    sheet = ContactSheet(requests[0].seeds[0])
    with closing(queued(lab.loaded, interleaved(runs))) as events:
        for event in events:
            visitor.touch()
            if state.run != run:  # a newer run is on
                return
            if isinstance(event, Waiting):
                if state.stopped:
                    break
                yield {channels.news: pack_news(event.words)}
            else:
                slot, step = event
                counts[slot] += 1
                newest[slot] = step
                if slot == 0:
                    sheet.add(step)
                read = sum(not token.cut for token in tokens[slot])
                scale = requests[slot].guidance_scale if requests[slot].guided else 1.0
                yield {channels.stage: state.remember(pack_step(step, run, slot, scale, read))}
            if state.stopped:
                break
    visitor.stable_diffusion.contact_sheet = sheet
    last = list(newest.values())
    if not last or any(step.index < step.total for step in last):
        at = f" at step {last[0].index} of {last[0].total}" if last else ""
        status = f"Stopped{at}; what is there can be scrubbed."
        yield {channels.stage: state.remember(pack_end(run, status, steps=counts))}
        return
    ids, dropped = _keep(visitor.stable_diffusion, last, requests, settings.model, KINDS[settings.start_from])
    notes = _no_words(prompts) + _cut_in_words(tokens)
    faults = " ".join(dict.fromkeys(step.words for step in last if step.words))
    total, seconds = sum(len(step.seeds) for step in last), sum(step.seconds for step in last)
    status = f"{notes}{total} {'picture' if total == 1 else 'pictures'} in {seconds:.1f} s. {faults}".strip()
    if len(prompts) == 2:
        status = f"{status} {difference(*prompts)}"
    facts = {"steps": counts, "ids": ids, "knobs": _knobs_in_words(requests), "dropped": dropped}
    yield {channels.stage: state.remember(pack_end(run, status, wrong=bool(faults), **facts))}


def _keep(
    session: StableDiffusionSession, last: Sequence[DenoisingStep], requests: Sequence[Request], model: str, kind: Kind
) -> tuple[list[list[str]], list[str]]:
    """Add the pictures to the gallery. Returns their ids for each prompt, and the ids that made room."""
    before = {picture.number for picture in session.gallery}
    ids = [
        [str(picture.number) for picture in session.keep(step, request, model, kind)]
        for step, request in zip(last, requests, strict=True)
    ]
    return ids, [str(number) for number in before - {picture.number for picture in session.gallery}]


def _no_words(prompts: Sequence[str]) -> str:
    """Which prompt was drawn without guidance."""
    empty = [not prompt.strip() for prompt in prompts]
    if not any(empty):
        return ""
    which = "" if len(prompts) == 1 else "Both prompts: " if all(empty) else f"{['The first', 'The other'][empty[1]]}: "
    return f"{which}{'no' if which else 'No'} words, so nothing to guide by: drawn without guidance. "


def _knobs_in_words(requests: Sequence[Request]) -> str:
    """The knobs of all prompts on one line. They differ in guidance alone, where one has no words."""
    words = next((request for request in requests if request.prompt.strip()), requests[0])
    bare = next((request for request in requests if not request.prompt.strip()), words)
    split = bare.guidance_scale != words.guidance_scale
    return in_words(words) + (f" (without words: guidance {bare.guidance_scale:g})" if split else "")


def difference(first: str, second: str) -> str:
    """In what two prompts differ, as far as it is more than the one word that a comparison should change."""
    a, b = first.split(), second.split()
    if a == b:
        return "Both prompts are the same."
    changed = [each for each in SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if each[0] != "equal"]
    if sum(max(i2 - i1, j2 - j1) for _, i1, i2, j1, j2 in changed) == 1:
        return ""
    parts = [f"{' '.join(a[i1:i2]) or '–'} → {' '.join(b[j1:j2]) or '–'}" for _, i1, i2, j1, j2 in changed]
    return f"They differ in more than a word: {', '.join(parts)}."


def _cut_in_words(tokens: Sequence[Sequence[Token]]) -> str:
    cut = sum(token.cut for read in tokens for token in read)
    return f"{cut} {'token was' if cut == 1 else 'tokens were'} cut: the model does not see them. " if cut else ""
