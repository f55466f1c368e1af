"""The picture that the next run would start from: shown beside the prompts, with a button that takes or drops it."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from playground.refusal import Refusal
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.stable_diffusion.knobs import Begin
from playground.ui.stable_diffusion.show import Show, tell

if TYPE_CHECKING:
    from playground.ui.stable_diffusion.tab import StableDiffusionTab

THUMB = 36  # pixels
STYLE = f"display: block; width: {THUMB}px; height: {THUMB}px; object-fit: contain; image-rendering: pixelated"


class BeginningPart:
    """Hidden while pictures begin with noise, but for an opened picture that waits to be started from."""

    def __init__(self, tab: StableDiffusionTab) -> None:
        self.tab = tab
        with gr.Column(scale=0, min_width=THUMB, visible=False) as self.frame:
            self.picture = gr.HTML("", min_height=THUMB, apply_default_css=False)
        self.button = gr.Button("", size="sm", scale=0, min_width=170, visible=False)
        self.parts = [self.frame, self.picture, self.button]

    def wire(self) -> None:
        """Once everything of the tab is there."""
        begin = self.tab.controls["begin"]
        shared: dict[str, Any] = {"inputs": [begin], "outputs": self.tab.all, "preprocess": False, **QUIET}
        begin.change(self._changed, queue=False, **shared)
        self.button.click(self._pressed, queue=False, **shared).then(None, js=tell("turned"))

    def shown(self, show: Show, begin: Begin) -> Update:
        """As it is for these knobs."""
        picked = show.beginning
        if picked is None or (begin == "noise" and not picked.opened):
            return {self.frame: gr.update(visible=False), self.button: gr.update(visible=False)}
        words = f"a part of {picked.words}" if begin == "part" else f"from {picked.words}"
        return {
            self.frame: gr.update(visible=True),
            self.picture: f'<img src="{_data_url(picked.image)}" alt="{html.escape(picked.words)}" style="{STYLE}">',
            self.button: gr.update(value="Start from it" if begin == "noise" else f"{words} ✕", visible=True),
        }

    def _changed(self, begin: Any, request: gr.Request) -> Update:
        try:
            return self.shown(self.tab.here(request)[1], begin)
        except Refusal as refusal:
            return self.tab.refused(refusal)

    def _pressed(self, begin: Any, request: gr.Request) -> Update:
        """Take the opened picture, or drop the one that is taken."""
        try:
            _, show = self.tab.here(request)
        except Refusal as refusal:
            return self.tab.refused(refusal)
        taken: Begin = "picture" if begin == "noise" else "noise"
        if taken == "noise":
            show.beginning = None
        return {self.tab.controls["begin"]: taken, self.tab.brought: notice(""), **self.shown(show, taken)}


def _data_url(image: Tensor) -> str:
    out, small = io.BytesIO(), Image.fromarray((image.movedim(0, -1) * 255).round().to(torch.uint8).numpy())
    small.thumbnail((2 * THUMB, 2 * THUMB))  # only ever made smaller
    small.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
