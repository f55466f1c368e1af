"""How a quality chart runs: in turns, from a cache, stopped, refused; with networks."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import pytest
import torch

from playground.diffusion.metrics import excess
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.judge import draw_samples, judge
from playground.mnist.weights import load_model
from playground.schedules import chart_models, reference
from playground.schedules.cache import Cache
from playground.schedules.chart_models import LearnProgress
from playground.schedules.quality import (
    POINTS,
    CallProgress,
    ChartConfig,
    ChartError,
    ChartPoint,
    floor,
    measure,
)
from tests.schedules.charts import KARRAS, SMALL, points


def without_clock(found: list[ChartPoint]) -> list[ChartPoint]:
    return [replace(point, seconds=0.0, cached=False) for point in found]


pytest_plugins = ["tests.schedules.charts"]

# ---- how it runs


def test_curves_fill_one_after_the_other_and_count() -> None:
    config = replace(SMALL, schedules=(KARRAS, ScheduleConfig("cosine")), samplers=("heun", "pndm"))
    found = points(config)
    assert [(p.schedule, p.sampler, p.budget) for p in found] == [
        (schedule, sampler, budget) for schedule in (0, 1) for sampler in ("heun", "pndm") for budget in (4, 8)
    ]
    assert [p.calls for p in found] == [3, 7, 4, 8] * 2  # Heun's are odd
    assert [p.done for p in found] == list(range(1, 9))
    assert {p.total for p in found} == {8}
    assert all(p.seconds > 0 for p in found)


def test_the_same_seed_gives_the_same_chart_and_another_another() -> None:
    config = replace(SMALL, samplers=("ddpm", "unipc"))
    first = points(config)
    POINTS.clear()
    reference.ENDS.clear()
    assert without_clock(points(config)) == without_clock(first)
    other = points(replace(config, seed=1))
    assert [p.distance for p in other] != [p.distance for p in first]


def test_what_is_known_is_not_measured_again() -> None:
    first = points(SMALL)
    assert not any(point.cached for point in first)
    again = list(measure(replace(SMALL, n=64)))
    assert all(isinstance(event, ChartPoint) and event.cached for event in again)
    assert without_clock([e for e in again if isinstance(e, ChartPoint)]) == without_clock(first)
    more = points(replace(SMALL, schedules=(ScheduleConfig("cosine"), KARRAS), calls=(8, 4)))
    assert [point.cached for point in more] == [False] * 4 + [True] * 4
    assert {(p.sampler, p.calls): p.error for p in more[4:]} == {(p.sampler, p.calls): p.error for p in first}


def test_progress_is_told_call_by_call_and_closing_stops() -> None:
    run = measure(replace(SMALL, samplers=("ddim",), calls=(8,)))
    calls = [event for event in run if isinstance(event, CallProgress)]
    assert [event.call for event in calls] == [*range(1, 9), 8]  # and once on arrival
    stopped = measure(replace(SMALL, seed=5))
    next(stopped)
    stopped.close()
    assert len(POINTS) == 1


def test_two_visitors_at_once_get_the_same_figures() -> None:
    found: list[list[ChartPoint]] = []
    visitors = [threading.Thread(target=lambda: found.append(points(SMALL))) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert without_clock(found[0]) == without_clock(found[1])
    assert len(found[0]) == 4


def test_what_cannot_be_run_comes_with_the_reason() -> None:
    zero = ScheduleConfig("linear", rescale_betas_zero_snr=True)
    config = ChartConfig(
        schedules=(zero, ScheduleConfig("karras", 6), ScheduleConfig("linear", beta_start=2.0)),
        samplers=("pndm", "ddim"),
        calls=(2, 8),
        n=32,
    )
    found = points(config)
    notes = [point.note for point in found]
    assert [point.distance is None for point in found] == [True, True, False, False, True, True, False, True] + [
        True
    ] * 4
    assert "no signal is left" in notes[1]
    assert "needs 3 calls" in notes[4]
    assert "do not fit" in notes[7]
    assert all("beta_start" in note or "β" in note for note in notes[8:])
    assert all(bool(point.note) == (point.distance is None) for point in found)


def test_what_diverges_is_no_number() -> None:
    (point,) = points(replace(SMALL, schedules=(ScheduleConfig("cosine"),), samplers=("pndm",), calls=(4,)))
    assert point.note.startswith("Diverged")
    assert point.distance is point.error is None
    assert point.calls == 4


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"denoiser": "best"}, "denoiser"),
        ({"cloud": "cumulus"}, "cloud"),
        ({"schedules": ()}, "schedules"),
        ({"samplers": ()}, "samplers"),
        ({"samplers": ("langevin",)}, "samplers"),
        ({"calls": ()}, "network calls"),
        ({"calls": (0,)}, "network calls"),
        ({"calls": (4.5,)}, "network calls"),
        ({"calls": (True,)}, "network calls"),
        ({"calls": (1_001,)}, "network calls"),
        ({"n": 1}, "number of samples"),
        ({"n": 5_001}, "number of samples"),
        ({"denoiser": "mnist", "n": 201}, "number of samples"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"spacing": "karras"}, "spacing"),
        ({"blur": 0.0}, "blur"),
        ({"blur": math.nan}, "blur"),
        ({"training_steps": 0}, "Train"),
        ({"guidance_scale": 21.0}, "guidance"),
    ],
)
def test_charts_that_cannot_be_drawn_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ChartError, match=words):
        ChartConfig(**knobs)


def test_a_cache_keeps_the_latest_asked_for() -> None:
    cache: Cache[str, int] = Cache(2)
    assert cache.put("a", 1) == 1
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)


# ---- networks


def test_a_toy_network_is_trained_once_for_each_schedule() -> None:
    config = ChartConfig("toy", schedules=(KARRAS, ScheduleConfig("cosine")), calls=(4, 8), n=200, training_steps=30)
    config = replace(config, samplers=("ddim", "heun"))
    events = list(measure(config))
    learning = [event for event in events if isinstance(event, LearnProgress)]
    assert [(event.schedule, event.step) for event in learning] == [(s, k) for s in (0, 1) for k in range(1, 31)]
    first = [event for event in events if isinstance(event, ChartPoint)]
    assert all(point.error is None and point.distance is not None for point in first)
    assert first[0].distance != first[4].distance
    POINTS.clear()
    chart_models.NETWORKS.clear()
    assert without_clock(points(config)) == without_clock(first)


def test_a_trained_network_beats_an_untrained_one_and_not_the_floor() -> None:
    config = ChartConfig("toy", schedules=(KARRAS,), samplers=("dpm++",), calls=(16,), n=500, training_steps=150)
    (trained,), (raw,) = points(config), points(replace(config, training_steps=1))
    assert trained.distance is not None
    assert raw.distance is not None
    lowest = floor(config)
    assert trained.distance > 0.6 * lowest
    assert excess(trained.distance, lowest) < excess(raw.distance, lowest) / 2


def test_a_network_that_cannot_be_used_is_not_trained() -> None:
    zero = ScheduleConfig("cosine", rescale_betas_zero_snr=True)
    events = list(measure(ChartConfig("toy", schedules=(zero,), samplers=("heun",), calls=(8,))))
    assert len(events) == 1
    assert isinstance(events[0], ChartPoint)
    assert events[0].note


def test_digits_are_judged_at_their_own_number() -> None:
    config = ChartConfig("mnist", schedules=(ScheduleConfig("cosine"),), samplers=("dpm++",), calls=(6,), n=10)
    (point,) = points(config)
    assert point.calls == 6
    assert point.right is not None
    assert point.right >= 0.7
    assert point.distance is not None
    model, labels = load_model(), torch.arange(10)
    sampling = SamplingConfig("dpm++", 6, "trailing")
    judged = judge(draw_samples(model, labels, ScheduleConfig("cosine").make(), sampling), labels)
    assert point.distance == pytest.approx(judged.frechet, rel=1e-6)
    assert point.right == judged.right
    # so few: real digits are far from the test set too, and far worse than the 0.2 of thousands
    assert 2 < floor(config) < 20
    assert point.distance < 2 * floor(config)
    assert replace(config, guidance_scale=2.0).asked == 2
