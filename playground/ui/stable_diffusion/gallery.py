"""The session's pictures: their settings again, PNGs with the settings inside, and what is taken home of a run."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch.nn import functional as F

from playground.fair_lock import COMPUTE_LOCK
from playground.refusal import Refusal
from playground.settings import SETTINGS
from playground.stable_diffusion import Request, RequestError
from playground.stable_diffusion.models import CATALOGUE
from playground.stable_diffusion.picture import Parameters, PictureError, read_png
from playground.stable_diffusion.session import ContactSheet, GalleryPicture, StableDiffusionSession
from playground.ui.shared.notices import QUIET, Update, file_message, notice
from playground.ui.stable_diffusion.initial_image import InitialImagePart
from playground.ui.stable_diffusion.knobs import DrawSettings, StartFrom
from playground.ui.stable_diffusion.models import ModelPart
from playground.ui.stable_diffusion.other_programs import read_settings
from playground.ui.stable_diffusion.scripts import scripts
from playground.ui.stable_diffusion.stage import Channels, pack_news
from playground.ui.stable_diffusion.state import InitialImage, Put, VisitOf, mask_from_pixels

ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "diffusion-home"}
# The number of the picture that is chosen on the stage or in the gallery; nothing while none is finished.
CHOSEN = """() => [document.querySelector("[data-testid=stable-diffusion-live]").dataset.picture ?? ""]"""


class Gallery:
    """What the page does with finished pictures; lays out "Take it home". `models` loads the model of a picture whose
    settings are taken, and `start_part` shows the picture to start from.
    """

    def __init__(self, visit_of: VisitOf, channels: Channels, models: ModelPart, start_part: InitialImagePart) -> None:
        self.visit_of, self.channels, self.models, self.start_part = visit_of, channels, models, start_part
        with gr.Row():
            self.sheet = gr.Button("Contact sheet of every step (.png)", size="sm")
            self.script = gr.Button("The same as code", size="sm")
        self.notice = channels.notices["Home"] = gr.HTML("", elem_classes="pg-notice")
        self.lines = gr.Code("", language="python", interactive=False, label="what is on show, without this page")
        self.shown = gr.Textbox(visible=False)  # filled by CHOSEN alone

    def wire(self, put: Put, controls: Mapping[str, Any], knobs: list[Any], outputs: list[Any]) -> None:
        """Once the knobs are there; `controls`: those of the table, by name."""
        self.put, self.controls = put, controls
        stage, files, news = self.channels.stage, self.channels.files, self.channels.news
        stage.use(self._use, outputs=outputs, **ASIDE)
        stage.opened(self._opened, inputs=knobs, outputs=outputs, preprocess=False, **ASIDE)
        stage.save(self._save, outputs=[files, news], **ASIDE)
        self.sheet.click(self._sheet, outputs=[files, self.notice], **ASIDE)
        lines = [self.lines, self.notice]
        self.script.click(self._script, inputs=[self.shown], outputs=lines, js=CHOSEN, preprocess=False, **ASIDE)

    def initial_image(self, request: gr.Request, data: Any) -> InitialImage:
        """The picture to start from, and the part to be repainted. Raises RequestError."""
        picture = self._picture(request, data)
        mask = mask_from_pixels(data["pixels"]) if "pixels" in data else None
        return InitialImage(read_png(picture.png).image, f"picture {picture.number}", mask)

    def _picture(self, request: gr.Request, data: Any) -> GalleryPicture:
        number = data.get("id")
        if not isinstance(number, str) or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise RequestError("Choose a picture first.")
        picture = self.visit_of(request)[0].stable_diffusion.find(int(number))
        if picture is None:
            raise RequestError("That picture made room for newer ones. Choose another.")
        return picture

    def _use(self, request: gr.Request, event: gr.EventData) -> Iterator[Update]:
        yield from self.channels.answered(self._used(request, event._data))

    def _used(self, request: gr.Request, data: Any) -> Iterator[Update]:
        """Set the knobs to what made a picture."""
        yield from self._take_settings(request, self._picture(request, data).parameters, "Its settings are set")

    def _take_settings(self, request: gr.Request, parameters: Parameters, status: str) -> Iterator[Update]:
        _, state = self.visit_of(request)
        state.stopped = False
        made, model, before = parameters.request, parameters.model, state.model
        if model not in CATALOGUE:
            status, model = f"{status}, but {model[:60]!r} is not among the models here", state.model
        if not (yield from self.models.ensure_loaded(state, model)):
            return
        update = self.put(settings(made, model))
        if model == before:
            for path in ("images", "preview", "attention"):  # how it is shown, and how many more: not this picture's
                del update[self.controls[path]]
        if parameters.kind != "text":
            status = f"{status}; it started from a picture, which the file does not hold: choose that one again"
        yield {**update, self.channels.news: pack_news(f"{status}: press Draw.", drawing=False)}

    def _save(self, request: gr.Request, event: gr.EventData) -> Update:
        try:
            picture = self._picture(request, event._data)
        except Refusal as refusal:
            return {self.channels.news: pack_news(str(refusal), wrong=True)}
        made = picture.parameters
        name = f"{CATALOGUE[made.model].name}-{made.request.seeds[0]}.png".replace("/", "-")
        status = f"{name}: {len(picture.png):,} bytes, its settings inside."
        return {self.channels.files: file_message(name, picture.png), self.channels.news: pack_news(status)}

    def _opened(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        try:
            yield from self._read(request, event._data, values)
        except Refusal as refusal:  # a run that is on goes on
            yield {self.channels.news: pack_news(str(refusal), wrong=True)}

    def _read(self, request: gr.Request, data: Any, values: Sequence[Any]) -> Iterator[Update]:
        """A PNG from a stranger: its settings, or why they cannot be read. The next run can start from the picture."""
        png = _bytes(data.get("base64"))
        with COMPUTE_LOCK.work():
            opened = read_png(png)
        _, state = self.visit_of(request)
        settings, news, shown = DrawSettings.read(values), self.channels.news, self.start_part.shown
        state.initial_image = InitialImage(_fitted(opened.image, settings), "the opened picture", opened=True)
        if opened.parameters is not None:
            yield shown(state, "noise")
            yield from self._take_settings(request, opened.parameters, "Settings read from the PNG")
        elif found := read_settings(png):
            status = "Settings of another program, as far as they are known here; model and size stay: press Draw."
            settings = dataclasses.replace(settings, lock=True, start_from="noise", **found)
            yield {**self.put(settings), **shown(state, "noise"), news: pack_news(status)}
        else:  # with "inpaint" it has no mask yet
            start: StartFrom = "img2img" if settings.start_from == "img2img" else "noise"
            hint = "“Start from it” above starts from it." if start == "noise" else "Press Draw."
            status = f"{opened.words} {hint}"
            yield {self.controls["start_from"]: start, **shown(state, start), news: pack_news(status)}

    # --- take it home --------------------------------------------------------------------------------------------

    def _attempt(self, request: gr.Request, change: Callable[[StableDiffusionSession, ContactSheet], Update]) -> Update:
        try:
            session = self.visit_of(request)[0].stable_diffusion
            if session.contact_sheet is None:
                raise RequestError("Draw something first.")
            return {self.notice: "", **change(session, session.contact_sheet)}
        except Refusal as refusal:
            return {self.notice: notice(str(refusal), wrong=True)}

    def _sheet(self, request: gr.Request) -> Update:
        def save(_: StableDiffusionSession, sheet: ContactSheet) -> Update:
            with COMPUTE_LOCK.work():
                data = contact_sheet_png(sheet)
            name = f"denoising-{sheet.seed}.png"
            status = f"{name}: a row for each picture, a column for each step; {len(data):,} bytes."
            return {self.channels.files: file_message(name, data), self.notice: notice(status)}

        return self._attempt(request, save)

    def _script(self, chosen: Any, request: gr.Request) -> Update:
        def show(session: StableDiffusionSession, _: ContactSheet) -> Update:
            if not session.gallery:
                raise RequestError("Draw a whole picture first.")
            picture = self._picture(request, {"id": chosen}) if chosen else session.gallery[-1]
            return {self.lines: scripts(picture.parameters)}

        return self._attempt(request, show)


def settings(made: Request, model: str) -> DrawSettings:
    """The knobs that made a picture. How it was shown, and that others were drawn with it, is no part of it."""
    return dataclasses.replace(
        DrawSettings.of(model),
        prompt=made.prompt,
        negative_prompt=made.negative_prompt,
        seed=made.seeds[0],
        guidance_scale=max(1.0, made.guidance_scale),  # below 1 nothing is guided either
        steps=made.steps,
        scheduler=made.scheduler,
        width=made.width,
        height=made.height,
        strength=made.strength,
    )


def contact_sheet_png(contact_sheet: ContactSheet) -> bytes:
    """A PNG: a row for each picture, a column for each step that was kept. Raises RequestError."""
    if not contact_sheet.previews:
        raise RequestError("There are no previews of this run. Draw it with previews (more, at every step).")
    sheet = torch.cat([torch.cat(list(column), 1) for column in contact_sheet.previews], 2)  # (3, N·side, K·side)
    out = io.BytesIO()
    Image.fromarray(sheet.movedim(0, -1).numpy()).save(out, "PNG")
    return out.getvalue()


def _bytes(text: Any) -> bytes:
    """A file as the page sends it. Raises PictureError."""
    if not isinstance(text, str) or len(text) > SETTINGS.max_picture_bytes * 4 // 3 + 4:
        raise PictureError(f"The limit is {SETTINGS.max_picture_bytes:,} bytes.")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise PictureError("The file did not arrive whole. Drop it again.") from error


def _fitted(image: torch.Tensor, settings: DrawSettings) -> torch.Tensor:
    """The middle of `image` (3, H, W) in the shape of the knobs' size; cut first: a thin line of pixels scaled until it
    covers the square would take gigabytes.
    """
    _, high, wide = image.shape
    scale = max(settings.height / high, settings.width / wide)
    h, w = min(high, math.ceil(settings.height / scale)), min(wide, math.ceil(settings.width / scale))
    top, left = (high - h) // 2, (wide - w) // 2
    part = image[None, :, top : top + h, left : left + w]
    return F.interpolate(part, (settings.height, settings.width), mode="bilinear", antialias=True).clamp(0, 1)[0]
