"""The quality chart: the reference against closed forms, the orders that theory promises, and how it runs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import sliced_wasserstein
from playground.diffusion.sampling import start_noise
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules import reference
from playground.schedules.quality import (
    ChartConfig,
    ChartPoint,
    floor,
    measure,
    slope,
)
from playground.schedules.reference import blurred_cloud, solve, terminal_angle
from tests.schedules.charts import KARRAS, SMALL, points


def solved(law: GaussianMixture, x: Tensor, angle: float, steps: int) -> Tensor:
    work = solve(law, x, angle, steps)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


pytest_plugins = ["tests.schedules.charts"]

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
