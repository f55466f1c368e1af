"""The MNIST tab: knobs left, stage and charts right, and below how it works. Nothing here computes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from playground.diffusion.sampling import SAMPLERS, SampleStep, SamplingConfig, collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.fair_lock import COMPUTE_LOCK
from playground.mnist import MnistLab
from playground.mnist.data import DIGITS, ImageDataError
from playground.mnist.drawing import digit_from_pixels, mask_from_pixels
from playground.mnist.jobs import Job, collected, work_on
from playground.mnist.session import MnistSession
from playground.mnist.settings import MnistSettings
from playground.refusal import Refusal
from playground.sessions import Sessions
from playground.ui.mnist.compare import Comparison
from playground.ui.mnist.explain import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.mnist.home import MnistHome
from playground.ui.mnist.images import Images
from playground.ui.mnist.knobs import all_knobs, groups, live_paths, mnist_settings
from playground.ui.mnist.show import ASIDE, FIRST_TITLE, in_words, packed_first_run, packed_run, packed_scene
from playground.ui.mnist.stage import mnist_channel, mnist_stage, pack_news
from playground.ui.mnist.training import LiveTraining
from playground.ui.shared.knobs import Knob
from playground.ui.shared.notices import MATHS, QUIET, Update, lay_out_code, notice
from playground.ui.shared.schedule_knobs import show_chosen

TAKEN_SAMPLING = ("sampler", "steps", "spacing")  # comes with a schedule from the Schedules tab
DRAW: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "mnist-draw"}


class MnistTab:
    """The tab's components and events. `sessions` finds each visitor's."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.notices: dict[str, gr.HTML] = {}
        self.controls: dict[str, Any] = {}
        self.table = groups()
        self._lay_out()
        self._wire()

    # --- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.scene, self.path = mnist_channel("scene"), mnist_channel("path")
        self.news, self.files = mnist_channel("news"), mnist_channel("file")
        self.brought = gr.Textbox("", visible="hidden", elem_classes="pg-channel")  # from the Schedules tab, as JSON
        with gr.Row(elem_classes="pg-room"):
            self.stage = mnist_stage()
            with gr.Column(elem_classes="pg-knobs", min_width=260, scale=0):
                for name in self.table:
                    with gr.Accordion(name, open=name in ("Digits", "Sampler"), elem_classes="pg-group"):
                        self._lay_out_group(name)
                self.knobs = [*(self.controls[k.path] for k in all_knobs()), self.brought]
                with gr.Accordion("Compare", open=False, elem_classes="pg-group"):
                    self.comparison = Comparison(self._session, self.path, self.news)
                with gr.Accordion("Images", open=False, elem_classes="pg-group"):
                    Images(self._session, self.stage, self.scene, self.knobs)
        with gr.Accordion("How it works", open=False), gr.Tabs():
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        with gr.Accordion("Take it home", open=False):
            MnistHome(self._session, self.files, self.stage, self.draws_with, self.knobs)

    def _lay_out_group(self, name: str) -> None:
        default = MnistSettings()
        for knob in (k for k in self.table[name] if not k.more):
            self.controls[knob.path] = knob.component(default)
        if name == "Live training":
            self.draws_with = gr.Radio(
                [("the model that ships", "shipped"), ("the one trained here", "trained")],
                value="shipped",
                label="digits are drawn by",
                info="Train on the stage (Train live), then let what was learned draw.",
            )
        self.notices[name] = gr.HTML("", elem_classes="pg-notice")
        if any(k.more for k in self.table[name]):
            with gr.Accordion("more", open=False, elem_classes="pg-more"):
                for knob in (k for k in self.table[name] if k.more):
                    self.controls[knob.path] = knob.component(default)

    def _wire(self) -> None:
        stage, knobs = self.stage, self.knobs
        shown = [self.scene, self.path, self.news, *self.notices.values()]
        taken = [self.controls[name] for name in (*(k.path for k in self._of_schedules()), *TAKEN_SAMPLING)]
        self.takes = [self.scene, self.news, self.brought, *taken, self.notices["Sampler"]]
        stage.ready(self._ready, inputs=knobs, outputs=shown, preprocess=False, **ASIDE)
        begin, learn, comparison = self.controls["begin"], self.controls["learn"], self.comparison
        asking: dict[str, Any] = {"inputs": knobs, "outputs": shown, "preprocess": False, **DRAW}
        comparing = asking | {
            "inputs": [comparison.by, comparison.values, *knobs],
            "outputs": [*shown, comparison.word],
        }
        sampling = [
            stage.generate(self._generate, **comparing),
            stage.masked(self._masked, **asking | {"outputs": [*shown, begin]}),
            stage.drawn(self._drawn, **asking | {"outputs": [*shown, begin, learn]}),
            comparison.button.click(comparison.compare, **comparing),
        ]
        live = live_paths()
        turned = [control.input for path, control in self.controls.items() if path not in live]
        sampling.append(gr.on(turned, self._turned, trigger_mode="always_last", **asking))
        show_chosen(self.controls)
        stopped = stage.stop(lambda: None, cancels=sampling, queue=False, **QUIET)
        stopped.then(self._stopped, outputs=[self.news], **ASIDE)  # queued: it must come after the run's last message
        LiveTraining(self.sessions, stage, self.notices["Live training"], self.draws_with, knobs)

    def _of_schedules(self) -> list[Knob]:
        return [knob for knob in all_knobs() if knob.path.startswith("schedule.")]

    # --- what the page shows -------------------------------------------------------------------------------------

    def _session(self, request: gr.Request) -> MnistSession:
        return self.sessions.known(str(request.session_hash)).mnist

    def _ready(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        try:
            session, settings = self.sessions.visitor(str(request.session_hash)).mnist, mnist_settings(values)
            yield {self.scene: packed_scene(session, settings)}
            said = f"Shown: {FIRST_TITLE}"
            if settings.schedule != MnistSettings().schedule:  # brought before this tab was first opened
                said += f". Press Generate to draw on {settings.schedule.title}."
            yield {self.path: packed_first_run(), self.news: pack_news(said, sampling=False)}
        except Refusal as refusal:
            yield {self.news: pack_news(str(refusal), wrong=True)}

    def take_schedule(
        self, config: ScheduleConfig, sampling: SamplingConfig, request: gr.Request, *values: Any
    ) -> Update:
        """Everything from now on by the schedule `config` and sampler, steps and spacing of `sampling`; the other
        knobs' `values` as they stand. Raises Refusal.
        """
        taken = {name: getattr(sampling, name) for name in TAKEN_SAMPLING}
        settings = dataclasses.replace(mnist_settings(values), schedule=config, **taken)
        said = f"Brought from Schedules: {config.title}, {SAMPLERS[sampling.sampler].title}."
        return {
            # The line break makes it differ from what `_ready` sends: a tab that is opened later only hears of changes.
            self.scene: packed_scene(self._session(request), settings) + "\n",
            self.brought: json.dumps(config.to_dict()),
            **{self.controls[knob.path]: knob.value(settings) for knob in self._of_schedules()},
            **{self.controls[name]: value for name, value in taken.items()},
            self.notices["Sampler"]: notice(said),
            self.news: pack_news(f"{said} Press Generate."),
        }

    # --- drawing digits ------------------------------------------------------------------------------------------

    def _generate(
        self, request: gr.Request, event: gr.EventData, by: Any, chosen: Any, *values: Any
    ) -> Iterator[Update]:
        """Draw what the knobs say, with reports of progress; where that is refused, the reason."""
        if event._data.get("mode") == "compare":
            yield from self.comparison.compare(request, by, chosen, *values)
            return
        try:
            session, settings = self._session(request), mnist_settings(values)
            yield from self._draw(session, work_on(session, settings), settings)
        except Refusal as refusal:
            yield self._refused(str(refusal))

    def _refused(self, why: str) -> Update:
        return {
            self.news: pack_news(why, wrong=True, sampling=False),
            self.notices["Sampler"]: notice(why, wrong=True),
        }

    def _draw(self, session: MnistSession, job: Job, settings: MnistSettings) -> Iterator[Update]:
        yield {self.news: pack_news("Starting …", progress=(0, job.total), sampling=True), self.notices["Sampler"]: ""}
        steps: list[SampleStep] = []
        asked, begun = session.ask(), time.perf_counter()
        for steps in collected(job):
            if session.asked != asked:  # a newer request has taken over
                return
            yield {self.news: pack_news("Drawing …", progress=(len(steps), job.total), sampling=True)}
        seconds = time.perf_counter() - begun
        path = collect(steps, job.labels, settings.seed)
        done = pack_news(in_words(path, seconds), sampling=False)
        if not job.beside:
            yield {self.path: packed_run(session, path, job.title, seconds), self.news: done}
            return
        session.comparisons += 1
        beside = collect(job.beside, job.labels, settings.seed)
        yield {self.path: packed_run(session, beside, job.beside_title, 0.0, slot=0, slots=2)}
        yield {self.path: packed_run(session, path, job.title, seconds, slot=1, slots=2), self.news: done}

    def _turned(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        """A knob was turned: the forward process follows at once, then what was drawn is drawn anew."""
        try:
            session, settings = self._session(request), mnist_settings(values)
            job = work_on(session, settings)
            yield {self.scene: packed_scene(session, settings)}
            yield from self._draw(session, job, settings)
        except Refusal as refusal:
            yield self._refused(str(refusal))

    def _drawn(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        """A digit was drawn: to start from, or to be taught."""
        begin, learn = self.controls["begin"], self.controls["learn"]
        try:
            session, settings = self._session(request), mnist_settings(values)
            digit = digit_from_pixels(event._data.get("pixels"))
            if event._data.get("use") == "teach":
                label = event._data.get("label")
                if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(DIGITS):
                    raise ImageDataError("Say which digit it is, 0 to 9.")
                session.teach(digit, label)
                said = f"{len(session.drawn)} drawn to teach. More, or press Train (Train live)."
                yield {learn: "drawn", self.news: pack_news(said), self.notices["Live training"]: notice(said)}
                return
            session.drawing = digit
            settings = dataclasses.replace(settings, begin="drawing")
            yield {begin: "drawing"}
            yield from self._draw(session, work_on(session, settings), settings)
        except Refusal as refusal:
            yield self._refused(str(refusal))

    def _masked(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        """A part of a real digit was painted over: paint it anew."""
        try:
            session, settings = self._session(request), mnist_settings(values)
            index = event._data.get("index")
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise ImageDataError("Choose one of the digits first.")
            session.mask = (index, mask_from_pixels(event._data.get("pixels")))
            settings = dataclasses.replace(settings, begin="mask")
            yield {self.controls["begin"]: "mask"}
            yield from self._draw(session, work_on(session, settings), settings)
        except Refusal as refusal:
            yield self._refused(str(refusal))

    def _stopped(self) -> str:
        return pack_news("Stopped.", sampling=False)


def warm_up() -> None:
    """Loads what the tab needs first, before anyone opens it."""
    with COMPUTE_LOCK.work():
        packed_first_run()
        MnistLab()
