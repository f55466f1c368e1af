"""The models of the Stable Diffusion tab: which one, loaded when first used, with words on what that takes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from playground.fair_lock import COMPUTE_LOCK
from playground.refusal import Refusal
from playground.settings import SETTINGS
from playground.stable_diffusion import RequestError, StableDiffusionLab
from playground.stable_diffusion.models import CATALOGUE, in_memory, loading
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.stable_diffusion.knobs import DrawSettings
from playground.ui.stable_diffusion.pace import Pace
from playground.ui.stable_diffusion.show import Show, ended
from playground.ui.stable_diffusion.stage import pack_model, pack_news, pack_tokens

if TYPE_CHECKING:
    from playground.ui.stable_diffusion.tab import StableDiffusionTab

ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "diffusion-aside"}


class ModelPart:
    """The list of models, and the loading of what is chosen from it."""

    def __init__(self, tab: StableDiffusionTab) -> None:
        self.tab, self.pace = tab, Pace()
        self.choice = gr.Dropdown(
            [(model.title, name) for name, model in CATALOGUE.items()],
            value=tab.default.model,
            label="model",
            info="Loaded when first used. The large ones want a GPU, and the network once.",
            filterable=False,
        )

    def wire(self) -> None:
        """Once everything of the tab is there."""
        tab = self.tab
        self.choice.input(self._choose, inputs=[self.choice], outputs=tab.all, preprocess=False, **ASIDE)
        tab.prompt.change(
            self._read_tokens,
            inputs=[self.choice, tab.prompt],
            outputs=[tab.tokens],
            preprocess=False,
            trigger_mode="always_last",
            **ASIDE,
        )

    def bring(self, show: Show, name: str) -> Generator[Update, None, bool]:
        """Load a model, with words on the progress; nothing to say where it is there. Returns whether to go on: Stop
        ends it. Raises ModelError.
        """
        if show.model == name and in_memory(name):
            return True
        with ended(self._load(show, name)) as updates:
            for update in updates:
                yield update
                if show.stopped:
                    break
        if show.stopped:
            yield {self.tab.news: pack_news("Stopped.", drawing=False)}
        return not show.stopped

    def _load(self, show: Show, name: str) -> Iterator[Update]:
        tab = self.tab
        for progress in loading(name):
            if progress.fraction < 1:
                yield {tab.news: pack_news(f"{progress.words} …", progress=progress.fraction)}
        lab = StableDiffusionLab(name)
        with COMPUTE_LOCK.work():
            message = pack_model(lab.loaded, f"{lab.loaded.model.about} {lab.loaded.plan.words}")
        yield {tab.model_channel: message, tab.notices["Model"]: notice(lab.loaded.plan.words)}
        yield from ({tab.news: pack_news(word)} for word in self.pace.measured(lab))
        show.model = name

    def _choose(self, name: Any, request: gr.Request) -> Iterator[Update]:
        yield from self.tab.answered(request, self._chosen(name, request))

    def _chosen(self, name: Any, request: gr.Request) -> Iterator[Update]:
        """Another model: its own settings."""
        tab = self.tab
        _, show = tab.here(request)
        before, show.stopped = show.model, False
        try:
            if name not in CATALOGUE:
                raise RequestError("Choose one of the models of the list.")
            yield {tab.notices["Model"]: notice("Loading …"), tab.news: pack_news(drawing=True)}
            if not (yield from self.bring(show, name)):
                yield {tab.notices["Model"]: "", self.choice: before or tab.default.model}
                return
            settings, lab = DrawSettings.of(name), StableDiffusionLab(name)
            tells = self.pace.in_words(lab.loaded, settings.request(lab, settings.prompt))
            ready = pack_news(f"{lab.loaded.model.title} is ready. {tells}", drawing=False)
            yield {**tab.put(settings), tab.notices["Model"]: notice(lab.loaded.plan.words), tab.news: ready}
        except Refusal as refusal:
            yield {**tab.refused(refusal, "Model"), self.choice: before or tab.default.model}

    def _read_tokens(self, name: Any, prompt: Any, request: gr.Request) -> Any:
        """What the model reads of the words, while they are written."""
        _, show = self.tab.here(request)
        if show.model != name or not in_memory(show.model) or not isinstance(prompt, str):
            return gr.skip()
        return pack_tokens(StableDiffusionLab(show.model).tokens(prompt[: SETTINGS.max_prompt_characters]))


def warm_up() -> None:
    """What the tab needs first, before anyone opens it."""
    lab = StableDiffusionLab("tiny")
    with COMPUTE_LOCK.work():
        pack_model(lab.loaded, "")
