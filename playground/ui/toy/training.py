"""Training in the toy lab's tab: what Train, Pause, speed, single step, rewind and look do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gradio as gr

from playground.fair_lock import COMPUTE_LOCK
from playground.refusal import Refusal
from playground.sessions import FullHouse, Gone, Sessions, Visitor
from playground.settings import SETTINGS
from playground.toy.live import Frame, live, look
from playground.ui.shared.notices import QUIET
from playground.ui.shared.wire import pack
from playground.ui.toy.stage import pack_frame

ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "toy-aside"}


class ToyTraining:
    """The events of a visitor's runs. Frames of a run go to `stage`, frames of a lab that is not training to `news`."""

    def __init__(self, sessions: Sessions, stage: gr.HTML, news: gr.HTML) -> None:
        self.sessions = sessions
        stage.train(
            self._train,
            outputs=[stage],
            trigger_mode="multiple",  # Train pressed right after Pause must not be lost
            concurrency_limit=None,  # _train says when there are too many; a queue would say nothing
            **QUIET,
        )
        stage.pause(self._pause, queue=False, **QUIET)
        stage.speed(self._speed, queue=False, **QUIET)
        stage.one_step(self._one_step, outputs=[news], trigger_mode="multiple", **ASIDE)
        stage.rewind(self._rewind, outputs=[news], **ASIDE)
        stage.look(self._look, outputs=[news], **ASIDE)

    def _visitor(self, request: gr.Request) -> Visitor:
        return self.sessions.known(str(request.session_hash))

    def _train(self, event: gr.EventData, request: gr.Request) -> Iterator[str]:
        try:
            visitor = self._visitor(request)
            if not visitor.training and self.sessions.training >= SETTINGS.max_training_visitors:
                raise FullHouse(f"{SETTINGS.max_training_visitors} runs are on, the most there may be. Try again soon.")
        except Refusal as refusal:
            yield idle(str(refusal))
            return
        control = visitor.begin()
        try:
            forked = _rewind_to(visitor, event)
            for frame in live(visitor.lab, control, visitor.meter):
                visitor.touch()
                yield pack_frame(frame, forked=forked)
                forked = False
        finally:
            control.paused = True

    def _pause(self, request: gr.Request) -> None:
        with contextlib.suppress(Gone):  # then its runs are gone too
            self._visitor(request).control.paused = True

    def _speed(self, event: gr.EventData, request: gr.Request) -> None:
        if request.session_hash not in self.sessions:
            return
        wanted, control = event._data.get("steps_per_second"), self._visitor(request).control
        control.steps_per_second = float(wanted) if wanted in (1, 5, 20, 100) else None
        control.gentle = wanted == "auto"

    def _one_step(self, event: gr.EventData, request: gr.Request) -> str:
        try:
            visitor = self._visitor(request)
        except Gone as refusal:
            return idle(str(refusal))
        if visitor.training:
            return pack({"running": True})
        forked = _rewind_to(visitor, event)
        control = visitor.begin()
        control.paused = True  # live() takes one step before it looks
        *_, frame = live(visitor.lab, control, visitor.meter)
        return pack_frame(frame, forked=forked)

    def _rewind(self, event: gr.EventData, request: gr.Request) -> str:
        try:
            visitor = self._visitor(request)
        except Gone as refusal:
            return idle(str(refusal))
        if visitor.training:
            return pack({"running": True})
        _rewind_to(visitor, event)
        return pack_frame(still(visitor), rewound=True, status=f"Back at step {visitor.lab.step:,}")

    def _look(self, event: gr.EventData, request: gr.Request) -> str:
        try:
            visitor = self._visitor(request)
        except Gone as refusal:
            return idle(str(refusal))
        frame = still(visitor, exact=bool(event._data.get("exact")))
        return pack_frame(frame, running=visitor.training)


def still(visitor: Visitor, exact: bool = False) -> Frame:
    """A frame of the lab as it is now."""
    with COMPUTE_LOCK.work() as turn:
        return look(visitor.lab, visitor.meter, turn, exact)


def idle(why: str) -> str:
    """Tell the stage why nothing is training."""
    return pack({"running": False, "note": why})


def _rewind_to(visitor: Visitor, event: gr.EventData) -> bool:
    """Go back to the step that the event names. Returns whether it names one."""
    step = event._data.get("rewind")
    named = isinstance(step, int) and not isinstance(step, bool)
    if named:
        visitor.lab.rewind(step)
    return named
