"""What the MNIST tab lets a visitor take home: the runs on show as files, and the trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from playground.fair_lock import COMPUTE_LOCK
from playground.mnist import GenerateError, MnistLab
from playground.mnist.export import animation, arrays, filmstrip, zipped
from playground.mnist.generate import thinned
from playground.mnist.session import Made
from playground.mnist.trajectory import load_trajectory
from playground.settings import SETTINGS
from playground.ui.mnist.knobs import mnist_settings
from playground.ui.mnist.show import ASIDE, FIRST_TITLE, KEPT_STATES, SessionOf, attempt
from playground.ui.mnist.training import live_knobs, still
from playground.ui.shared.notices import Update, file_message, notice

WRITERS = {"png": filmstrip, "gif": animation, "npz": arrays}


class MnistHome:
    """Lays out what there is to take home. `session` finds the visitor's; files go to the channel `files`. A saved
    model, once opened, shows on `stage` and draws from then on; `draws_with` is set to say so.
    """

    def __init__(
        self, session: SessionOf, files: gr.HTML, stage: gr.HTML, draws_with: gr.Radio, knobs: list[Any]
    ) -> None:
        self.session, self.files, self.stage, self.draws_with = session, files, stage, draws_with
        with gr.Row():
            strip = gr.Button("Filmstrip (.png)", size="sm")
            gif = gr.Button("Animation (.gif)", size="sm")
            npz = gr.Button("Numbers (.npz)", size="sm")
            save = gr.Button("Save the model (.safetensors)", size="sm")
            restore = gr.UploadButton("Open a saved model", type="binary", size="sm")
        self.word = gr.HTML("", elem_classes="pg-notice")
        taken = [files, self.word]
        strip.click(self._taking("png"), outputs=taken, **ASIDE)
        gif.click(self._taking("gif"), outputs=taken, **ASIDE)
        npz.click(self._taking("npz"), outputs=taken, **ASIDE)
        save.click(self._save, outputs=taken, **ASIDE)
        restore.upload(self._restore, inputs=[restore, *knobs], outputs=[self.word, draws_with, stage], **ASIDE)

    def _taking(self, kind: str) -> Callable[[gr.Request], Update]:
        """What a button for files of this kind does."""
        write = WRITERS[kind]

        def taking(request: gr.Request) -> Update:
            def take() -> Update:
                made = list(self.session(request).made) or [Made(thinned(load_trajectory(), KEPT_STATES), FIRST_TITLE)]
                with COMPUTE_LOCK.work():
                    files = [write(each.path) for each in made]
                name, data = f"mnist-seed-{made[0].path.seed}.{kind}", files[0]
                if len(files) > 1:
                    name, data = f"{name}.zip", zipped({f"{k + 1}.{kind}": file for k, file in enumerate(files)})
                said = f"{name}: {', '.join(each.title for each in made)}; {len(data):,} bytes."
                return {self.files: file_message(name, data), self.word: notice(said)}

            return attempt(self.word, take)

        return taking

    def _save(self, request: gr.Request) -> Update:
        def save() -> Update:
            lab = self.session(request).lab
            name, packed = "mnist-lab.safetensors", lab.to_bytes()
            if len(packed) > SETTINGS.max_file_bytes:
                raise GenerateError(
                    f"With the images it learns from this run has {len(packed):,} bytes; a file may have "
                    f"{SETTINGS.max_file_bytes:,}. Train on fewer images, or on MNIST."
                )
            said = f"Saved: {lab.model.name}" + (f", and the run at step {lab.run.step:,}." if lab.run else ".")
            return {self.files: file_message(name, packed), self.word: notice(said)}

        return attempt(self.word, save)

    def _restore(self, data: bytes | None, request: gr.Request, *values: Any) -> Update:
        def use() -> Update:
            session = self.session(request)
            lab = MnistLab.from_bytes(data or b"")
            session.control.paused = True
            session.lab, session.opened = lab, live_knobs(mnist_settings(values))
            session.runs += 1
            shown: Update = {self.draws_with: "trained", self.word: notice(f"Opened: {lab.model.name}.")}
            if lab.run is not None:
                shown[self.stage] = still(
                    session, lab.run, f"Opened at step {lab.run.step:,}: Train goes on from there"
                )
            return shown

        return attempt(self.word, use)
