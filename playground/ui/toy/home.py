"""What a visitor can take home from a toy experiment, and how good its samples are."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from playground.diffusion.sampling import SAMPLERS
from playground.fair_lock import COMPUTE_LOCK, in_turns
from playground.refusal import Refusal
from playground.sessions import Gone, Sessions, Visitor
from playground.toy import LabError, ToyConfig, ToyLab
from playground.ui.shared.notices import QUIET, Update, file_message, notice
from playground.ui.toy.explain import recipe_code
from playground.ui.toy.training import ASIDE

QUALITY_SAMPLES = 2_000
TAKE_HOME_SAMPLES = 5_000
# A queue of its own, so that knobs never wait for it.
LONG: dict[str, Any] = {**QUIET, "concurrency_limit": 4, "concurrency_id": "toy-long"}

COPY_LINK = """() => navigator.clipboard
    ? navigator.clipboard.writeText(location.href) : prompt("This address holds the experiment:", location.href)"""


class ToyHome:
    """The controls for saving and restoring; files go to the channel `files`. The tab wires `restore`, as a restored
    experiment changes everything there.
    """

    def __init__(self, sessions: Sessions, files: gr.HTML) -> None:
        self.sessions, self.files = sessions, files
        with gr.Row():
            save = gr.Button("Save the experiment (.safetensors)", size="sm")
            table = gr.Button("Save samples (.csv)", size="sm")
            self.restore = gr.UploadButton("Open a saved experiment", type="binary", size="sm")
            copy = gr.Button("Copy the link", size="sm")
        self.word = gr.HTML("", elem_classes="pg-notice")
        self.recipe = gr.Code(
            recipe_code(ToyConfig()), language="python", label="this experiment as a script", interactive=False
        )
        save.click(self._save, outputs=[files, self.word], **ASIDE)
        table.click(self._table, outputs=[files, self.word], **LONG)
        copy.click(fn=None, js=COPY_LINK)

    def _lab(self, request: gr.Request) -> ToyLab:
        return self.sessions.known(str(request.session_hash)).lab

    def _save(self, request: gr.Request) -> Update:
        try:
            lab = self._lab(request)
        except Gone as refusal:
            return {self.word: notice(str(refusal), wrong=True)}
        return {
            self.files: file_message(f"toy-lab-step-{lab.step}.safetensors", lab.to_bytes()),
            self.word: notice(f"Saved: step {lab.step:,}, with all knobs, weights and random numbers."),
        }

    def _table(self, request: gr.Request) -> Iterator[Update]:
        try:
            lab = self._lab(request)
            if not lab.step:
                raise LabError("Train first: there are no samples yet.")
            for step in in_turns(lab.sampling(TAKE_HOME_SAMPLES)):
                if step.index % 20 == 0:
                    yield {self.word: notice(f"Sampling: step {step.index} of {lab.config.sampling.steps} …")}
        except Refusal as refusal:
            yield {self.word: notice(str(refusal), wrong=True)}
            return
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["x", "y"])
        writer.writerows([f"{a:.6g}", f"{b:.6g}"] for a, b in step.x.tolist())
        yield {
            self.files: file_message(f"toy-lab-samples-step-{lab.step}.csv", text.getvalue().encode()),
            self.word: notice(f"{TAKE_HOME_SAMPLES:,} samples at step {lab.step:,}, seed 0."),
        }


class QualityPart:
    """Measures how good the samples are; `visitor_of` finds the visitor."""

    def __init__(self, visitor_of: Callable[[gr.Request], Visitor]) -> None:
        self.visitor_of = visitor_of
        with gr.Row():
            self.measure = gr.Button("Measure quality", size="sm")
            self.stop = gr.Button("Stop measuring", size="sm")

    def wire(self, word: gr.HTML) -> None:
        """What was measured is said in `word`."""
        measuring = self.measure.click(self._measure, outputs=[word], **LONG)
        stopped = self.stop.click(lambda: None, cancels=[measuring], queue=False, **QUIET)
        # In the queue, behind what the run had said already: the last word is this one.
        stopped.then(lambda: notice("Stopped."), outputs=[word], **ASIDE)

    def _measure(self, request: gr.Request) -> Iterator[str]:
        try:
            for words in quality_in_words(self.visitor_of(request).lab):
                yield notice(words)
        except Refusal as refusal:
            yield notice(str(refusal), wrong=True)


def quality_in_words(lab: ToyLab) -> Iterator[str]:
    """Yields the progress, then how far the samples are from fresh data. Raises LabError before the first step."""
    if not lab.step:
        raise LabError("Train first: there is nothing to measure yet.")
    now = lab.now()
    for step in in_turns(now.sampling(QUALITY_SAMPLES)):
        if step.index % 20 == 0:
            yield f"Sampling: step {step.index} of about {now.config.sampling.steps} …"
    with COMPUTE_LOCK.work():
        quality = now.judge(step.x)
    off = "" if quality.off is None else f" · off the support {quality.off:.1%} (floor {quality.off_floor:.1%})"
    yield (
        f"Sliced Wasserstein-2 {quality.distance:.4f} (floor {quality.distance_floor:.4f}) · energy distance "
        f"{quality.energy:.5f} (floor {quality.energy_floor:.5f}){off} · N = {quality.n:,}, "
        f"{SAMPLERS[now.config.sampling.sampler].title}, {step.calls} network calls, seed 0, step {now.step:,}"
    )
