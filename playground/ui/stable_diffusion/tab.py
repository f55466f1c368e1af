"""The Stable Diffusion tab: prompt on top, knobs left, stage and diagram, below how it works. Nothing here computes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.sessions import Gone, Sessions, Visitor
from playground.settings import SETTINGS
from playground.stable_diffusion.devices import SMALL, measure
from playground.stable_diffusion.generation import OutOfMemory
from playground.stable_diffusion.models import CATALOGUE, default_model, in_memory, load
from playground.stable_diffusion.schedulers import allowed
from playground.stable_diffusion.session import StableDiffusionSession
from playground.toy import LabError
from playground.ui.shared.notices import MATHS, QUIET, Update, lay_out_code, notice
from playground.ui.stable_diffusion.clip import ClipCorner
from playground.ui.stable_diffusion.experiments import Experiments
from playground.ui.stable_diffusion.explain import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.stable_diffusion.gallery import Gallery
from playground.ui.stable_diffusion.grid import draw_grid
from playground.ui.stable_diffusion.initial_image import InitialImagePart
from playground.ui.stable_diffusion.knobs import DrawSettings, StartFrom, all_knobs, calls_in_words, groups
from playground.ui.stable_diffusion.models import ASIDE, ModelPart, words_on_schedule
from playground.ui.stable_diffusion.prompts import draw_prompts
from playground.ui.stable_diffusion.stage import (
    Channels,
    pack_again,
    pack_news,
    stable_diffusion_channel,
    stable_diffusion_stage,
    tell_stage,
)
from playground.ui.stable_diffusion.state import StageState, Visit

DRAW: dict[str, Any] = {
    **QUIET,
    "preprocess": False,
    "trigger_mode": "multiple",  # a new run makes the one before it stop, so it must not wait for it
    "concurrency_limit": 16,
    "concurrency_id": "stable-diffusion-draw",
}
COSTING = ("steps", "scheduler", "start_from", "strength")  # the knobs that say how many calls a run makes


class StableDiffusionTab:
    """The tab's components and events. `sessions` knows whose session is whose."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.states: WeakKeyDictionary[Visitor, StageState] = WeakKeyDictionary()
        self.default = DrawSettings.of(default_model(measure()))
        self.controls: dict[str, Any] = {}
        self._lay_out()
        self._wire()

    # --- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        model, tokens = stable_diffusion_channel("model"), stable_diffusion_channel("tokens")
        news, files = stable_diffusion_channel("news"), stable_diffusion_channel("file")
        with gr.Row(elem_classes="pg-prompts"):
            self.prompt = gr.Textbox(
                self.default.prompt, label="prompt", max_lines=1, scale=3, placeholder="what to draw"
            )
            self.negative = gr.Textbox(
                "", label="negative prompt", max_lines=1, scale=1, placeholder="what not to draw"
            )
            self.initial_image = InitialImagePart(self.visit)
        with gr.Row(elem_classes="pg-room"):
            self.stage = stable_diffusion_stage()
            self.channels = Channels(self.stage, model, tokens, news, files)
            self.news, self.notices = self.channels.news, self.channels.notices
            with gr.Column(elem_classes="pg-knobs", min_width=260, scale=0):
                self.experiments = Experiments(self.visit, self.default.model)
                with gr.Accordion("Model", open=True, elem_classes="pg-group"):
                    self._lay_out_model()
                for name in groups():
                    with gr.Accordion(name, open=name == "Picture", elem_classes="pg-group"):
                        self._lay_out_group(name)
        self.clip = ClipCorner(self._session)
        with gr.Accordion("How it works", open=False), gr.Tabs():
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        with gr.Accordion("Take it home", open=False):
            self.gallery = Gallery(self.visit, self.channels, self.models, self.initial_image)

    def _lay_out_model(self) -> None:
        self.models = ModelPart(self.visit, self.channels, self.default.model)
        self.model = self.models.choice
        self.notices["Model"] = gr.HTML("", elem_classes="pg-notice")
        with gr.Row(elem_classes="pg-seed"):
            self.seed = gr.Number(self.default.seed, label="seed", precision=0, minimum=0, maximum=2**32 - 1)
            self.another = gr.Button("Another", size="sm", min_width=60)
        info = "Off: each Draw takes another, and shows it here; a turned knob does not."
        self.lock = gr.Checkbox(True, label="keep the seed", info=info)

    def _lay_out_group(self, name: str) -> None:
        for knob in (k for k in groups()[name] if not k.more):
            self.controls[knob.path] = knob.component(self.default)
        if name == "Picture":  # not right below the steps, where their hint would cover it
            self.calls = gr.HTML(notice(calls_in_words(self.default)), elem_classes="pg-notice")
        self.notices[name] = gr.HTML("", elem_classes="pg-notice")
        if name == "Picture":
            self.schedule_notice = gr.HTML("", elem_classes="pg-notice")  # stays, when a new run clears the others
        if any(k.more for k in groups()[name]):
            with gr.Accordion("more", open=False, elem_classes="pg-more"):
                for knob in (k for k in groups()[name] if k.more):
                    self.controls[knob.path] = knob.component(self.default)

    def _wire(self) -> None:
        stage, channels, controls = self.stage, self.channels, self.controls
        self.words = [self.prompt, self.negative, self.seed, self.lock]
        self.knobs = [self.model, *self.words, *(controls[knob.path] for knob in all_knobs())]
        parts = [*self.initial_image.parts, *self.experiments.parts]
        self.all = [*channels.all, *self.knobs, *parts, self.schedule_notice]
        taken = [controls["scheduler"], controls["steps"], *self.experiments.parts]
        self.takes = [self.news, self.schedule_notice, *taken]
        asking: dict[str, Any] = {"inputs": self.knobs, "outputs": self.all, **DRAW}
        stage.ready(self._ready, **asking)
        stage.draw(self._draw, **asking)
        stage.start_from(self._start_from, **asking)
        stage.repaint(self._start_from, **asking)
        self.another.click(self._another, outputs=[self.seed], queue=False, **QUIET).then(None, js=tell_stage("draw"))
        stage.stop(self._stop, outputs=[self.news], queue=False, **QUIET)
        stage.missing(self._missing, outputs=[stage], queue=False, **QUIET)
        stage.smaller(self._smaller, outputs=self.all, **ASIDE)
        for box in (self.prompt, self.negative, self.seed):
            box.submit(None, js=tell_stage("draw"))
        gr.on([control.input for control in controls.values()], None, js=tell_stage("turned"))
        costing = [controls[path] for path in COSTING]
        gr.on(
            [control.change for control in costing],
            self._calls,
            inputs=costing,
            outputs=[self.calls],
            preprocess=False,
            queue=False,
            trigger_mode="always_last",
            **QUIET,
        )
        self.models.wire(self.prompt, self.put, self.all)
        self.gallery.wire(self.put, controls, self.knobs, self.all)
        self.initial_image.wire(channels, controls["start_from"], self.schedule_notice, self.all)
        self.experiments.wire(channels, self.put, self.knobs[1:], self.all)

    # --- who and what --------------------------------------------------------------------------------------------

    def _session(self, request: gr.Request) -> StableDiffusionSession:
        return self.sessions.known(str(request.session_hash)).stable_diffusion

    def visit(self, request: gr.Request) -> Visit:
        """This page's visitor, and what is on its stage. Raises Gone."""
        visitor = self.sessions.known(str(request.session_hash))
        return visitor, self.states.setdefault(visitor, StageState())

    def put(self, settings: DrawSettings) -> Update:
        """All knobs as `settings` says, which is no experiment any more."""
        values = [settings.model, settings.prompt, settings.negative_prompt, settings.seed, settings.lock]
        values += [knob.value(settings) for knob in all_knobs()]
        return {**dict(zip(self.knobs, values, strict=True)), **self.experiments.left(settings.model)}

    def _calls(self, *values: Any) -> str:
        """How many calls of the U-Net the knobs ask for."""
        try:
            costing = {knob.path: knob for knob in all_knobs()}
            cleaned = {path: costing[path].clean(value) for path, value in zip(COSTING, values, strict=True)}
        except LabError as refusal:
            return notice(str(refusal), wrong=True)
        return notice(calls_in_words(dataclasses.replace(self.default, **cleaned)))

    # --- drawing -------------------------------------------------------------------------------------------------

    def _ready(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        yield from self.channels.answered(self._first(request, values))

    def _first(self, request: gr.Request, values: Sequence[Any]) -> Iterator[Update]:
        """The page was opened: a first picture, by itself where the model is small."""
        self.sessions.visitor(str(request.session_hash))
        _, state = self.visit(request)
        state.stopped, settings = False, DrawSettings.read(values)
        model = CATALOGUE[settings.model]
        if model.bytes < SMALL:
            yield from self._work(request, settings, {})
        elif (yield from self.models.ensure_loaded(state, "tiny")):
            said = f"Press Draw. {model.title} is loaded first ({model.bytes / 1e9:.1f} GB)."
            yield {self.news: pack_news(said, drawing=False)}

    def _draw(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        yield from self.channels.answered(self._drawn(request, event._data, values))

    def _drawn(self, request: gr.Request, data: dict[str, Any], values: Sequence[Any]) -> Iterator[Update]:
        """As the knobs say. Even a seed that is not kept stays while a knob is turned: what the knob does can be seen
        on the same noise only.
        """
        _, state = self.visit(request)
        state.stopped, settings = False, DrawSettings.read(values)
        turned = bool(state.knobs) and state.knobs != settings.turnable
        if not settings.lock and not turned:
            settings = dataclasses.replace(settings, seed=random.randrange(2**32))
            yield {self.seed: settings.seed}
        yield from self._work(request, settings, data)

    def _another(self) -> int:
        """Another seed; the page then draws, in the mode it is in."""
        return random.randrange(2**32)

    def _start_from(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        yield from self.channels.answered(self._started_from(request, event._data, values))

    def _started_from(self, request: gr.Request, data: dict[str, Any], values: Sequence[Any]) -> Iterator[Update]:
        """Start from a picture of the gallery, or repaint a part of it."""
        _, state = self.visit(request)
        chosen = self.gallery.initial_image(request, data)
        state.initial_image, state.stopped = chosen, False
        start: StartFrom = "img2img" if chosen.mask is None else "inpaint"
        height, width = chosen.image.shape[-2:]
        settings = dataclasses.replace(DrawSettings.read(values), start_from=start, height=height, width=width)
        turned: Update = {self.controls[name]: getattr(settings, name) for name in ("start_from", "height", "width")}
        yield {**turned, **self.initial_image.shown(state, start), **self.experiments.left(settings.model)}
        yield from self._work(request, settings, {})

    def _work(self, request: gr.Request, settings: DrawSettings, data: dict[str, Any]) -> Iterator[Update]:
        """Draw one prompt, two from the same noise, or a grid, as the stage says in `data`."""
        visitor, state = visit = self.visit(request)
        state.knobs = settings.turnable
        with visitor.stable_diffusion.at_work():
            if not (yield from self.models.ensure_loaded(state, settings.model)):
                return
            try:
                if data.get("mode") == "grid":
                    yield from draw_grid(self.channels, visit, settings, data.get("x"), data.get("y"))
                else:
                    second = [str(data.get("second") or "")] if data.get("mode") == "two" else []
                    yield from draw_prompts(self.channels, visit, settings, [settings.prompt, *second])
            except OutOfMemory as full:
                state.smaller = full.smaller
                raise

    def _stop(self, request: gr.Request) -> Update:
        """The run notices after its step, keeps what is there, and has the last word."""
        try:
            _, state = self.visit(request)
        except Gone as gone:
            return {self.news: pack_news(str(gone), wrong=True, drawing=False)}
        state.stopped = True
        return {self.news: gr.skip()}

    def _missing(self, request: gr.Request) -> str:
        _, state = self.visit(request)
        return pack_again([*state.messages[:1], *state.cells.values(), *state.messages[1:]])

    def _smaller(self, request: gr.Request) -> Update:
        """The smaller setting that was offered when the memory was not enough."""
        _, state = self.visit(request)
        if state.smaller is None:
            return {self.news: pack_news("There is nothing smaller to take.", wrong=True)}
        taken: Update = {self.controls[name]: getattr(state.smaller, name) for name in ("images", "height", "width")}
        taken |= self.experiments.left(state.model or self.default.model)
        return taken | {self.news: pack_news("Smaller now: press Draw.", smaller=False)}

    # --- from the Schedules tab ----------------------------------------------------------------------------------

    def take_schedule(
        self, config: ScheduleConfig, sampling: SamplingConfig, request: gr.Request, *values: Any
    ) -> Update:
        """Sampler and steps chosen elsewhere. Not the schedule: this model knows noise by the timestep numbers of its
        own, so another one could only be refused: said plainly.
        """
        self.sessions.visitor(str(request.session_hash))
        _, state = self.visit(request)
        trained = CATALOGUE[state.model or self.default.model]
        said = words_on_schedule(config, trained)
        taken: Update = {self.controls["steps"]: min(sampling.steps, SETTINGS.max_denoising_steps)}
        possible = allowed(load(trained.name).scheduler_config) if in_memory(trained.name) else tuple(scheduled())
        if sampling.sampler in possible:
            taken[self.controls["scheduler"]] = sampling.sampler
        return {
            self.news: pack_news(said),
            self.schedule_notice: notice(said),
            **taken,
            **self.experiments.left(trained.name),
        }
