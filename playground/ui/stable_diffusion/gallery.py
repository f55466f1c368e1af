"""The session's pictures: their settings again, PNGs with the settings inside, and what is taken home of a run."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

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
from playground.stable_diffusion.session import Kept, StableDiffusionSession, Strip
from playground.ui.shared.notices import QUIET, Update, file_message, notice
from playground.ui.stable_diffusion.foreign import foreign_settings
from playground.ui.stable_diffusion.knobs import Begin, DrawSettings
from playground.ui.stable_diffusion.scripts import scripts
from playground.ui.stable_diffusion.show import Beginning, mask_from_pixels
from playground.ui.stable_diffusion.stage import pack_news

if TYPE_CHECKING:
    from playground.ui.stable_diffusion.tab import StableDiffusionTab

ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "diffusion-home"}
# The number of the picture that is chosen on the stage or in the gallery; nothing while none is finished.
CHOSEN = """() => [document.querySelector("[data-testid=diffusion-live]").dataset.picture ?? ""]"""


class Gallery:
    """What the page does with finished pictures; lays out "Take it home"."""

    def __init__(self, tab: StableDiffusionTab) -> None:
        self.tab = tab
        with gr.Row():
            self.sheet = gr.Button("Contact sheet of every step (.png)", size="sm")
            self.script = gr.Button("The same as code", size="sm")
        tab.notices["Home"] = gr.HTML("", elem_classes="pg-notice")
        self.lines = gr.Code("", language="python", interactive=False, label="what is on show, without this page")
        self.shown = gr.Textbox(visible=False)  # filled by CHOSEN alone

    def wire(self) -> None:
        """Once everything of the tab is there."""
        tab, stage = self.tab, self.tab.stage
        stage.use(self._use, outputs=tab.all, **ASIDE)
        stage.opened(self._opened, inputs=tab.knobs, outputs=tab.all, preprocess=False, **ASIDE)
        stage.save(self._save, outputs=[tab.files, tab.news], **ASIDE)
        home = [tab.files, tab.notices["Home"]]
        self.sheet.click(self._sheet, outputs=home, **ASIDE)
        lines = [self.lines, tab.notices["Home"]]
        self.script.click(self._script, inputs=[self.shown], outputs=lines, js=CHOSEN, preprocess=False, **ASIDE)

    def beginning(self, request: gr.Request, data: Any) -> Beginning:
        """The picture that the next run starts from, and the part to be made anew. Raises RequestError."""
        kept = self._kept(request, data)
        mask = mask_from_pixels(data["pixels"]) if "pixels" in data else None
        return Beginning(read_png(kept.png).image, f"picture {kept.number}", mask)

    def _kept(self, request: gr.Request, data: Any) -> Kept:
        number = data.get("id")
        if not isinstance(number, str) or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise RequestError("Choose a picture first.")
        kept = self.tab.here(request)[0].stable_diffusion.find(int(number))
        if kept is None:
            raise RequestError("That picture made room for newer ones. Choose another.")
        return kept

    def _use(self, request: gr.Request, event: gr.EventData) -> Iterator[Update]:
        yield from self.tab.answered(request, self._used(request, event._data))

    def _used(self, request: gr.Request, data: Any) -> Iterator[Update]:
        """The knobs to what made a picture."""
        yield from self._settings(request, self._kept(request, data).parameters, "Its settings are set")

    def _settings(self, request: gr.Request, parameters: Parameters, said: str) -> Iterator[Update]:
        _, show = self.tab.here(request)
        show.stopped = False
        made, model, before = parameters.request, parameters.model, show.model
        if model not in CATALOGUE:
            said, model = f"{said}, but {model[:60]!r} is not among the models here", show.model
        if not (yield from self.tab.models.bring(show, model)):
            return
        update = self.tab.put(settings(made, model))
        if model == before:
            for path in ("images", "preview", "attention"):  # how it is shown, and how many more: not this picture's
                del update[self.tab.controls[path]]
        if parameters.kind != "text":
            said = f"{said}; it began with a picture, which the file does not hold: choose that one again"
        yield {**update, self.tab.news: pack_news(f"{said}: press Draw.", drawing=False)}

    def _save(self, request: gr.Request, event: gr.EventData) -> Update:
        try:
            kept = self._kept(request, event._data)
        except Refusal as refusal:
            return {self.tab.news: pack_news(str(refusal), wrong=True)}
        name = f"{CATALOGUE[kept.parameters.model].name}-{kept.parameters.request.seeds[0]}.png".replace("/", "-")
        said = f"{name}: {len(kept.png):,} bytes, its settings inside."
        return {self.tab.files: file_message(name, kept.png), self.tab.news: pack_news(said)}

    def _opened(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        try:
            yield from self._read(request, event._data, values)
        except Refusal as refusal:  # a run that is on goes on
            yield {self.tab.news: pack_news(str(refusal), wrong=True)}

    def _read(self, request: gr.Request, data: Any, values: Sequence[Any]) -> Iterator[Update]:
        """A PNG from a stranger: its settings, or why they cannot be read. The picture can be started from."""
        png = _bytes(data.get("base64"))
        with COMPUTE_LOCK.work():
            dropped = read_png(png)
        _, show = self.tab.here(request)
        settings = DrawSettings.read(values)
        show.beginning = Beginning(_fitted(dropped.image, settings), "the opened picture", opened=True)
        if dropped.parameters is not None:
            yield self.tab.beginning.shown(show, "noise")
            yield from self._settings(request, dropped.parameters, "Settings read from the PNG")
        elif brought := foreign_settings(png):
            said = "Settings of another program, as far as they are known here; model and size stay: press Draw."
            settings = dataclasses.replace(settings, lock=True, begin="noise", **brought)
            yield {**self.tab.put(settings), **self.tab.beginning.shown(show, "noise"), self.tab.news: pack_news(said)}
        else:
            said = f"{dropped.words} “Start from it” above begins with it."
            begin: Begin = (
                "picture" if settings.begin == "picture" else "noise"
            )  # with a part of it there was no mask yet
            begun: Update = {self.tab.controls["begin"]: begin, **self.tab.beginning.shown(show, begin)}
            yield {**begun, self.tab.news: pack_news(said if begin == "noise" else f"{dropped.words} Press Draw.")}

    # --- take it home --------------------------------------------------------------------------------------------

    def _attempt(self, request: gr.Request, change: Callable[[StableDiffusionSession, Strip], Update]) -> Update:
        home = self.tab.notices["Home"]
        try:
            session = self.tab.here(request)[0].stable_diffusion
            if session.strip is None:
                raise RequestError("Draw something first.")
            return {home: "", **change(session, session.strip)}
        except Refusal as refusal:
            return {home: notice(str(refusal), wrong=True)}

    def _sheet(self, request: gr.Request) -> Update:
        def take(_: StableDiffusionSession, strip: Strip) -> Update:
            with COMPUTE_LOCK.work():
                data = contact_sheet(strip)
            name = f"denoising-{strip.seed}.png"
            said = f"{name}: a row for each picture, a column for each step; {len(data):,} bytes."
            return {self.tab.files: file_message(name, data), self.tab.notices["Home"]: notice(said)}

        return self._attempt(request, take)

    def _script(self, chosen: Any, request: gr.Request) -> Update:
        def take(session: StableDiffusionSession, _: Strip) -> Update:
            if not session.gallery:
                raise RequestError("Draw a whole picture first.")
            kept = self._kept(request, {"id": chosen}) if chosen else session.gallery[-1]
            return {self.lines: scripts(kept.parameters)}

        return self._attempt(request, take)


def settings(made: Request, model: str) -> DrawSettings:
    """The knobs that made `made`; how it was shown, and that others were drawn with it, is no part of the picture."""
    return dataclasses.replace(
        DrawSettings.of(model),
        prompt=made.prompt,
        negative_prompt=made.negative_prompt,
        seed=made.seeds[0],
        guidance_scale=max(1.0, made.guidance_scale),  # below, nothing is guided either
        steps=made.steps,
        scheduler=made.scheduler,
        width=made.width,
        height=made.height,
        strength=made.strength,
    )


def contact_sheet(strip: Strip) -> bytes:
    """A PNG: a row for each picture, a column for each step that was kept. Raises RequestError."""
    if not strip.previews:
        raise RequestError("There are no previews of this run. Draw it with previews (more, at every step).")
    sheet = torch.cat([torch.cat(list(column), 1) for column in strip.previews], 2)  # (3, N·side, K·side)
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
