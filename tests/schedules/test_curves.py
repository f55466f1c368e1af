"""The curves against diffusers, brute force and the papers' closed forms."""

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.prediction import target, to_x0
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.schedules.curves import CURVES, curves, density, to_csv, to_json
from tests.diffusion.every_schedule import LINE, schedule_of

NAMES = sorted(SCHEDULES)
IN_DIFFUSERS = [("linear", "linear"), ("cosine", "squaredcos_cap_v2"), ("sigmoid", "sigmoid")]


# Against diffusers


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), IN_DIFFUSERS)
def test_tables_are_diffusers(ours: str, theirs: str, zero_snr: bool) -> None:
    tables = curves(ScheduleConfig(ours, 100, zero_snr).make())
    reference: Any = DDPMScheduler(num_train_timesteps=100, beta_schedule=theirs, rescale_betas_zero_snr=zero_snr)
    betas = reference.betas.double()
    cumprod = reference.alphas_cumprod.double()
    for name, table, atol in [
        ("beta", betas, 2e-5 if zero_snr else 2e-7),
        ("kept", 1 - betas, 2e-5 if zero_snr else 2e-7),
        ("alphas_cumprod", cumprod, 1e-5 if zero_snr else 2e-6),
        ("step_noise", betas.sqrt(), 1e-3 if zero_snr else 1e-5),
    ]:
        np.testing.assert_allclose(tables[name], table, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize(("ours", "theirs"), [*IN_DIFFUSERS, ("scaled_linear", "scaled_linear")])
def test_posterior_variance_is_diffusers(ours: str, theirs: str) -> None:
    knobs = {"beta_start": 0.00085, "beta_end": 0.012} if ours == "scaled_linear" else {}
    tables = curves(ScheduleConfig(ours, 100).make())
    reference: Any = DDPMScheduler(num_train_timesteps=100, beta_schedule=theirs, variance_type="fixed_small", **knobs)
    variances = [float(reference._get_variance(t)) for t in range(1, 100)]
    np.testing.assert_allclose(tables["posterior_variance"][1:], variances, rtol=1e-5, atol=2e-7)  # theirs is float32
    assert (tables["posterior_variance"] <= tables["beta"]).all()


# What is derived


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_curve_is_brute_force(name: str, zero_snr: bool) -> None:
    schedule = schedule_of(name, 30, zero_snr).make()
    tables = curves(schedule)
    assert tables.keys() == CURVES.keys()
    assert all(table.shape == (30,) and table.dtype == torch.float64 for table in tables.values())
    previous = 1.0
    for t, (alpha, sigma) in enumerate(zip(schedule.alphas.tolist(), schedule.sigmas.tolist(), strict=True)):
        cumprod = alpha**2 / (alpha**2 + sigma**2)
        beta = 1 - cumprod / previous
        snr = cumprod / (1 - cumprod)
        expected = {
            "beta": beta,
            "kept": cumprod / previous,
            "alphas_cumprod": cumprod,
            "step_noise": math.sqrt(beta),
            "snr": snr,
            "log_snr": math.log(snr) if snr else -math.inf,
            "posterior_variance": beta * (1 - previous) / (1 - cumprod),
            "weight_noise": snr,
            "weight_x0": 1.0,
            "weight_v": snr + 1,
        }
        previous = cumprod
        for curve, value in expected.items():
            assert float(tables[curve][t]) == pytest.approx(value, rel=1e-7, abs=1e-12), (curve, t)


@pytest.mark.parametrize("prediction", ["noise", "x0", "v"])
def test_weights_are_what_a_squared_error_weighs(prediction: Any) -> None:
    # A prediction is off by a little: its plain squared error over that of the x̂0 that follows from it.
    schedule = ScheduleConfig("flow", 40).make()  # the pair that training sees is variance preserving here too
    weights = curves(schedule)["weight_" + prediction]
    x0, eps = torch.tensor([0.3, -1.2]).double(), torch.tensor([0.7, 0.1]).double()
    for t in (0, 13, 39):
        alpha, sigma = schedule.alphas_cumprod[t].sqrt(), (1 - schedule.alphas_cumprod[t]).sqrt()
        x = alpha * x0 + sigma * eps
        right = target(prediction, x0, eps, alpha, sigma)
        wrong = right + torch.tensor([0.01, -0.02])
        error = (to_x0(prediction, wrong, x, alpha, sigma) - x0).square().sum()
        assert float((wrong - right).square().sum() / error) == pytest.approx(float(weights[t]), rel=1e-9)


# The log-SNR that training sees


def test_density_of_cosine_is_a_hyperbolic_secant() -> None:
    # Kingma & Gao 2023: uniform t on ᾱ = cos²(πt/2) draws λ from sech(λ/2)/(2π).
    log_snr, p = density(ScheduleConfig("cosine", 1000, s=0.0).make())
    # The last steps' β is clipped, and differences at the very ends are one-sided.
    np.testing.assert_allclose(p[5:-5], (1 / (2 * math.pi * torch.cosh(log_snr / 2)))[5:-5], rtol=0.02)


@pytest.mark.parametrize(("mu", "b"), [(0.0, 0.5), (1.0, 1.5)])
def test_density_of_laplace_is_laplace(mu: float, b: float) -> None:
    log_snr, p = density(ScheduleConfig("laplace", 1000, mu=mu, b=b).make())
    expected = torch.distributions.Laplace(*torch.tensor([mu, b], dtype=torch.float64)).log_prob(log_snr).exp()
    # Its logarithm bends at the centre and is steep at the ends, where a difference is no derivative.
    middle = slice(10, -10)
    np.testing.assert_allclose(p[middle], expected[middle], rtol=0.005)


def test_density_of_flow_is_logistic() -> None:
    # σ/α = u/(1 - u): λ/2 is the logit of a uniform number, so λ is logistic with scale 2.
    log_snr, p = density(ScheduleConfig("flow", 1000).make())
    share = torch.sigmoid(log_snr / 2)
    np.testing.assert_allclose(p[10:-10], (share * (1 - share) / 2)[10:-10], rtol=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_density_is_a_histogram(name: str) -> None:
    schedule = schedule_of(name, 1000).make()
    log_snr, p = density(schedule)
    seen, edges = np.histogram(schedule.log_snr.numpy(), bins=8, density=True)
    order = torch.arange(999, -1, -1)
    smooth = np.interp(np.linspace(edges[0], edges[-1], 80_001), log_snr[order], p[order])
    means = smooth[:-1].reshape(8, -1).mean(1)
    # A bin holds a whole number of the 1,000 timesteps, its neighbours the other part of a cell: two either way.
    np.testing.assert_allclose(means, seen, rtol=0.01, atol=2e-3 / (edges[1] - edges[0]))


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_density_integrates_to_one(name: str, zero_snr: bool) -> None:
    log_snr, p = density(schedule_of(name, 1000, zero_snr).make())
    whole = float(torch.trapezoid(p.flip(0), log_snr.flip(0)))
    # Half a cell is missing at each end, and with zero terminal SNR the timestep at λ = -∞.
    assert whole == pytest.approx(0.998 if zero_snr else 0.999, abs=1e-9)


@given(name=st.sampled_from(NAMES), timesteps=st.integers(2, 60), zero_snr=st.booleans())
def test_density_of_short_schedules(name: str, timesteps: int, zero_snr: bool) -> None:
    schedule = schedule_of(name, timesteps, zero_snr).make()
    log_snr, p = density(schedule)
    assert len(log_snr) == len(p) == timesteps - zero_snr
    assert (p > 0).all() or timesteps == 2
    table = curves(schedule)["density"]
    assert bool(table[-1].isnan()) == zero_snr


# Taken home


def test_csv_holds_every_float() -> None:
    configs = [ScheduleConfig("linear", 12, True), ScheduleConfig("karras", 10, rho=3.0)]
    rows = list(csv.DictReader(io.StringIO(to_csv(configs))))
    assert len(rows) == 22
    assert list(rows[0])[:3] == ["schedule", "T", "t [step]"]
    assert "log_snr [nat]" in rows[0]
    assert rows[0]["schedule"] == configs[0].title
    assert rows[11]["log_snr [nat]"] == "-inf"
    assert rows[11]["density [1/nat]"] == "nan"
    assert [int(row["t [step]"]) for row in rows] == [*range(12), *range(10)]
    for config, part in zip(configs, (rows[:12], rows[12:]), strict=True):
        for name, table in curves(config.make()).items():
            read = torch.tensor([float(row[f"{name} [{CURVES[name].unit}]"]) for row in part], dtype=torch.float64)
            torch.testing.assert_close(read, table, rtol=0, atol=0, equal_nan=True)


def test_json_holds_every_float_and_the_schedule() -> None:
    configs = [ScheduleConfig("flow", 10), ScheduleConfig("drawn", 11, True, knots=LINE)]
    read = json.loads(to_json(configs), parse_constant=pytest.fail)  # no NaN, no Infinity: they are not JSON
    assert read["curves"].keys() == CURVES.keys()
    for config, schedule in zip(configs, read["schedules"], strict=True):
        assert ScheduleConfig.from_dict(schedule["config"]) == config
        assert schedule["title"] == config.title
        for name, table in curves(config.make()).items():
            assert schedule["curves"][name] == [v if math.isfinite(v) else None for v in table.tolist()]
    assert read["schedules"][1]["curves"]["log_snr"][-1] is None
