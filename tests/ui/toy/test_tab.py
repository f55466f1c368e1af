"""The toy lab's tab without a browser: what a knob answers when the next one is turned before the answer comes."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch

from playground.fair_lock import COMPUTE_LOCK
from playground.sessions import Sessions
from playground.ui.shared.knobs import Knob
from playground.ui.toy.knobs import groups
from playground.ui.toy.stage import _shortened
from playground.ui.toy.tab import ToyTab

REQUEST: Any = SimpleNamespace(session_hash="a page")
STEPS, SCALE = (
    next(k for k in groups()["Sampling"] if k.path == path) for path in ("sampling.steps", "guidance_scale")
)


@pytest.fixture
def tab() -> Iterator[ToyTab]:
    """A tab with one visitor, whose lab has taken one step."""
    with gr.Blocks():
        tab = ToyTab(Sessions())
        list(tab.sessions.visitor(REQUEST.session_hash).lab.train(1))
        yield tab


def turned(tab: ToyTab, knob: Knob, value: Any, dragged: bool = False) -> dict[Any, Any]:
    answer: dict[Any, Any] = tab._turning(knob, "Sampling", dragged)(value, REQUEST)
    return answer


def test_a_knob_that_is_let_go_of_keeps_what_it_says(tab: ToyTab) -> None:
    answer = turned(tab, STEPS, 30)
    assert tab.sessions.known(REQUEST.session_hash).lab.config.sampling.steps == 30
    # Sent back, 30 would wipe out what the visitor may have typed since.
    assert not {tab.controls[STEPS.path], tab.controls[SCALE.path]} & set(answer)


def test_a_refused_knob_gives_way_when_let_go_of(tab: ToyTab) -> None:
    before = tab.sessions.known(REQUEST.session_hash).lab.config.sampling.steps
    assert tab.controls[STEPS.path] not in turned(tab, STEPS, 0, dragged=True)
    assert turned(tab, STEPS, 0)[tab.controls[STEPS.path]] == before


def test_another_cloud_brings_the_names_of_its_classes(tab: ToyTab) -> None:
    cloud = next(knob for knob in groups()["Data"] if knob.path == "dataset")
    answer = tab._turning(cloud, "Data", dragged=False)("pinwheel", REQUEST)
    names = [name for name, _ in answer[tab.controls["label"]].choices]
    assert names == ["all", *tab.sessions.known(REQUEST.session_hash).lab.cloud.classes]
    assert len(names) == 6


def test_long_arrows_are_shortened_and_keep_their_direction() -> None:
    field = torch.tensor([[3.0, -4.0], [300.0, -400.0], [0.0, 0.0]])
    torch.testing.assert_close(_shortened(field), torch.tensor([[3.0, -4.0], [4.8, -6.4], [0.0, 0.0]]))


def test_of_two_answers_the_later_one_has_both_changes(tab: ToyTab) -> None:
    lab, answers = tab.sessions.known(REQUEST.session_hash).lab, []

    def turn(knob: Knob, value: Any) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(turned(tab, knob, value)[tab.home.recipe]))
        thread.start()
        return thread

    with COMPUTE_LOCK.work():  # so that the first answer, which draws samples anew, has to wait
        first = turn(STEPS, 30)
        while first.is_alive() and not COMPUTE_LOCK.wanted:
            time.sleep(0.001)
        second = turn(SCALE, 3.0)
        time.sleep(0.05)
        assert (lab.config.sampling.steps, lab.config.guidance_scale) == (30, 1.0), "changed amid the other's answer"
    first.join()
    second.join()
    assert ["guidance_scale" in recipe for recipe in answers] == [False, True]
    assert all('"sampling.steps": 30' in recipe for recipe in answers)
