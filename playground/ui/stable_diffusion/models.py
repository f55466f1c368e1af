"""The models of the Stable Diffusion tab: the list, and loading one when it is first used."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import gradio as gr

from playground.diffusion.schedule_config import ScheduleConfig
from playground.fair_lock import COMPUTE_LOCK
from playground.refusal import Refusal
from playground.settings import SETTINGS
from playground.stable_diffusion import Request, RequestError, StableDiffusionLab, speed
from playground.stable_diffusion.devices import SMALL
from playground.stable_diffusion.models import CATALOGUE, Model, in_memory, loading
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.stable_diffusion.knobs import DrawSettings
from playground.ui.stable_diffusion.stage import Channels, pack_model, pack_news, pack_tokens
from playground.ui.stable_diffusion.state import Put, StageState, VisitOf, closing

TRAINED_ON = ScheduleConfig("scaled_linear")  # Stable Diffusion 1.x, and the model that ships
ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "stable-diffusion-aside"}


class ModelPart:
    """The list of models, and the loading of the one that is chosen."""

    def __init__(self, visit_of: VisitOf, channels: Channels, model: str) -> None:
        """`model`: the one with which the page opens."""
        self.visit_of, self.channels, self.default = visit_of, channels, model
        self.choice = gr.Dropdown(
            [(model.title, name) for name, model in CATALOGUE.items()],
            value=model,
            label="model",
            info="Loaded when first used. The large ones want a GPU, and the network once.",
            filterable=False,
        )

    def wire(self, prompt: gr.Textbox, put: Put, outputs: list[Any]) -> None:
        """Once the knobs are there."""
        self.put = put
        self.choice.input(self._choose, inputs=[self.choice], outputs=outputs, preprocess=False, **ASIDE)
        prompt.change(
            self._read_tokens,
            inputs=[self.choice, prompt],
            outputs=[self.channels.tokens],
            preprocess=False,
            trigger_mode="always_last",
            **ASIDE,
        )

    def ensure_loaded(self, state: StageState, name: str) -> Generator[Update, None, bool]:
        """Load a model unless it is in memory, reporting progress. Returns whether to go on: Stop ends it. Raises
        ModelError.
        """
        if state.model == name and in_memory(name):
            return True
        with closing(self._load(state, name)) as updates:
            for update in updates:
                yield update
                if state.stopped:
                    break
        if state.stopped:
            yield {self.channels.news: pack_news("Stopped.", drawing=False)}
        return not state.stopped

    def _load(self, state: StageState, name: str) -> Iterator[Update]:
        news, notices = self.channels.news, self.channels.notices
        for progress in loading(name):
            if progress.fraction < 1:
                yield {news: pack_news(f"{progress.words} …", progress=progress.fraction)}
        lab = StableDiffusionLab(name)
        model, plan = lab.loaded.model, lab.loaded.plan
        with COMPUTE_LOCK.work():
            message = pack_model(lab.loaded, f"{model.about} {plan.words}")
        yield {self.channels.model: message, notices["Model"]: notice(plan.words)}
        # Without a GPU a run of a large model takes minutes: tell the visitor before it starts.
        if model.bytes >= SMALL and plan.device != "cuda" and not speed.known(lab.loaded):
            yield {news: pack_news(f"Timing one step of {model.title} on this machine …")}
            lab.expected_seconds(lab.request("", guidance_scale=1.0))
        state.model = name

    def _choose(self, name: Any, request: gr.Request) -> Iterator[Update]:
        yield from self.channels.answered(self._chosen(name, request))

    def _chosen(self, name: Any, request: gr.Request) -> Iterator[Update]:
        """Another model, with its own settings."""
        news, model_notice = self.channels.news, self.channels.notices["Model"]
        _, state = self.visit_of(request)
        before, state.stopped = state.model, False
        try:
            if name not in CATALOGUE:
                raise RequestError("Choose one of the models of the list.")
            yield {model_notice: notice("Loading …"), news: pack_news(drawing=True)}
            if not (yield from self.ensure_loaded(state, name)):
                yield {model_notice: "", self.choice: before or self.default}
                return
            settings, lab = DrawSettings.of(name), StableDiffusionLab(name)
            expected = expected_in_words(lab, [settings.request(lab, settings.prompt)])
            ready = pack_news(f"{lab.loaded.model.title} is ready. {expected}", drawing=False)
            yield {**self.put(settings), model_notice: notice(lab.loaded.plan.words), news: ready}
        except Refusal as refusal:
            yield {**self.channels.refused(refusal, "Model"), self.choice: before or self.default}

    def _read_tokens(self, name: Any, prompt: Any, request: gr.Request) -> Any:
        """What the model reads of the prompt, while it is being written."""
        _, state = self.visit_of(request)
        if state.model != name or not in_memory(state.model) or not isinstance(prompt, str):
            return gr.skip()
        return pack_tokens(StableDiffusionLab(state.model).tokens(prompt[: SETTINGS.max_prompt_characters]))


def expected_in_words(lab: StableDiffusionLab, requests: Sequence[Request]) -> str:
    """How long the runs will take, "expected: about 3 min."; nothing where no U-Net call was timed yet."""
    if not speed.known(lab.loaded):
        return ""
    return f"expected: {speed.duration(sum(map(lab.expected_seconds, requests)))}."


def warm_up() -> None:
    """What the tab needs first, before anyone opens it."""
    lab = StableDiffusionLab("tiny")
    with COMPUTE_LOCK.work():
        pack_model(lab.loaded, "")


def words_on_schedule(config: ScheduleConfig, model: Model) -> str:
    """What to say to a schedule that somebody would like to draw on with `model`."""
    if config == TRAINED_ON:
        return f"{config.title} is what {model.title} was trained on: nothing to change."
    return (
        f"{model.title} was trained on {TRAINED_ON.title}, T = {TRAINED_ON.timesteps}, and is told how noisy its input "
        f"is by that schedule's timestep numbers. On {config.title} the same number means another noise, so it keeps "
        "its own; choose a scheduler to change where the steps fall."
    )
