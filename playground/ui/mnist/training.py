"""Training live in the MNIST tab: what the stage's Train, Pause, Reset and rewinding do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from playground.fair_lock import COMPUTE_LOCK
from playground.mnist.jobs import live_config
from playground.mnist.live import LiveRun, look, watch
from playground.mnist.session import MnistSession
from playground.mnist.settings import MnistSettings
from playground.refusal import Refusal
from playground.sessions import FullHouse, Gone, Sessions
from playground.settings import SETTINGS
from playground.ui.mnist.knobs import live_paths, mnist_settings
from playground.ui.mnist.stage import pack_frame
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.shared.wire import pack


class LiveTraining:
    """The events of a visitor's training runs. Words go to `word`, frames to `stage`."""

    def __init__(
        self, sessions: Sessions, stage: gr.HTML, word: gr.HTML, draws_with: gr.Radio, knobs: list[Any]
    ) -> None:
        self.sessions, self.stage, self.word, self.draws_with = sessions, stage, word, draws_with
        told: dict[str, Any] = {"outputs": [stage, word], "preprocess": False, **QUIET}
        stage.train(
            self._train,
            inputs=knobs,
            trigger_mode="multiple",  # Train, pressed right after Pause, must not get lost
            concurrency_limit=SETTINGS.max_training_visitors,
            **told,
        )
        stage.pause(self._pause, queue=False, **QUIET)
        stage.rewind(self._rewind, outputs=[stage], **QUIET)
        stage.reset(self._reset, inputs=knobs, **told)
        draws_with.input(self._draw_with, inputs=[draws_with], outputs=[draws_with, word], preprocess=False, **QUIET)

    def _session(self, request: gr.Request) -> MnistSession:
        return self.sessions.known(str(request.session_hash)).mnist

    def _train(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        where = self.word
        try:
            session, settings = self._session(request), mnist_settings(values)
            if session.control.paused and self.sessions.training >= SETTINGS.max_training_visitors:
                raise FullHouse(f"{SETTINGS.max_training_visitors} runs are on, the most there may be. Try again soon.")
            run = session.lab.run
            if run is None or session.opened != live_knobs(
                settings
            ):  # a run that was opened goes on until a knob is turned
                session.opened, config = None, live_config(session, settings)
                if run is None or run.config.differs(config):
                    yield {
                        where: notice("Starting from step 0."),
                        self.stage: _idle("Loading the digits …", running=True),
                    }
                    run = session.lab.begin(config)
                    session.runs += 1
                else:
                    run.adopt(config.training)
            if run.step and (rewind := _step(event)) is not None:
                run.rewind(rewind)
        except Refusal as refusal:
            yield {where: notice(str(refusal), wrong=True), self.stage: _idle(str(refusal))}
            return
        control = session.begin()
        number = session.runs
        try:
            for preview in watch(run, control):
                self.sessions.known(str(request.session_hash))
                yield {self.stage: pack_frame(preview, number), where: ""}
        except Gone:
            return
        finally:
            control.paused = True

    def _pause(self, request: gr.Request) -> None:
        with contextlib.suppress(Gone):
            self._session(request).control.paused = True

    def _rewind(self, request: gr.Request, event: gr.EventData) -> str:
        try:
            session = self._session(request)
        except Gone as refusal:
            return _idle(str(refusal))
        step, run = _step(event), session.lab.run
        if run is None or step is None or not session.control.paused:
            return _idle("Pause first." if run else "Nothing is trained yet: press Train first.")
        run.rewind(step)
        return still(session, run, f"Back at step {run.step:,}")

    def _reset(self, request: gr.Request, *values: Any) -> Update:
        where = self.word
        try:
            session = self._session(request)
            session.control.paused = True
            config = live_config(session, mnist_settings(values))
            session.opened = None
            run = session.lab.begin(config)
            session.runs += 1
        except Refusal as refusal:
            return {where: notice(str(refusal), wrong=True), self.stage: _idle(str(refusal))}
        return {self.stage: still(session, run, "At step 0: press Train"), where: ""}

    def _draw_with(self, which: Any, request: gr.Request) -> Update:
        def use(session: MnistSession) -> Update:
            if which == "trained":
                session.lab.use_trained()
                return {self.word: notice(f"Digits are drawn by {session.lab.model.name}.")}
            session.lab.use_shipped()
            return {self.word: notice("Digits are drawn by the model that ships.")}

        try:
            shown = use(self._session(request))
        except Refusal as refusal:
            shown = {self.word: notice(str(refusal), wrong=True)}
        with contextlib.suppress(Gone):
            shown[self.draws_with] = "shipped" if self._session(request).lab.draws_shipped else "trained"
        return shown


def still(session: MnistSession, run: LiveRun, note: str) -> str:
    """A frame of a run that is paused."""
    facts: dict[str, Any] = {"losses": [], "steps_per_second": 0.0, "seconds": 0.0, "running": False}
    return pack_frame(look(run, COMPUTE_LOCK, **facts, note=note), session.runs, calm=True)


def live_knobs(settings: MnistSettings) -> dict[str, Any]:
    """What the knobs of live training say."""
    return {name: getattr(settings, name) for name in live_paths()}


def _idle(note: str, running: bool = False) -> str:
    """Tells the stage that nothing trains, or not yet."""
    return pack({"running": running, "note": note, "calm": running, "at": time.time_ns()})


def _step(event: gr.EventData) -> int | None:
    """The training step that the event names, if it names one."""
    step = event._data.get("rewind")
    return step if isinstance(step, int) and not isinstance(step, bool) else None
