"""The Stable Diffusion tab: prompt on top, knobs left, stage and diagram, below how it works. Nothing here computes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.refusal import Refusal
from playground.sessions import Gone, Sessions, Visitor
from playground.settings import SETTINGS
from playground.stable_diffusion.devices import SMALL, measure
from playground.stable_diffusion.generation import OutOfMemory
from playground.stable_diffusion.models import CATALOGUE, default_model, in_memory, load
from playground.stable_diffusion.schedulers import SCHEDULERS, allowed
from playground.toy import LabError
from playground.ui.shared.notices import MATHS, QUIET, Update, lay_out_code, notice
from playground.ui.stable_diffusion.beginning import BeginningPart
from playground.ui.stable_diffusion.clip import ClipCorner
from playground.ui.stable_diffusion.experiments import Experiments
from playground.ui.stable_diffusion.explain import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.stable_diffusion.gallery import Gallery
from playground.ui.stable_diffusion.grid import draw_grid
from playground.ui.stable_diffusion.knobs import GROUPS, KNOBS, Begin, DrawSettings, calls_in_words
from playground.ui.stable_diffusion.models import ASIDE, ModelPart
from playground.ui.stable_diffusion.prompts import draw_prompts
from playground.ui.stable_diffusion.show import Show, tell
from playground.ui.stable_diffusion.stage import (
    pack_again,
    pack_news,
    stable_diffusion_channel,
    stable_diffusion_stage,
)

DRAW: dict[str, Any] = {
    **QUIET,
    "preprocess": False,
    "trigger_mode": "multiple",  # a new settings makes the run before it stop, so it must not wait for it
    "concurrency_limit": 16,
    "concurrency_id": "diffusion-draw",
}
COSTING = [knob for knob in KNOBS if knob.path in ("steps", "scheduler", "begin", "strength")]
BROKE = "Something broke here; it is in the log. What was drawn is still there."


class StableDiffusionTab:
    """The tab's components and events. `sessions` knows whose session is whose."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.shows: WeakKeyDictionary[Visitor, Show] = WeakKeyDictionary()
        self.default = DrawSettings.of(default_model(measure()))
        self.notices: dict[str, gr.HTML] = {}
        self.controls: dict[str, Any] = {}
        self._lay_out()
        self._wire()

    # --- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.model_channel, self.tokens = stable_diffusion_channel("model"), stable_diffusion_channel("tokens")
        self.news, self.files = stable_diffusion_channel("news"), stable_diffusion_channel("file")
        with gr.Row(elem_classes="pg-prompts"):
            self.prompt = gr.Textbox(
                self.default.prompt, label="prompt", max_lines=1, scale=3, placeholder="what to draw"
            )
            self.negative = gr.Textbox(
                "", label="negative prompt", max_lines=1, scale=1, placeholder="what not to draw"
            )
            self.beginning = BeginningPart(self)
        with gr.Row(elem_classes="pg-room"):
            self.stage = stable_diffusion_stage()
            with gr.Column(elem_classes="pg-knobs", min_width=260, scale=0):
                self.experiments = Experiments(self)
                with gr.Accordion("Model", open=True, elem_classes="pg-group"):
                    self._lay_out_model()
                for name in GROUPS:
                    with gr.Accordion(name, open=name == "Picture", elem_classes="pg-group"):
                        self._lay_out_group(name)
        self.clip = ClipCorner(self._session)
        with gr.Accordion("How it works", open=False), gr.Tabs():
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        with gr.Accordion("Take it home", open=False):
            self.home = Gallery(self)

    def _lay_out_model(self) -> None:
        self.models = ModelPart(self)
        self.model = self.models.choice
        self.notices["Model"] = gr.HTML("", elem_classes="pg-notice")
        with gr.Row(elem_classes="pg-seed"):
            self.seed = gr.Number(self.default.seed, label="seed", precision=0, minimum=0, maximum=2**32 - 1)
            self.another = gr.Button("Another", size="sm", min_width=60)
        info = "Off: each Draw takes another, and shows it here; a turned knob does not."
        self.lock = gr.Checkbox(True, label="keep the seed", info=info)

    def _lay_out_group(self, name: str) -> None:
        for knob in (k for k in GROUPS[name] if not k.more):
            self.controls[knob.path] = knob.component(self.default)
        if name == "Picture":  # not right below the steps, where their hint would cover it
            self.calls = gr.HTML(notice(calls_in_words(self.default)), elem_classes="pg-notice")
        self.notices[name] = gr.HTML("", elem_classes="pg-notice")
        if name == "Picture":
            self.brought = gr.HTML("", elem_classes="pg-notice")  # a new run clears the others, this one stays
        if any(k.more for k in GROUPS[name]):
            with gr.Accordion("more", open=False, elem_classes="pg-more"):
                for knob in (k for k in GROUPS[name] if k.more):
                    self.controls[knob.path] = knob.component(self.default)

    def _wire(self) -> None:
        stage = self.stage
        words = [self.model, self.prompt, self.negative, self.seed, self.lock]
        self.knobs = [*words, *(self.controls[knob.path] for knob in KNOBS)]
        shown = [stage, self.model_channel, self.tokens, self.news, self.files, *self.notices.values()]
        self.all = [*shown, *self.knobs, *self.beginning.parts, *self.experiments.parts, self.brought]
        taken = [self.controls["scheduler"], self.controls["steps"], *self.experiments.parts]
        self.takes = [self.news, self.brought, *taken]
        asking: dict[str, Any] = {"inputs": self.knobs, "outputs": self.all, **DRAW}
        stage.ready(self._ready, **asking)
        stage.draw(self._draw, **asking)
        stage.start_from(self._start_from, **asking)
        stage.repaint(self._start_from, **asking)
        self.another.click(self._another, outputs=[self.seed], queue=False, **QUIET).then(None, js=tell("draw"))
        stage.stop(self._stop, outputs=[self.news], queue=False, **QUIET)
        stage.missing(self._missing, outputs=[stage], queue=False, **QUIET)
        stage.smaller(self._smaller, outputs=self.all, **ASIDE)
        for box in (self.prompt, self.negative, self.seed):
            box.submit(None, js=tell("draw"))
        for control in self.controls.values():
            control.input(None, js=tell("turned"))
        costing = [self.controls[knob.path] for knob in COSTING]
        for control in costing:
            control.change(
                self._calls,
                inputs=costing,
                outputs=[self.calls],
                preprocess=False,
                queue=False,
                trigger_mode="always_last",
                **QUIET,
            )
        for part in (self.models, self.home, self.beginning, self.experiments):
            part.wire()

    # --- who and what --------------------------------------------------------------------------------------------

    def _session(self, request: gr.Request) -> Any:
        return self.sessions.known(str(request.session_hash)).stable_diffusion

    def here(self, request: gr.Request) -> tuple[Visitor, Show]:
        """This page's visitor and stage. Raises Gone."""
        visitor = self.sessions.known(str(request.session_hash))
        return visitor, self.shows.setdefault(visitor, Show())

    def refused(self, why: Exception | str, group: str = "Picture") -> Update:
        """Why something cannot be, at its knob and on the stage; the last picture stays."""
        told = pack_news(
            str(why), wrong=True, drawing=False, smaller=isinstance(why, OutOfMemory) and bool(why.smaller)
        )
        return {self.news: told, self.notices[group]: notice(str(why), wrong=True)}

    def answered(self, request: gr.Request, updates: Iterator[Update]) -> Iterator[Update]:
        """`updates`; a refusal in its own words, and whatever else broke in ours: the page must not wait for a run that
        is no more. Then raised on, for the log.
        """
        try:
            yield from updates
        except Refusal as refusal:
            yield self._failed(request, refusal)
        except Exception:
            yield self.refused(BROKE)
            raise

    def put(self, settings: DrawSettings) -> Update:
        """All knobs as `settings` says; no experiment's any more."""
        values = [settings.model, settings.prompt, settings.negative_prompt, settings.seed, settings.lock]
        values += [knob.value(settings) for knob in KNOBS]
        return {**dict(zip(self.knobs, values, strict=True)), **self.experiments.left(settings.model)}

    def _calls(self, *values: Any) -> str:
        """How many calls of the U-Net the knobs ask for."""
        try:
            cleaned = {knob.path: knob.clean(value) for knob, value in zip(COSTING, values, strict=True)}
        except LabError as refusal:
            return notice(str(refusal), wrong=True)
        return notice(calls_in_words(dataclasses.replace(self.default, **cleaned)))

    # --- drawing -------------------------------------------------------------------------------------------------

    def _ready(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        yield from self.answered(request, self._first(request, values))

    def _first(self, request: gr.Request, values: Sequence[Any]) -> Iterator[Update]:
        """The page was opened: a first picture, by itself where the model is small."""
        self.sessions.visitor(str(request.session_hash))
        _, show = self.here(request)
        show.stopped, settings = False, DrawSettings.read(values)
        model = CATALOGUE[settings.model]
        if model.bytes < SMALL:
            yield from self._work(request, settings, {})
        elif (yield from self.models.bring(show, "tiny")):
            said = f"Press Draw. {model.title} is loaded first ({model.bytes / 1e9:.1f} GB)."
            yield {self.news: pack_news(said, drawing=False)}

    def _draw(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        yield from self.answered(request, self._drawn(request, event._data, values))

    def _drawn(self, request: gr.Request, data: dict[str, Any], values: Sequence[Any]) -> Iterator[Update]:
        """As the knobs say. A seed that is not kept stays all the same while a knob is turned: what it does is seen on
        the same noise alone.
        """
        _, show = self.here(request)
        show.stopped, settings = False, DrawSettings.read(values)
        turned = bool(show.knobs) and show.knobs != settings.turnable
        if not settings.lock and not turned:
            settings = dataclasses.replace(settings, seed=random.randrange(2**32))
            yield {self.seed: settings.seed}
        yield from self._work(request, settings, data)

    def _another(self) -> int:
        """Another seed; the page then draws, in the mode it is in."""
        return random.randrange(2**32)

    def _start_from(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        yield from self.answered(request, self._started_from(request, event._data, values))

    def _started_from(self, request: gr.Request, data: dict[str, Any], values: Sequence[Any]) -> Iterator[Update]:
        """A picture of the tab is to be the beginning, all of it or with a part made anew."""
        _, show = self.here(request)
        picked = self.home.beginning(request, data)
        show.beginning, show.stopped = picked, False
        begin: Begin = "picture" if picked.mask is None else "part"
        height, width = picked.image.shape[-2:]
        settings = dataclasses.replace(DrawSettings.read(values), begin=begin, height=height, width=width)
        turned: Update = {self.controls[name]: getattr(settings, name) for name in ("begin", "height", "width")}
        yield {**turned, **self.beginning.shown(show, begin), **self.experiments.left(settings.model)}
        yield from self._work(request, settings, {})

    def _failed(self, request: gr.Request, why: Exception) -> Update:
        if isinstance(why, OutOfMemory):
            self.here(request)[1].smaller = why.smaller
        return self.refused(why)

    def _work(self, request: gr.Request, settings: DrawSettings, data: dict[str, Any]) -> Iterator[Update]:
        """Draw one prompt, two from the same noise, or a grid, as the stage says in `data`."""
        visitor, show = self.here(request)
        show.knobs = settings.turnable
        with visitor.stable_diffusion.at_work():
            if not (yield from self.models.bring(show, settings.model)):
                return
            if data.get("mode") == "grid":
                yield from draw_grid(self, visitor, show, settings, data.get("x"), data.get("y"))
            else:
                second = [str(data.get("second") or "")] if data.get("mode") == "two" else []
                yield from draw_prompts(self, visitor, show, settings, [settings.prompt, *second])

    def _stop(self, request: gr.Request) -> Update:
        """The run notices after its step, keeps what is there, and has the last word."""
        try:
            _, show = self.here(request)
        except Gone as gone:
            return {self.news: pack_news(str(gone), wrong=True, drawing=False)}
        show.stopped = True
        return {self.news: gr.skip()}

    def _missing(self, request: gr.Request) -> str:
        _, show = self.here(request)
        return pack_again([*show.messages[:1], *show.cells.values(), *show.messages[1:]])

    def _smaller(self, request: gr.Request) -> Update:
        """The smaller setting that was offered when the memory did not suffice."""
        _, show = self.here(request)
        if show.smaller is None:
            return {self.news: pack_news("There is nothing smaller to take.", wrong=True)}
        each = show.smaller
        taken: Update = {self.controls[name]: getattr(each, name) for name in ("images", "height", "width")}
        taken |= self.experiments.left(show.model or self.default.model)
        return taken | {self.news: pack_news("Smaller now: press Draw.", smaller=False)}

    # --- from the Schedules tab ----------------------------------------------------------------------------------

    def take_schedule(
        self, config: ScheduleConfig, sampling: SamplingConfig, request: gr.Request, *values: Any
    ) -> Update:
        """Sampler and steps chosen elsewhere. Not the schedule: this model knows noise by the timestep numbers of its
        own, so another one could only be refused: said plainly.
        """
        self.sessions.visitor(str(request.session_hash))
        _, show = self.here(request)
        trained = CATALOGUE[show.model or self.default.model]
        own = ScheduleConfig("scaled_linear")
        same = all(getattr(config, f) == getattr(own, f) for f in ("name", "timesteps", "rescale_betas_zero_snr"))
        if same and config.knobs() == own.knobs():
            said = f"{config.title} is what {trained.title} was trained on: nothing to change."
        else:
            said = (
                f"{trained.title} was trained on scaled linear, β 0.00085 … 0.012, T = 1000, and is told how noisy its "
                f"input is by that schedule's timestep numbers. On {config.title} the same number means "
                "another noise, so it keeps its own; choose a scheduler to change where the steps fall."
            )
        taken: Update = {self.controls["steps"]: min(sampling.steps, SETTINGS.max_denoising_steps)}
        possible = allowed(load(trained.name).scheduler_config) if in_memory(trained.name) else tuple(SCHEDULERS)
        if sampling.sampler in possible:
            taken[self.controls["scheduler"]] = sampling.sampler
        return {self.news: pack_news(said), self.brought: notice(said), **taken, **self.experiments.left(trained.name)}
