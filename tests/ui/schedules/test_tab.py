"""What the Schedules tab answers: what was asked for, or in words why not, whatever a browser sends."""

import base64
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.schedules.curves import CURVES, curves
from playground.schedules.quality import ChartError
from playground.stable_diffusion.device_queue import Waiting
from playground.ui.schedules import stage as live
from playground.ui.schedules.explain import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.schedules.tab import MOST_CHARTS, MOST_LEARNERS, SchedulesTab, Taker, _now_and_then, chart_of
from tests.diffusion.every_schedule import schedule_of

QUESTIONS = (live.read_curves, live.read_steps, live.read_stroke, live.read_code, live.read_files)
PNDM = {"sampler": "pndm", "steps": 10, "spacing": "leading"}
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def unpacked(text: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What wire.js reads: the header's `meta`, and the arrays."""
    data = base64.b64decode(text)
    length = int.from_bytes(data[:4], "little")
    header, body = json.loads(data[4 : 4 + length]), data[4 + length :]
    arrays = {}
    for array in header["arrays"]:
        kind = {"f32": torch.float32, "i16": torch.int16}[array["kind"]]
        count = torch.Size(array["shape"]).numel()
        values = torch.frombuffer(bytearray(body), dtype=kind, count=count, offset=array["at"])
        arrays[array["name"]] = values.double().reshape(array["shape"]) * array["scale"]
    return header["meta"], arrays


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_curve_crosses_as_float32(name: str) -> None:
    config = schedule_of(name, 100)
    meta, arrays = unpacked(live.read_curves({"config": config.to_dict()})["curves"])
    assert (meta["T"], meta["title"]) == (100, config.title)
    assert arrays.keys() == {*CURVES, "alphas", "sigmas"}
    for curve, wanted in curves(config.make()).items():
        torch.testing.assert_close(arrays[curve], wanted, rtol=1e-6, atol=0)


def test_infinities_become_numbers_that_json_and_float32_know() -> None:
    config = ScheduleConfig("linear", rescale_betas_zero_snr=True)
    _, arrays = unpacked(live.read_curves({"config": config.to_dict()})["curves"])
    assert arrays["log_snr"][-1] < -1e29
    assert all(torch.isfinite(values).all() for values in arrays.values())


def test_the_scene_has_the_pictures_and_the_first_four_schedules() -> None:
    answer = live.read_scene({})
    meta, arrays = unpacked(answer["scene"])
    assert [config["name"] for config in meta["start"]] == ["linear", "scaled_linear", "cosine", "karras"]
    assert len(answer["curves"]) == 4
    for name, wanted in live.pictures().items():
        torch.testing.assert_close(arrays[name], wanted.double(), rtol=0, atol=2e-4)
    points = arrays["clouds"]
    torch.testing.assert_close(points.mean(1), torch.zeros(len(points), 2).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(points.square().mean((1, 2)), torch.ones(len(points)).double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("changes", "knob"),
    [
        ({"beta_end": 1.0}, "beta_end"),
        ({"beta_start": 0.0}, "beta_start"),
        ({"timesteps": 1}, "timesteps"),
        ({"timesteps": 2.5}, "timesteps"),
        ({"name": "cosine", "s": -0.01}, "s"),
        ({"name": "karras", "sigma_min": 30.0}, "sigma_min"),
        ({"name": "nonsense"}, "name"),
        ({"name": "drawn"}, "knots"),
    ],
)
def test_a_refusal_names_its_knob(changes: dict[str, Any], knob: str) -> None:
    answer = live.read_curves({"config": {"name": "linear"} | changes})
    assert answer["knob"] == knob
    assert len(answer["wrong"]) > 20


def test_steps_of_several_schedules_with_one_that_cannot_be_driven() -> None:
    configs = [{"name": "linear"}, {"name": "linear", "rescale_betas_zero_snr": True}]
    good, bad = live.read_steps({"configs": configs, "sampling": PNDM})["visits"]
    assert good["calls"] == 11
    assert sum(good["repeated"]) == 1
    assert max(good["history"]) == 4
    assert "zero terminal SNR" in bad["wrong"]


def test_a_stroke_comes_back_as_a_schedule_with_words() -> None:
    points = [[0.0, 1.0], [0.3, 0.4], [0.5, 0.6], [1.0, 0.0]]
    answer = live.read_stroke({"points": points, "config": {"name": "drawn", "timesteps": 200}})
    assert "can only fall" in answer["words"]
    assert ScheduleConfig.from_dict(answer["config"]).make().alphas_cumprod.shape == (200,)
    assert live.read_stroke({"points": [], "config": {"name": "drawn"}})["knob"] == "knots"
    assert live.read_stroke({"points": points * 1000, "config": {"name": "drawn"}})["knob"] == "knots"


def test_code_and_files() -> None:
    config = {"name": "cosine", "timesteps": 50}
    answer = live.read_code({"config": config, "sampling": PNDM})
    assert "PNDMScheduler" in answer["snippet"]
    assert answer["json"]["_class_name"] == "PNDMScheduler"
    assert len(live.read_files({"configs": [config], "kind": "csv"})["text"].splitlines()) == 51
    assert json.loads(live.read_files({"configs": [config], "kind": "json"})["text"])["schedules"][0]["T"] == 50


@pytest.mark.parametrize("question", QUESTIONS)
@given(junk)
@settings(max_examples=40, deadline=None)
def test_whatever_is_asked_gets_an_answer(question: Any, sent: Any) -> None:
    """A refusal in words, since junk is no schedule."""
    for asked in (sent, {"config": sent}, {"configs": [sent], "sampling": sent}, {"points": sent, "config": {}}):
        answer = question(asked)
        assert isinstance(answer, dict)
        json.dumps(answer)


@given(junk, junk)
@settings(max_examples=60, deadline=None)
def test_a_chart_of_junk_is_refused(value: Any, other: Any) -> None:
    data = {"denoiser": "exact", "cloud": "spiral", "samplers": ["ddim"], "seed": 0, "schedules": [{"name": "linear"}]}
    assert chart_of(data).samplers == ("ddim",)
    for name in data:
        try:
            chart_of(data | {name: value, "more": other})
        except (ChartError, ScheduleError, SamplerError):
            continue
        chart_of(data | {name: value})  # it was no junk after all


def tab_with(**takers: Taker) -> SchedulesTab:
    with gr.Blocks(), gr.Tabs() as tabs, gr.Tab("Schedules"):
        return SchedulesTab(tabs, takers)


def learnt(tab: SchedulesTab, card: int) -> Iterator[dict[str, Any]]:
    sent = {"card": card, "cloud": "two_moons", "config": {"name": "learned"}}
    return (unpacked(text)[0] for text in tab._learn(SimpleNamespace(_data=sent)))  # type: ignore[arg-type]


def test_who_has_to_wait_to_learn_is_told_how_many_are_before() -> None:
    tab, begun, let_go = tab_with(), threading.Event(), threading.Event()

    def long_step() -> Iterator[None]:
        begun.set()
        assert let_go.wait(30)
        yield

    other = threading.Thread(target=lambda: list(tab.learners.run(long_step())))
    other.start()
    try:
        assert begun.wait(30)
        messages = learnt(tab, card=3)
        waiting = next(messages)
        assert (waiting["card"], waiting["waiting"]) == (3, "Next in line: one run is before yours.")
    finally:
        let_go.set()
        other.join()
    first, *_, last = (message for message in messages if "waiting" not in message)
    assert first["step"] == 0
    assert (last["card"], last["done"]) == (3, True)
    assert len(tab.learners) == 0


def test_one_learner_too_many_is_told_so_at_once() -> None:
    tab = tab_with()
    running = [tab.learners.run(iter([None, None])) for _ in range(MOST_LEARNERS)]
    for run in running:
        next(run)
    (refused,) = learnt(tab, card=3)
    assert "8 schedules are being learned" in refused["wrong"]
    running[0].close()  # type: ignore[attr-defined]
    assert "wrong" not in next(learnt(tab, card=3))


def test_a_step_is_told_although_others_are_waited_for() -> None:
    assert [*_now_and_then(iter(["first", "last", Waiting(1)]))] == ["first", "last"]


def test_one_chart_too_many_is_told_so_at_once() -> None:
    data = {"denoiser": "exact", "cloud": "spiral", "samplers": ["ddim"], "seed": 0, "schedules": [{"name": "linear"}]}
    tab, event = tab_with(), SimpleNamespace(_data=data | {"asked": 5})
    running = [tab._measure(event) for _ in range(MOST_CHARTS)]  # type: ignore[arg-type]
    for chart in running:
        next(chart)
    (refused,) = tab._measure(event)  # type: ignore[arg-type]
    told, _ = unpacked(refused)
    assert "4 charts are being measured" in told["word"]
    assert (told["asked"], told["wrong"], told["done"]) == (5, True, True)
    running[0].close()  # type: ignore[attr-defined]
    assert "wrong" not in unpacked(next(tab._measure(event)))[0]  # type: ignore[arg-type]


def test_a_schedule_is_carried_with_its_sampler() -> None:
    carried: list[Any] = []

    def take(*given: Any) -> dict[Any, Any]:
        carried.append(given)
        return {}

    tab = tab_with(toy=Taker("the toy lab", take, []))
    sent = {"where": "toy", "config": {"name": "cosine"}, "sampling": PNDM}
    tab._carry("request", SimpleNamespace(_data=sent))  # type: ignore[arg-type]
    assert carried == [(ScheduleConfig("cosine"), SamplingConfig(**PNDM), "request")]  # type: ignore[arg-type]
    (told,) = tab._carry("request", SimpleNamespace(_data=sent | {"sampling": {"steps": 1}})).values()  # type: ignore[arg-type]
    assert "at least 2 steps" in unpacked(told)[0]["wrong"]
    assert len(carried) == 1


def test_the_first_and_the_last_are_always_told() -> None:
    assert list(_now_and_then(iter(range(1000)))) == [0, 999]
    assert list(_now_and_then(iter([7]))) == [7]
    assert list(_now_and_then(iter([]))) == []


def test_words_and_code_are_there() -> None:
    assert all(len(text) > 200 for text in HOW_IT_WORKS.values())
    assert all("def " in text for text in RUNNING_CODE.values())
