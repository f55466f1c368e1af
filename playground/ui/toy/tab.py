"""The toy lab's tab: knobs left, stage and charts right, and below how it works. Nothing here computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.refusal import Refusal
from playground.sessions import Gone, Sessions, Visitor
from playground.toy import PRESETS, ToyConfig, ToyLab
from playground.toy.config import preset_of
from playground.toy.url import to_query
from playground.ui.shared.component import channel
from playground.ui.shared.knobs import NOTHING, Control, Knob
from playground.ui.shared.notices import MATHS, QUIET, Update, lay_out_code, notice
from playground.ui.shared.schedule_knobs import show_chosen
from playground.ui.toy import changes
from playground.ui.toy.changes import MIXED
from playground.ui.toy.explain import EXPLAINS, HOW_IT_WORKS, RUNNING_CODE, recipe_code
from playground.ui.toy.home import QualityPart, ToyHome
from playground.ui.toy.knobs import groups
from playground.ui.toy.stage import pack_frame, pack_scene, toy_stage
from playground.ui.toy.training import ASIDE, ToyTraining, idle, still

Change = Callable[[Visitor], str | None]  # returns what to say of it; None when there was nothing to do


class ToyTab:
    """The tab's components and events. `sessions` knows whose lab is whose."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.notices: dict[str, gr.HTML] = {}
        self.controls: dict[str, Control] = {}
        self.links: dict[str, gr.Button] = {}
        self.groups: dict[str, gr.Accordion] = {}
        self.table = groups()
        self.knobs = [knob for group in self.table.values() for knob in group]
        self._lay_out()
        self._wire()

    # --- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.scene, self.news, self.files = channel("toy-scene"), channel("toy-look"), channel("toy-file")
        with gr.Row(elem_classes="pg-room"):
            self.stage = toy_stage()  # first for those who hear or scroll the page; style.css puts it in the middle
            with gr.Column(elem_classes="pg-knobs", min_width=260, scale=0):
                self.preset = gr.Dropdown(
                    [*((preset.title, name) for name, preset in PRESETS.items()), ("Your own mix", MIXED)],
                    value="fast",
                    label="recipe",
                    info="A whole set of knobs at once.",
                    filterable=False,
                )
                self.notices["Recipe"] = gr.HTML(notice(PRESETS["fast"].about), elem_classes="pg-notice")
                for name in self.table:
                    with gr.Accordion(name, open=name in ("Data", "Learning"), elem_classes="pg-group") as group:
                        self.groups[name] = group
                        self._lay_out_group(name)
        with gr.Accordion("How it works", open=False, elem_id="how") as self.how, gr.Tabs() as self.how_tabs:
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title, id=title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        with gr.Accordion("Take it home", open=False):
            self.home = ToyHome(self.sessions, self.files)
            self.notices["Home"] = self.home.word

    def _lay_out_group(self, name: str) -> None:
        config = ToyConfig()
        for knob in (k for k in self.table[name] if not k.more):
            self.controls[knob.path] = knob.component(config)
        if name == "Data":
            self.upload = gr.UploadButton("Upload points (.csv, .npy)", type="filepath", size="sm")
        if name == "Sampling":
            self.quality = QualityPart(self._visitor)
        self.notices[name] = gr.HTML("", elem_classes="pg-notice")
        self.links[name] = gr.Button("How it works", size="sm", elem_classes="pg-link")
        if rare := [k for k in self.table[name] if k.more]:
            with gr.Accordion("more", open=False, elem_classes="pg-more"):
                for knob in rare:
                    self.controls[knob.path] = knob.component(config)

    def _wire(self) -> None:
        events, knobs = self.stage, [self.controls[k.path] for k in self.knobs]
        everything = [self.scene, self.news, self.preset, self.home.recipe, *self.notices.values(), *knobs]
        self.takes = [*everything, self.groups["Noise"]]
        events.ready(self._ready, outputs=everything, **ASIDE)
        ToyTraining(self.sessions, events, self.news)
        events.reset(self._reset, outputs=everything, **ASIDE)
        events.drawn(self._drawn, outputs=everything, **ASIDE)
        self.preset.input(self._choose_preset, [self.preset], everything, **ASIDE)
        self.upload.upload(self._upload, [self.upload], everything, **ASIDE)
        self.home.restore.upload(self._restore, [self.home.restore], everything, **ASIDE)
        for group, link in self.links.items():
            done = link.click(self._explaining(EXPLAINS[group]), None, [self.how, self.how_tabs], queue=False, **QUIET)
            done.then(fn=None, js="() => document.getElementById('how').scrollIntoView()")
        show_chosen(self.controls)
        for group, members in self.table.items():
            for knob in members:
                control = self.controls[knob.path]
                # Gradio would answer the first digit of "500" with an error toast; `Knob.clean` knows the limits too.
                raw: dict[str, Any] = {"inputs": [control], "outputs": everything, "preprocess": False, **ASIDE}
                turn = self._turning(knob, group, dragged=isinstance(control, (gr.Slider, gr.Number)))
                control.input(turn, trigger_mode="always_last", **raw)
                if isinstance(control, (gr.Slider, gr.Number)):  # released: now a refused number is set back
                    let_go = control.release if isinstance(control, gr.Slider) else control.blur
                    let_go(self._turning(knob, group, dragged=False), trigger_mode="multiple", **raw)
        self.quality.wire(self.notices["Sampling"])

    # --- what the page shows -------------------------------------------------------------------------------------

    def _visitor(self, request: gr.Request) -> Visitor:
        return self.sessions.known(str(request.session_hash))

    def _scene(self, visitor: Visitor) -> str:
        config = visitor.lab.config
        preset = PRESETS[preset_of(config) or "fast"]
        return pack_scene(visitor.lab, preset.look_for, to_query(config), visitor.training)

    def _show(self, visitor: Visitor, group: str, message: str, knobs: Iterable[Knob] | None = None) -> Update:
        """The whole page as the lab is now, including `knobs`, with `message` at the group that caused the change."""
        lab = visitor.lab
        shown: Update = {
            self.scene: self._scene(visitor),
            self.preset: preset_of(lab.config) or MIXED,
            self.home.recipe: recipe_code(lab.config),
            self.notices[group]: notice(message),
            **self._shown(lab, self.knobs if knobs is None else knobs),
        }
        if lab.step and not visitor.training:
            shown[self.news] = pack_frame(still(visitor))
        return shown

    def _shown(self, lab: ToyLab, knobs: Iterable[Knob]) -> Update:
        shown: Update = {self.controls[k.path]: k.value(lab.config) for k in knobs}
        if self.controls["dataset"] not in shown and self.controls["label"] not in shown:
            return shown
        classes: list[tuple[str, Any]] = [("all", NOTHING), *((n, k) for k, n in enumerate(lab.cloud.classes))]
        label = NOTHING if lab.config.label is None else lab.config.label
        return {**shown, self.controls["label"]: gr.Dropdown(choices=classes, value=label)}

    def _attempt(
        self,
        request: gr.Request,
        group: str,
        change: Change,
        knob: Knob | None = None,
        said: Any = None,
        dragged: bool = False,
    ) -> Update:
        """Try `change`; when it is refused, say why at its group and set the knobs back.

        When a single `knob` was turned, only the others that moved with it are updated, and itself if the lab has not
        taken the value `said`: by now the visitor may have turned it further, or the next one. While it is `dragged`
        or typed into, it keeps what the visitor entered.
        """
        try:
            visitor = self._visitor(request)
        except Gone as refusal:
            return {self.notices[group]: notice(str(refusal), wrong=True)}
        lab = visitor.lab
        with visitor.changes.work():  # held for the answer too, so that the later of two answers has both changes
            try:
                old, classes, message = lab.config, lab.cloud.classes, change(visitor)
            except Refusal as refusal:
                unmoved = self.knobs if knob is None else [] if dragged else [knob]
                return {self.notices[group]: notice(str(refusal), wrong=True), **self._shown(lab, unmoved)}
            if message is None:
                return gr.skip()
            if knob is None:
                return self._show(visitor, group, message)
            moved = [k for k in self.knobs if k.path != knob.path and k.value(lab.config) != k.value(old)]
            itself = [] if dragged or knob.value(lab.config) == said else [knob]
            named = [] if lab.cloud.classes == classes else [self._knob("label")]  # the same class, under another name
            return self._show(visitor, group, message, [*moved, *itself, *named])

    def take_schedule(
        self, config: ScheduleConfig, sampling: SamplingConfig, request: gr.Request, *values: Any
    ) -> Update:
        """The experiment goes on with the schedule `config` and sampler, steps and spacing of `sampling`; refused, it
        says why beside the noise knobs.
        """
        taken = self._attempt(request, "Noise", lambda visitor: changes.take_schedule(visitor, config, sampling))
        return {**taken, self.groups["Noise"]: gr.Accordion(open=True)}

    def _knob(self, path: str) -> Knob:
        return next(knob for knob in self.knobs if knob.path == path)

    def _explaining(self, title: str) -> Callable[[], Update]:
        return lambda: {self.how: gr.Accordion(open=True), self.how_tabs: gr.Tabs(selected=title)}

    # --- what visitors ask for -----------------------------------------------------------------------------------

    def _ready(self, event: gr.EventData, request: gr.Request) -> Update:
        try:
            visitor = self.sessions.visitor(str(request.session_hash))
        except Refusal as refusal:
            return {self.news: idle(str(refusal))}
        search = str(event._data.get("search", ""))
        shown = self._attempt(request, "Recipe", lambda visitor: changes.open_link(visitor, search))
        return shown if self.scene in shown else {**self._show(visitor, "Recipe", ""), **shown}

    def _reset(self, request: gr.Request) -> Update:
        return self._attempt(request, "Learning", changes.reset)

    def _drawn(self, event: gr.EventData, request: gr.Request) -> Update:
        return self._attempt(request, "Data", lambda visitor: changes.draw_points(visitor, event._data.get("strokes")))

    def _turning(self, knob: Knob, group: str, dragged: bool) -> Callable[[Any, gr.Request], Update]:
        def turn(value: Any, request: gr.Request) -> Update:
            return self._attempt(
                request, group, lambda visitor: changes.turn(visitor, knob, value), knob, value, dragged
            )

        return turn

    def _choose_preset(self, name: str, request: gr.Request) -> Update:
        return self._attempt(request, "Recipe", lambda visitor: changes.choose_preset(visitor, name))

    def _upload(self, path: str | None, request: gr.Request) -> Update:
        return self._attempt(request, "Data", lambda visitor: changes.upload_points(visitor, path))

    def _restore(self, data: bytes | None, request: gr.Request) -> Update:
        return self._attempt(request, "Home", lambda visitor: changes.open_experiment(visitor, data))
