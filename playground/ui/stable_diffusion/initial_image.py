"""The picture that the next run starts from: shown beside the prompts, with a button that uses or drops it."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from playground.refusal import Refusal
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.stable_diffusion.knobs import StartFrom
from playground.ui.stable_diffusion.stage import Channels, tell_stage
from playground.ui.stable_diffusion.state import StageState, VisitOf

THUMB = 36  # pixels
STYLE = f"display: block; width: {THUMB}px; height: {THUMB}px; object-fit: contain; image-rendering: pixelated"


class InitialImagePart:
    """Hidden while pictures start from noise, except for an opened picture that is offered."""

    def __init__(self, visit_of: VisitOf) -> None:
        self.visit_of = visit_of
        with gr.Column(scale=0, min_width=THUMB, visible=False) as self.frame:
            self.picture = gr.HTML("", min_height=THUMB, apply_default_css=False)
        self.button = gr.Button("", size="sm", scale=0, min_width=170, visible=False)
        self.parts = [self.frame, self.picture, self.button]

    def wire(self, channels: Channels, start_from: gr.Dropdown, schedule_notice: gr.HTML, outputs: list[Any]) -> None:
        """Once the knob `start_from` is there."""
        self.channels, self.start_from, self.schedule_notice = channels, start_from, schedule_notice
        shared: dict[str, Any] = {"inputs": [start_from], "outputs": outputs, "preprocess": False, **QUIET}
        start_from.change(self._changed, queue=False, **shared)
        self.button.click(self._pressed, queue=False, **shared).then(None, js=tell_stage("turned"))

    def shown(self, state: StageState, start_from: StartFrom) -> Update:
        """As it is for these knobs."""
        chosen = state.initial_image
        if chosen is None or (start_from == "noise" and not chosen.opened):
            return {self.frame: gr.update(visible=False), self.button: gr.update(visible=False)}
        words = f"a part of {chosen.title}" if start_from == "inpaint" else f"from {chosen.title}"
        return {
            self.frame: gr.update(visible=True),
            self.picture: f'<img src="{_data_url(chosen.image)}" alt="{html.escape(chosen.title)}" style="{STYLE}">',
            self.button: gr.update(value="Start from it" if start_from == "noise" else f"{words} ✕", visible=True),
        }

    def _changed(self, start_from: Any, request: gr.Request) -> Update:
        try:
            return self.shown(self.visit_of(request)[1], start_from)
        except Refusal as refusal:
            return self.channels.refused(refusal)

    def _pressed(self, start_from: Any, request: gr.Request) -> Update:
        """Use the opened picture, or drop the one that is used."""
        try:
            _, state = self.visit_of(request)
        except Refusal as refusal:
            return self.channels.refused(refusal)
        after: StartFrom = "img2img" if start_from == "noise" else "noise"
        if after == "noise":
            state.initial_image = None
        return {self.start_from: after, self.schedule_notice: notice(""), **self.shown(state, after)}


def _data_url(image: Tensor) -> str:
    out, small = io.BytesIO(), Image.fromarray((image.movedim(0, -1) * 255).round().to(torch.uint8).numpy())
    small.thumbnail((2 * THUMB, 2 * THUMB))  # only ever made smaller
    small.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
