"""CLIP's corner of the Stable Diffusion tab: what fits what, and a picture by CLIP alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import torch
from torch.nn import functional as F

from playground.fair_lock import COMPUTE_LOCK, in_turns
from playground.refusal import Refusal
from playground.stable_diffusion.clip_game import MAX_CAPTIONS, ClipError, paint_by_clip, similarity
from playground.stable_diffusion.digits.pictures import SIZE
from playground.stable_diffusion.picture import read_png
from playground.stable_diffusion.session import StableDiffusionSession
from playground.ui.shared.notices import QUIET
from playground.ui.stable_diffusion.stage import clip_corner, pack_painted, pack_table, pack_word
from playground.ui.stable_diffusion.state import closing

LONG: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "stable-diffusion-clip"}
SHOWN = 8  # pictures of the table: the newest
PAINTING_STEPS = 150
MAX_CAPTION = 200  # characters


class ClipCorner:
    """Lays out the corner; `session` finds the visitor's."""

    def __init__(self, session: Callable[[gr.Request], StableDiffusionSession]) -> None:
        self.session = session
        with gr.Accordion("CLIP by itself: what fits what, and CLIP paints", open=False):
            self.corner = clip_corner()
        self.corner.compare(self._compare, outputs=[self.corner], **LONG)
        painting = self.corner.paint(self._paint, outputs=[self.corner], **LONG)
        stopped = self.corner.stop(lambda: None, cancels=[painting], queue=False, **QUIET)
        # In the queue, after the messages of the run
        stopped.then(lambda: pack_word("Stopped."), outputs=[self.corner], concurrency_limit=8, **QUIET)

    def _compare(self, request: gr.Request, event: gr.EventData) -> str:
        try:
            given = event._data.get("captions")
            captions = [line.strip() for line in str(given or "").splitlines() if line.strip()]
            kept = self.session(request).gallery[-SHOWN:]
            if not kept:
                raise ClipError("Draw something first: the table is about the pictures of the gallery.")
            if len(captions) > MAX_CAPTIONS or any(len(caption) > MAX_CAPTION for caption in captions):
                raise ClipError(f"At most {MAX_CAPTIONS} captions of {MAX_CAPTION} characters.")
            with COMPUTE_LOCK.work():
                pictures = torch.stack([_small(read_png(each.png).image) for each in kept])
                return pack_table(captions, pictures, similarity(pictures, captions))
        except Refusal as refusal:
            return pack_word(str(refusal), wrong=True)

    def _paint(self, request: gr.Request, event: gr.EventData) -> Iterator[str]:
        try:
            self.session(request)
            caption = str(event._data.get("caption") or "")[:MAX_CAPTION]
            with closing(in_turns(paint_by_clip(caption, PAINTING_STEPS))) as steps:
                for step in steps:
                    yield pack_painted(step.image, step.step, step.steps, step.similarity)
            yield pack_word("Done. What CLIP likes is not always what one would call a picture.")
        except Refusal as refusal:
            yield pack_word(str(refusal), wrong=True)


def _small(image: torch.Tensor) -> torch.Tensor:
    """(3, 32, 32): this CLIP has never seen larger pictures."""
    return F.interpolate(image[None], (SIZE, SIZE), mode="bilinear", antialias=True).clamp(0, 1)[0]
