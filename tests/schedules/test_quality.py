"""The quality chart: the reference against closed forms, the orders that theory promises, and how it runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import excess, sliced_wasserstein
from playground.diffusion.sampling import SamplingConfig, start_noise
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.fair_lock import COMPUTE_LOCK
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
    slope,
)
from playground.schedules.reference import blurred_cloud, solve, terminal_angle

KARRAS = ScheduleConfig("karras")
SMALL = ChartConfig(schedules=(KARRAS,), samplers=("ddim", "dpm++"), calls=(4, 8), n=64)


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """Nothing is known from another test."""
    POINTS.clear()
    reference.ENDS.clear()
    chart_models.NETWORKS.clear()
    yield
    assert not COMPUTE_LOCK._busy  # a chart that was stopped has released the lock


def points(config: ChartConfig) -> list[ChartPoint]:
    return [event for event in measure(config) if isinstance(event, ChartPoint)]


def without_clock(found: list[ChartPoint]) -> list[ChartPoint]:
    return [replace(point, seconds=0.0, cached=False) for point in found]


def solved(law: GaussianMixture, x: Tensor, angle: float, steps: int) -> Tensor:
    work = solve(law, x, angle, steps)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


# ---- the reference


@pytest.mark.parametrize("angle", [math.pi / 2, 0.4])
@pytest.mark.parametrize("std", [0.05, 0.3, 2.0])
def test_the_path_of_one_gaussian_is_known(std: float, angle: float) -> None:
    """Every point keeps its quantile: x = cos φ μ + √(cos² φ s² + sin² φ) z, with the same z at all φ."""
    mean = torch.tensor([[0.7, -0.3]], dtype=torch.float64)
    law = GaussianMixture(mean, std, torch.ones(1, dtype=torch.float64))
    x = start_noise(50, 2, 3)
    z = (x.double() - math.cos(angle) * mean) / math.hypot(math.cos(angle) * std, math.sin(angle))
    torch.testing.assert_close(solved(law, x, angle, reference.ODE_STEPS), mean + std * z, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("cloud", "blur"), [("spiral", 0.1), ("spiral", 0.05), ("two_moons", 0.3)])
def test_the_reference_is_finer_than_what_it_measures(cloud: str, blur: float) -> None:
    law, x = blurred_cloud(cloud, blur, 0).mixture, start_noise(64, 2, 0)
    angle = terminal_angle(KARRAS.make())
    coarse, fine = solved(law, x, angle, reference.ODE_STEPS // 2), solved(law, x, angle, reference.ODE_STEPS)
    # order 4: the finer one is 16 times as close to the truth as the two are to each other
    assert float((coarse - fine).norm(dim=1).median()) / 15 < 1e-6


@pytest.mark.parametrize("blur", [0.05, 0.5])
def test_a_blurred_cloud_is_standardised_and_gives_its_scale_back(blur: float) -> None:
    law = blurred_cloud("spiral", blur, 0)
    drawn = law.mixture.sample(50_000, torch.Generator().manual_seed(0))
    assert drawn.mean(0).abs().max() < 0.02
    assert float(drawn.square().mean()) == pytest.approx(1, abs=0.02)
    assert law.mixture.std / math.sqrt(1 - law.mixture.std**2) == pytest.approx(blur)
    centres = law.mixture.means * law.scale
    distances = torch.cdist(centres, centres).max()
    assert float(distances) == pytest.approx(2, abs=0.4)  # the cloud lies on about [-1, 1]²


# ---- what theory says


def slopes(config: ChartConfig) -> dict[str, float]:
    """The slope of the error over calls of 16 and more, by sampler."""
    found = points(config)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for point in found:
        assert not point.note
        if point.error is not None:
            pairs.setdefault(point.sampler, []).append((point.calls, point.error))
    return {sampler: slope(line) for sampler, line in pairs.items()}


@pytest.mark.parametrize(("cloud", "blur"), [("two_moons", 0.3), ("spiral", 0.1)])
def test_errors_fall_with_the_samplers_order(cloud: str, blur: float) -> None:
    """Over 16 … 128 calls on the Karras schedule: first order -1 ± 0.1, second -2 ± 0.3.

    UniPC's corrector adds an order to its predictor's two, and PNDM's formula is of order four once it has begun: those
    two are held to at least second order.
    """
    config = ChartConfig(
        cloud=cloud, blur=blur, schedules=(KARRAS,), samplers=tuple(scheduled()), calls=(16, 32, 64, 128), n=128
    )
    found = slopes(config)
    assert found.keys() == {name for name, row in scheduled().items() if not row.stochastic}
    for sampler in ("ddim", "euler"):
        assert found[sampler] == pytest.approx(-1, abs=0.1), sampler
    for sampler in ("heun", "dpm++"):
        assert found[sampler] == pytest.approx(-2, abs=0.3), sampler
    for sampler in ("unipc", "pndm"):
        assert found[sampler] < -1.8, sampler


def test_where_noise_is_left_the_last_jump_sets_the_slope() -> None:
    """The figures of the explanation: a second-order sampler from 32 to 128 calls, schedule by schedule."""
    slopes = {"laplace": -0.5, "scaled_linear": -0.6, "linear": -1.5, "cosine": -1.7, "karras": -2.2}
    schedules = tuple(ScheduleConfig(name) for name in slopes)
    config = ChartConfig(cloud="spiral", schedules=schedules, samplers=("dpm++",), calls=(32, 64, 128), seed=0)
    points = [event for event in measure(config) if isinstance(event, ChartPoint)]
    for index, (name, wanted) in enumerate(slopes.items()):
        pairs = [(p.calls, p.error) for p in points if p.schedule == index]
        assert slope([(calls, error) for calls, error in pairs if error]) == pytest.approx(wanted, abs=0.1), name


def test_euler_is_ddim_in_other_coordinates() -> None:
    found = points(replace(SMALL, samplers=("ddim", "euler")))
    for ddim, euler in zip(found[:2], found[2:], strict=True):
        assert ddim.error == pytest.approx(euler.error, rel=1e-3)
        assert ddim.distance == pytest.approx(euler.distance, rel=1e-3)


def test_more_calls_bring_samples_to_the_floor() -> None:
    config = ChartConfig(schedules=(KARRAS,), samplers=("ddpm", "dpm++"), calls=(4, 128), n=600)
    few_ddpm, many_ddpm, few, many = points(config)
    lowest = floor(config)
    for point in (many_ddpm, many):
        assert point.distance is not None
        assert 0.5 * lowest < point.distance < 1.6 * lowest
    assert few_ddpm.distance is not None
    assert few_ddpm.distance > 3 * lowest
    assert few_ddpm.error is many_ddpm.error is None  # noise on the way leads elsewhere
    assert few.error is not None
    assert many.error is not None
    assert many.error < few.error / 50


def test_the_floor_is_what_perfect_samples_get() -> None:
    config = replace(SMALL, n=400)
    law = blurred_cloud("spiral", config.blur, 0)
    draws = [law.mixture.sample(400, torch.Generator().manual_seed(1_000 + k)) for k in range(30)]
    perfect = [law.scale * sliced_wasserstein(a, b) for a, b in zip(draws[::2], draws[1::2], strict=True)]
    assert min(perfect) < floor(config) < max(perfect)
    assert floor(replace(config, n=1_600)) < 0.75 * floor(config)  # as 1/√n: 0.5


@given(st.floats(-4, 0.5), st.floats(1e-6, 1e3))
@settings(max_examples=30, deadline=None)
def test_slope_finds_the_exponent(exponent: float, factor: float) -> None:
    line = [(calls, factor * calls**exponent) for calls in (3, 8, 15, 33, 128)]
    assert slope(line) == pytest.approx(exponent, abs=1e-9)


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
