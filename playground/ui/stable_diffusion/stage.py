"""The Stable Diffusion tab's stage: pictures, the diagram and the gallery, and what Python sends to it.

A run arrives as this component's value, each message a string of `wire.pack`: *begin* (what is drawn), a *step* of each
prompt or a *cell* of a grid as it is made, *end*. Of values that follow each other at once, a page sees only the last;
if it missed one it asks for it, and *again* brings them all. The model, the words' tokens and news come through the
channels that `stable_diffusion_channel` makes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gradio as gr
import torch
from torch import Tensor
from torch.nn import functional as F

from playground.diffusion.sampling_config import scheduled
from playground.refusal import Refusal
from playground.stable_diffusion.devices import SMALL
from playground.stable_diffusion.generation import DenoisingStep, OutOfMemory
from playground.stable_diffusion.lab import Token
from playground.stable_diffusion.limits import MAP_SIDE, PREVIEW_SIDE
from playground.stable_diffusion.models import Loaded
from playground.ui.shared.component import channel, component
from playground.ui.shared.notices import Update, notice
from playground.ui.shared.wire import Kind, pack

SCRIPTS = (
    "shared/wire",
    "shared/stage",
    "shared/html",
    "shared/canvas",
    "shared/charts",
    "shared/pixels",
    "stable_diffusion/page",
    "stable_diffusion/state",
    "shared/pen",
    "stable_diffusion/sheets",
    "stable_diffusion/attention",
    "stable_diffusion/tiles",
    "stable_diffusion/show",
    "stable_diffusion/diagram",
    "stable_diffusion/layout",
    "stable_diffusion/words",
    "stable_diffusion/gallery",
    "stable_diffusion/messages",
    "stable_diffusion/repaint",
    "stable_diffusion/stage",
)
CLIP_SCRIPTS = (
    "shared/wire",
    "shared/stage",
    "shared/html",
    "shared/canvas",
    "shared/charts",
    "shared/pixels",
    "stable_diffusion/clip",
)
COMPARED = 4  # schedulers that stand beside the axis of a grid at first
SMALL_LATENTS = 4096  # numbers
EPS_LIMIT = 6.0  # standard deviations: one outlier must not coarsen every other number
BROKE = "Something broke here; it is in the log. What was drawn is still there."


def stable_diffusion_stage() -> gr.HTML:
    """Draws; tells of ready, draw, stop, smaller, missing, use, save, start_from, repaint and opened.

    `draw` carries `mode` (one, two, grid), `second`, the other prompt, and the axes `x` and `y` ([name, values]);
    `use`, `save`, `start_from` and `repaint` the `id` of a picture; `repaint` also `pixels`, base64 of 128×128 bytes,
    255 where covered; `opened` a file as `base64`.
    """
    return component("pg-stable-diffusion", *SCRIPTS, schedulers=", ".join(list(scheduled())[:COMPARED]))


def stable_diffusion_channel(kind: Literal["model", "tokens", "news", "file"]) -> gr.HTML:
    """A way for Python to send this kind of message."""
    return channel(f"stable-diffusion-{kind}")


@dataclass(eq=False)
class Channels:
    """Where the parts of the tab send what the page is to show: the stage, the channels, a notice at each group."""

    stage: gr.HTML
    model: gr.HTML
    tokens: gr.HTML
    news: gr.HTML
    files: gr.HTML
    notices: dict[str, gr.HTML] = field(default_factory=dict)

    @property
    def all(self) -> list[gr.HTML]:
        """As the outputs of an event."""
        return [self.stage, self.model, self.tokens, self.news, self.files, *self.notices.values()]

    def refused(self, why: Exception | str, group: str = "Picture") -> Update:
        """Why something cannot be done, at its knobs and on the stage, where the last picture stays."""
        smaller = isinstance(why, OutOfMemory) and why.smaller is not None
        told = pack_news(str(why), wrong=True, drawing=False, smaller=smaller)
        return {self.news: told, self.notices[group]: notice(str(why), wrong=True)}

    def answered(self, updates: Iterator[Update]) -> Iterator[Update]:
        """`updates`; a refusal is shown in its own words, and any other error in ours, because the page must not wait
        for a run that is over. It is then raised again, for the log.
        """
        try:
            yield from updates
        except Refusal as refusal:
            yield self.refused(refusal)
        except Exception:
            yield self.refused(BROKE)
            raise


def tell_stage(what: str) -> str:
    """JavaScript that tells the stage what was done to one of Gradio's controls."""
    return f'() => {{ document.dispatchEvent(new CustomEvent("playground:stable-diffusion-{what}")); }}'


