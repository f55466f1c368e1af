"""Comparisons in the MNIST tab: runs from the same noise, two to four of them side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch

from playground.diffusion.sampling import SampleStep, collect
from playground.mnist import GenerateError
from playground.mnist.generate import generate
from playground.mnist.jobs import Job, collected, compared
from playground.refusal import Refusal
from playground.ui.mnist.knobs import COMPARE_DEFAULTS, COMPARISONS, MOST_COMPARED, compare_choices, mnist_settings
from playground.ui.mnist.show import ASIDE, SessionOf, packed_run
from playground.ui.mnist.stage import pack_news
from playground.ui.shared.notices import Update, notice


class Comparison:
    """Lays out the choice of what to vary (`by`) and of its `values`; `button` starts the comparison. `session`
    finds the visitor's, runs go to `path`.
    """

    def __init__(self, session: SessionOf, path: gr.HTML, news: gr.HTML) -> None:
        self.session, self.path, self.news = session, path, news
        self.by = gr.Dropdown(
            [(title, by) for by, title in COMPARISONS.items()],
            value="sampler",
            label="compare",
            info="From the same noise, all else as the knobs say.",
            filterable=False,
        )
        self.values = gr.Dropdown(
            compare_choices("sampler"),
            value=COMPARE_DEFAULTS["sampler"],
            multiselect=True,
            max_choices=MOST_COMPARED,
            label="two to four of them",
        )
        self.button = gr.Button("Compare", size="sm")
        self.word = gr.HTML("", elem_classes="pg-notice")
        self.by.input(self._choices, inputs=[self.by], outputs=[self.values], preprocess=False, **ASIDE)

    def _choices(self, by: Any) -> Any:
        if not isinstance(by, str) or by not in COMPARISONS:
            return gr.skip()
        return gr.Dropdown(choices=compare_choices(by), value=COMPARE_DEFAULTS[by])

    def compare(self, request: gr.Request, by: Any, chosen: Any, *values: Any) -> Iterator[Update]:
        """Draw as the knobs' `values` say, once with each of `chosen`."""
        try:
            session, settings = self.session(request), mnist_settings(values)
            allowed = {value for _, value in compare_choices(by)} if by in tuple(COMPARISONS) else set()
            given = chosen if isinstance(chosen, list) else []
            picked = [value for value in given if isinstance(value, str) and value in allowed]
            if not 2 <= len(picked) <= MOST_COMPARED:
                raise GenerateError(f"Choose two to {MOST_COMPARED} to compare.")
            session.comparisons += 1
            requests = [compared(settings.request(len(session.lab.model.classes)), str(by), value) for value in picked]
            asked = session.ask()
            for slot, (each, title) in enumerate(requests):
                each.schedule.make()
                labels = None if each.labels is None else torch.tensor(each.labels)
                job = Job(generate(session.lab.model, each), each.sampling.steps, title, labels)
                steps: list[SampleStep] = []
                begun = time.perf_counter()
                for steps in collected(job):
                    if session.asked != asked:
                        return
                    word = f"{title}: {slot + 1} of {len(requests)} …"
                    yield {self.news: pack_news(word, progress=(len(steps), job.total), sampling=True)}
                seconds = time.perf_counter() - begun
                path, last = collect(steps, labels, settings.seed), slot == len(requests) - 1
                yield {
                    self.path: packed_run(session, path, title, seconds, slot=slot, slots=len(requests)),
                    self.news: pack_news("Compared." if last else "", sampling=not last),
                    self.word: "",
                }
        except Refusal as refusal:
            why = str(refusal)
            yield {
                self.news: pack_news(why, wrong=True, sampling=False),
                self.word: notice(why, wrong=True),
            }
