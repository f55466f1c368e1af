"""A schedule is one row: a made-up one, registered while the program runs, works wherever one is chosen."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch

from playground.diffusion.noise_schedule import NoiseSchedule, ScheduleError, from_betas
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedule_row import Schedule, ScheduleKnob
from playground.diffusion.schedules import SCHEDULES
from playground.mnist import MnistLab
from playground.mnist.jobs import compared
from playground.mnist.settings import MnistSettings
from playground.schedules.curves import curves
from playground.schedules.diffusers_export import notes, scheduler_config, snippet
from playground.schedules.quality import ChartConfig, ChartPoint, measure
from playground.schedules.steps import where
from playground.sessions import Sessions
from playground.toy import ToyConfig, ToyLab
from playground.toy.url import from_query, to_query
from playground.ui.mnist.knobs import all_knobs as mnist_knobs
from playground.ui.mnist.knobs import compare_choices, mnist_settings
from playground.ui.page import build
from playground.ui.schedules.stage import _scene, read_code, read_curves
from playground.ui.shared.schedule_knobs import NAME, RowKnob
from playground.ui.stable_diffusion.models import CATALOGUE, words_on_schedule
from playground.ui.toy.knobs import all_knobs as toy_knobs

NAMED, TITLE = "made_up", "made up"


def power(T: int, steepness: float = 2.0) -> NoiseSchedule:
    """β rises with a power of t."""
    if steepness <= 0:
        raise ScheduleError(f"The steepness must be positive; it is {steepness:g}.", knob="steepness")
    return from_betas(NAMED, 1e-4 + 0.03 * torch.linspace(0, 1, T, dtype=torch.float64) ** steepness)


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    made_up = Schedule(
        TITLE,
        "nobody 2026",
        power,
        "betas = 1e-4 + 0.03 * np.linspace(0, 1, T) ** {steepness!r}",
        (ScheduleKnob("steepness", "steepness", 2.0, 0.5, 8.0, 0.1, "How late the noise comes."),),
        lost="It is made up.",
    )
    monkeypatch.setitem(SCHEDULES, NAMED, made_up)
    return made_up


CONFIG = {"name": NAMED, "timesteps": 200, "steepness": 3.0}


def config() -> ScheduleConfig:
    return ScheduleConfig.from_dict(CONFIG)


def test_it_is_a_config() -> None:
    assert config().to_dict() == CONFIG
    assert config().title == f"{TITLE}, steepness = 3, T = 200"
    assert torch.equal(config().make().betas, power(200, 3.0).betas)
    assert ScheduleConfig(NAMED, rescale_betas_zero_snr=True).make().zero_terminal_snr


def test_it_is_refused_in_its_words() -> None:
    with pytest.raises(ScheduleError, match="must be positive") as refusal:
        ScheduleConfig(NAMED, steepness=-1.0).make()
    assert refusal.value.knob == "steepness"
    with pytest.raises(ScheduleError, match="no such knob"):
        ScheduleConfig(NAMED, slope=1.0)


def test_the_toy_lab_trains_and_samples_on_it_and_its_link_opens() -> None:
    toy = ToyConfig(n_points=60, schedule=config())
    lab = ToyLab(toy)
    assert len(list(lab.train(3))) == 3
    assert lab.sample(8, steps=4).x.isfinite().all()
    assert from_query(to_query(toy)) == toy
    assert "schedule.steepness=3.0" in to_query(toy)
    assert ToyLab.from_bytes(lab.to_bytes()).config == toy
    assert lab.update(**{"schedule.steepness": 4.0}) == "live"
    assert torch.equal(lab.schedule.betas, power(200, 4.0).betas)


def test_digits_are_drawn_and_compared_on_it() -> None:
    assert MnistLab().sample([7], steps=3, schedule=config()).x.isfinite().all()
    request, title = compared(MnistSettings().request(), "schedule", NAMED)
    assert request.schedule == ScheduleConfig(NAMED)
    assert title == f"{TITLE}, steepness = 2"
    assert (TITLE, NAMED) in compare_choices("schedule")


@pytest.mark.parametrize("knobs", [toy_knobs, mnist_knobs])
def test_its_knobs_are_in_the_tables(knobs: Any) -> None:
    menu = next(knob for knob in knobs() if knob.path == NAME)
    assert (TITLE, NAMED) in menu.choices
    (own,) = [knob for knob in knobs() if isinstance(knob, RowKnob) and knob.row == NAMED]
    assert own.changes(5) == {"schedule.steepness": 5.0}


def test_the_page_is_built_with_it_and_its_controls_say_it() -> None:
    page = build(Sessions())
    labels = [getattr(block, "label", None) for block in page.blocks.values()]
    assert labels.count("steepness") == 2, "once in the toy lab, once in MNIST"
    said = [knob.value(MnistSettings(schedule=config())) for knob in mnist_knobs()]
    assert mnist_settings((*said, "")).schedule == config()


def test_the_schedules_tab_shows_it() -> None:
    meta = unpacked(_scene())
    assert meta["schedules"][NAMED]["title"] == TITLE
    assert [knob["field"] for knob in meta["schedules"][NAMED]["knobs"]] == ["steepness"]
    assert unpacked(read_curves({"config": CONFIG})["curves"])["config"] == CONFIG
    assert set(curves(config().make()))
    visits = where(config(), SamplingConfig("ddim", 10))
    assert visits.calls == 10


def unpacked(text: str) -> dict[str, Any]:
    data = base64.b64decode(text)
    size = int.from_bytes(data[:4], "little")
    meta: dict[str, Any] = json.loads(data[4 : 4 + size])["meta"]
    return meta


def test_the_quality_chart_measures_it() -> None:
    chart = ChartConfig(schedules=(config(),), samplers=("ddim",), calls=(4,), n=50)
    points = [event for event in measure(chart) if isinstance(event, ChartPoint)]
    assert points[-1].distance is not None


def test_exported_code_runs_and_makes_its_table() -> None:
    answer = read_code({"config": CONFIG, "sampling": {"sampler": "ddim", "steps": 10, "spacing": "default"}})
    assert answer["snippet"] == snippet(config(), SamplingConfig("ddim", 10))
    namespace: dict[str, Any] = {}
    exec(answer["snippet"], namespace)
    np.testing.assert_allclose(namespace["betas"], config().make().betas, rtol=1e-9)
    assert scheduler_config(config(), SamplingConfig("ddim", 10))["trained_betas"]
    assert "It is made up." in notes(config(), SamplingConfig("ddim", 10))


def test_the_stable_diffusion_tab_says_why_it_keeps_its_own() -> None:
    words = words_on_schedule(config(), CATALOGUE["tiny"])
    assert config().title in words
    assert "keeps its own" in words
