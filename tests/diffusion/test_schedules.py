"""Noise schedules against diffusers' own tables, the papers' closed forms and numpy brute force."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler
from diffusers.schedulers import scheduling_ddim

from playground.diffusion.noise_schedule import MAX_BETA, ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from tests.diffusion.every_schedule import schedule_of

# Our name, diffusers' name, and the betas that both are given.
IN_DIFFUSERS = [
    ("linear", "linear", {"beta_start": 1e-4, "beta_end": 0.02}),
    ("linear", "linear", {"beta_start": 1e-3, "beta_end": 0.05}),
    ("scaled_linear", "scaled_linear", {"beta_start": 0.00085, "beta_end": 0.012}),
    ("sigmoid", "sigmoid", {"beta_start": 1e-4, "beta_end": 0.02}),
    ("cosine", "squaredcos_cap_v2", {}),
]


# Against diffusers


@pytest.mark.parametrize("timesteps", [10, 50, 1000])
@pytest.mark.parametrize(("ours", "theirs", "knobs"), IN_DIFFUSERS)
def test_tables_are_diffusers(ours: str, theirs: str, knobs: dict[str, Any], timesteps: int) -> None:
    schedule = ScheduleConfig(ours, timesteps, **knobs).make()
    reference: Any = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule=theirs, **knobs)
    # Theirs are float32: a β rounds to 6e-8 of itself, but out of 1 - β; a product of T of them drifts by √T ulps.
    np.testing.assert_allclose(schedule.betas, reference.betas, rtol=1e-5, atol=2e-7)
    np.testing.assert_allclose(schedule.alphas_cumprod, reference.alphas_cumprod, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("timesteps", [10, 50, 1000])
@pytest.mark.parametrize(("ours", "theirs", "knobs"), IN_DIFFUSERS)
def test_zero_terminal_snr_is_diffusers(ours: str, theirs: str, knobs: dict[str, Any], timesteps: int) -> None:
    schedule = ScheduleConfig(ours, timesteps, rescale_betas_zero_snr=True, **knobs).make()
    assert schedule.zero_terminal_snr
    assert schedule.alphas_cumprod[-1] == 0
    plain = ScheduleConfig(ours, timesteps, **knobs).make()
    # Fed with our float64 betas, their algorithm works in float64: what is left is rounding.
    betas = scheduling_ddim.rescale_zero_terminal_snr(plain.betas.clone())
    np.testing.assert_allclose(schedule.betas, betas, rtol=0, atol=1e-9)
    reference: Any = DDPMScheduler(
        num_train_timesteps=timesteps, beta_schedule=theirs, rescale_betas_zero_snr=True, **knobs
    )
    np.testing.assert_allclose(schedule.alphas_cumprod, reference.alphas_cumprod, rtol=0, atol=1e-5)


@pytest.mark.parametrize("timesteps", [10, 200, 2000])
def test_laplace_is_diffusers_squared(timesteps: int) -> None:
    # diffusers' alpha_bar is √(SNR / (1 + SNR)): the root of what the paper's λ(u) makes of ᾱ, which is ours. Theirs
    # is on the grid u = (t + 1)/T, ours on (t + ½)/T: twice as long, theirs has ours in every second place.
    reference: Any = DDPMScheduler(num_train_timesteps=2 * timesteps, beta_schedule="laplace")
    theirs = reference.alphas_cumprod[::2].double().numpy() ** 2
    # They divide by alpha_bar(0), and add 1e-6 within the logarithm: 0.1 % each, and T β in float32.
    np.testing.assert_allclose(ScheduleConfig("laplace", timesteps).make().alphas_cumprod, theirs, rtol=3e-3)


@pytest.mark.parametrize(("sigma_min", "sigma_max", "rho"), [(0.002, 80.0, 7.0), (0.004, 20.0, 3.0)])
def test_karras_is_diffusers(sigma_min: float, sigma_max: float, rho: float) -> None:
    reference: Any = EulerDiscreteScheduler(sigma_min=sigma_min, sigma_max=sigma_max, use_karras_sigmas=True)
    schedule = ScheduleConfig("karras", 40, sigma_min=sigma_min, sigma_max=sigma_max, rho=7.0).make()
    theirs = reference._convert_to_karras(np.array([sigma_max, sigma_min]), 40)
    np.testing.assert_allclose((schedule.sigmas / schedule.alphas).flip(0), theirs, rtol=1e-9)
    # diffusers has no other ρ than 7. Of any: the table's middle is half the way in the ρ-th root.
    middle = ScheduleConfig("karras", 41, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho).make()
    root = (sigma_min ** (1 / rho) + sigma_max ** (1 / rho)) / 2
    assert float(middle.sigmas[20] / middle.alphas[20]) == pytest.approx(root**rho, rel=1e-9)


def test_zero_terminal_snr_is_lin_et_al() -> None:
    # Algorithm 1 by hand: √ᾱ is shifted to end at 0, then scaled to start where it did.
    plain = ScheduleConfig("linear", 20).make().alphas_cumprod.sqrt().numpy()
    expected = (plain - plain[-1]) * plain[0] / (plain[0] - plain[-1])
    rescaled = ScheduleConfig("linear", 20, rescale_betas_zero_snr=True).make()
    np.testing.assert_allclose(rescaled.alphas, expected, atol=1e-14)
    assert rescaled.alphas[0] == pytest.approx(plain[0], abs=1e-15)
    assert rescaled.log_snr[-1] == -math.inf


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_terminal_snr_twice_is_once(name: str) -> None:
    once = schedule_of(name, 50, zero_snr=True).make()
    betas = scheduling_ddim.rescale_zero_terminal_snr(once.betas.clone())
    np.testing.assert_allclose(betas, once.betas, atol=1e-12)


# Against closed forms


def test_quadratic() -> None:
    betas = ScheduleConfig("quadratic", 11, beta_start=0.01, beta_end=0.21).make().betas
    np.testing.assert_allclose(betas, [0.01 + 0.2 * (t / 10) ** 2 for t in range(11)], atol=1e-14)


def test_flow_is_the_straight_path() -> None:
    schedule = ScheduleConfig("flow", 4).make()
    np.testing.assert_allclose(schedule.sigmas, [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=1e-15)
    np.testing.assert_allclose(schedule.alphas + schedule.sigmas, 1, atol=1e-15)
    # ᾱ belongs to the same signal-to-noise ratio on the variance-preserving circle.
    np.testing.assert_allclose(schedule.alphas_cumprod, [49 / 50, 25 / 34, 9 / 34, 1 / 50], atol=1e-15)


def test_karras_is_equation_5() -> None:
    # Their index runs from σ_max down, ours up to it.
    i = np.arange(18)
    sigma = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    schedule = ScheduleConfig("karras", 18, sigma_min=0.002, sigma_max=80.0).make()
    np.testing.assert_allclose(schedule.sigmas / schedule.alphas, sigma[::-1], rtol=1e-9)
    np.testing.assert_allclose(schedule.alphas.square() + schedule.sigmas.square(), 1, atol=1e-14)


def test_cosine_is_equation_17() -> None:
    schedule = ScheduleConfig("cosine", 100, s=0.02).make()
    f = [math.cos((t / 100 + 0.02) / 1.02 * math.pi / 2) ** 2 for t in range(101)]
    betas = [min(1 - f[t + 1] / f[t], MAX_BETA) for t in range(100)]
    np.testing.assert_allclose(schedule.betas, betas, atol=1e-13)
    # Up to the clipped last step this is ᾱ_t = f(t)/f(0).
    np.testing.assert_allclose(schedule.alphas_cumprod[:-1], np.array(f[1:-1]) / f[0], rtol=1e-10)


def test_laplace_is_the_quantile_function() -> None:
    # λ is drawn from a Laplace law where u is uniform: λ at u is the law's quantile at 1 - u.
    schedule = ScheduleConfig("laplace", 500, mu=1.0, b=0.8).make()
    law = torch.distributions.Laplace(*torch.tensor([1.0, 0.8], dtype=torch.float64))
    u = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    np.testing.assert_allclose(schedule.log_snr, law.icdf(1 - u), atol=1e-9)
    assert float(ScheduleConfig("laplace", 501, mu=1.0).make().log_snr[250]) == pytest.approx(
        1.0, abs=1e-12
    )  # its centre


def test_scaled_linear_is_linear_in_the_root() -> None:
    roots = ScheduleConfig("scaled_linear", 7).make().betas.sqrt()
    np.testing.assert_allclose(roots, np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 7), atol=1e-14)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "quadratic", "sigmoid"])
def test_betas_that_leave_nothing_are_refused(name: str) -> None:
    # ᾱ_T = 0.001^1000 is no float64 any more: the table would stand still at 0.
    with pytest.raises(ScheduleError, match="Lower β_end") as refusal:
        ScheduleConfig(name, 1000, beta_start=0.9, beta_end=0.999).make()
    assert refusal.value.knob == "beta_end"