def pack_model(loaded: Loaded, words: str) -> str:
    """The model's shapes for the diagram, the linear map that gives latents colours, `words` on model and device."""
    pipeline = loaded.pipeline
    meta = {
        "name": loaded.model.name,
        "words": words,
        "small": loaded.model.bytes < SMALL,
        "tokens": pipeline.tokenizer.model_max_length,
        "width": pipeline.text_encoder.config.hidden_size,
        "text_encoder": f"CLIP, {pipeline.text_encoder.config.num_hidden_layers} layers",
        "vae": f"each side × {pipeline.vae_scale_factor}",
        "upscale": pipeline.vae_scale_factor,
        "quick": loaded.preview_decoder is not None,
    }
    return pack(meta, map=(loaded.linear_map.cpu(), "f32"))


def pack_tokens(tokens: Sequence[Token]) -> str:
    """What the model reads of the words being written."""
    return pack({"tokens": tokens_meta(tokens)})


def tokens_meta(tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """The tokens between the marks at both ends, in the order of their attention maps; those that are cut come last."""
    marks = [{"text": "<start>"}, {"text": "<end>"}]
    read = [{"text": token.text} for token in tokens if not token.cut]
    cut = [{"text": token.text, "cut": True} for token in tokens if token.cut]
    return [marks[0], *read, marks[1], *cut]


def pack_begin(
    run: int,
    mode: str,
    slots: Sequence[dict[str, Any]],
    images: int,
    scheduler: str,
    start: str = "",
    grid: dict[str, Any] | None = None,
) -> str:
    """A run begins. `slots`: of each prompt its `prompt`, `tokens` and `seeds`; `start`: what from, if not from noise;
    `grid`: names `x` and `y` of the axes, and what stands at its `columns` and `rows`.
    """
    meta = {"kind": "begin", "id": run, "mode": mode, "slots": list(slots), "images": images, "scheduler": scheduler}
    return pack(meta | {"start": start, "grid": grid})


def pack_step(step: DenoisingStep, run: int, slot: int, guidance_scale: float, tokens: int) -> str:
    """One step of a run; `tokens`: how many of the prompt's the model reads, the marks at both ends not counted."""
    meta = {
        "kind": "step",
        "run": run,
        "slot": slot,
        "index": step.index,
        "total": step.total,
        "t": step.t,
        "alpha": step.alpha,
        "sigma": step.sigma,
        "guidance_scale": guidance_scale,
        "norms": step.guidance_norm.tolist(),
        "calls": step.calls,
        "seconds": step.seconds,
        "parts": step.parts,
        "words": step.words,
    }
    arrays: dict[str, tuple[Tensor, Kind]] = {
        "latents": (step.latents, "i8"),
        "x0": (step.x0, "i8"),  # worked out from the others on the page, it would be their rounding errors at first
        "cond": (step.eps_cond.clamp(-EPS_LIMIT, EPS_LIMIT), "i8"),
    }
    if step.eps_uncond is not None:
        arrays["uncond"] = (step.eps_uncond.clamp(-EPS_LIMIT, EPS_LIMIT), "i8")
    if step.images is not None:
        arrays["images"] = (_shown(step.images, whole=step.index == step.total), "i8")
    if step.attention is not None:
        maps, peaks = _maps(step.attention, tokens)
        arrays |= {"attention": (maps, "i8"), "peaks": (peaks, "f32")}  # eight bits each, however little a word gets
    # Large latents are noise, which hardly shrinks, and a fast GPU takes its next step in 30 ms.
    return pack(meta, compress=step.latents[0].numel() <= SMALL_LATENTS, **arrays)


def pack_cell(run: int, row: int, column: int, step: DenoisingStep, **meta: Any) -> str:
    """A cell of a grid as far as it is drawn; `meta`: done, and of a finished one id, words, prompt and dropped."""
    facts = {
        "kind": "cell",
        "run": run,
        "row": row,
        "column": column,
        "finished": step.index == step.total,
        "calls": step.calls,
        "seconds": step.seconds,
        "seed": step.seeds[0],
    }
    arrays: dict[str, tuple[Tensor, Kind]] = {}
    if step.images is not None:
        arrays["images"] = (_shown(step.images, whole=False), "i8")
    return pack(facts | meta, compress=True, **arrays)


def pack_end(run: int, status: str, *, wrong: bool = False, **meta: Any) -> str:
    """A run is over. `meta`: the number of `steps` of each prompt, or of finished cells (`done`), the `ids` of its
    pictures, the `knobs` in words, and the `dropped` ids that made room.
    """
    return pack({"kind": "end", "run": run, "status": status, "wrong": wrong, "steps": [], "done": 0, **meta})


def pack_again(messages: Sequence[str]) -> str:
    """All messages of a run again."""
    return pack({"kind": "again", "messages": list(messages), "at": time.time_ns()})


def pack_news(status: str | None = None, *, wrong: bool = False, **meta: Any) -> str:
    """What is going on, in words; `progress` (0 … 1), `drawing`, and whether a `smaller` setting is offered."""
    said: dict[str, Any] = {"wrong": wrong, "at": time.time_ns(), **meta}  # a page is only told of values that are new
    return pack(said if status is None else {"status": status, **said})


def _shown(images: Tensor, whole: bool) -> Tensor:
    """From [0, 1] to [-1, 1], which eight bits with a sign hold best; previews made small."""
    side = max(images.shape[-2:])
    if not whole and side > PREVIEW_SIDE:
        images = F.interpolate(images, scale_factor=PREVIEW_SIDE / side, mode="area")
    return images * 2 - 1


def _maps(attention: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """(N, tokens + 2, h, w) from (N, positions, h, w), each map as shares of its peak, and the peaks (N, tokens + 2):
    the end mark stands for all after the words, which fill up the places.
    """
    ends = attention[:, tokens + 1 :].sum(1, keepdim=True)
    maps = torch.cat([attention[:, : tokens + 1], ends], 1)
    if max(maps.shape[-2:]) > MAP_SIDE:
        maps = F.adaptive_avg_pool2d(maps, MAP_SIDE)
    peaks = maps.amax((-2, -1), keepdim=True).clamp(min=1e-9)
    return maps / peaks, peaks[..., 0, 0]


def clip_corner() -> gr.HTML:
    """CLIP by itself: a table of captions and pictures, and a picture painted by CLIP alone.

    Tells of compare (`captions`, lines), paint (`caption`) and stop.
    """
    return component("pg-clip", *CLIP_SCRIPTS)


def pack_table(captions: Sequence[str], pictures: Tensor, table: Tensor) -> str:
    """How well `captions` fit `pictures` (N, 3, 32, 32) in [0, 1]: `table` (N, captions) of cosines."""
    meta = {"kind": "table", "captions": list(captions), "table": table.tolist(), "at": time.time_ns()}
    return pack(meta, images=(pictures * 2 - 1, "i8"))


def pack_painted(image: Tensor, step: int, steps: int, similarity: float) -> str:
    """A step of CLIP's painting: `image` (3, 32, 32) in [0, 1]."""
    meta = {"kind": "painted", "step": step, "steps": steps, "similarity": similarity, "at": time.time_ns()}
    return pack(meta, images=(image[None] * 2 - 1, "i8"))


def pack_word(status: str, wrong: bool = False) -> str:
    """A message for CLIP's corner; the run there has ended."""
    return pack({"kind": "word", "status": status, "wrong": wrong, "at": time.time_ns()})
