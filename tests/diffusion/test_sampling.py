"""Samplers against diffusers step by step, against the papers' formulas, and by their order."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampling import SAMPLERS, SamplingConfig, start_noise
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from tests.diffusion.mixture import MIXTURE, rng, states, steps_for

# Against diffusers, step by step, and against the papers


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["karras", "linear", "cosine", "flow"])
def test_ddim_is_diffusers_and_equation_12(name: str, eta: float) -> None:
    schedule = ScheduleConfig(name, 100).make()
    ours = states(schedule, SamplingConfig("ddim", steps=20, eta=eta))
    # diffusers with ε, where ours speaks v.
    theirs: Any = DDIMScheduler(
        100, trained_betas=schedule.betas.numpy(), clip_sample=False, timestep_spacing="trailing"
    )
    theirs.set_timesteps(20)
    # Song et al. 2021, equations 12 and 16, float64; trailing steps of 5 end at t = 4, from where it is one jump to x0.
    cumprod = schedule.alphas_cumprod.numpy()
    x, papers, noise, noise2 = start_noise(16, 2, 0), start_noise(16, 2, 0).double().numpy(), rng(1), rng(1)
    for k, t in enumerate(range(99, -1, -5)):
        now, before = cumprod[t], cumprod[t - 5] if t >= 5 else 1.0
        scale = float(schedule.scales[t])
        torch.testing.assert_close(ours[k].x, scale * x, rtol=0, atol=2e-4)
        np.testing.assert_allclose(ours[k].x, scale * papers, rtol=0, atol=2e-4)
        assert ours[k].t == pytest.approx(t, abs=0.02)

        alpha, sigma = theirs.alphas_cumprod[t].sqrt(), (1 - theirs.alphas_cumprod[t]).sqrt()
        eps = to_eps(MIXTURE(x, alpha, sigma), x, alpha, sigma)
        x = theirs.step(eps, t, x, eta=eta, generator=noise).prev_sample

        x0 = MIXTURE(torch.from_numpy(papers), math.sqrt(now), math.sqrt(1 - now)).numpy()
        e = (papers - math.sqrt(now) * x0) / math.sqrt(1 - now)
        s = eta * math.sqrt((1 - before) / (1 - now)) * math.sqrt(1 - now / before)
        papers = math.sqrt(before) * x0 + math.sqrt(1 - before - s**2) * e
        if eta > 0:
            papers = papers + s * torch.randn(16, 2, generator=noise2).double().numpy()
    torch.testing.assert_close(ours[-1].x, x, rtol=0, atol=2e-4)
    np.testing.assert_allclose(ours[-1].x, papers, rtol=0, atol=2e-4)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("steps", [20, 100])
@pytest.mark.parametrize("name", ["karras", "linear", "flow"])
def test_ddpm_is_diffusers_and_equation_7(name: str, steps: int, variance: str) -> None:
    schedule, stride = ScheduleConfig(name, 100).make(), 100 // steps
    ours = states(schedule, SamplingConfig("ddpm", steps=steps, variance=variance))
    theirs: Any = DDPMScheduler(
        100,
        trained_betas=schedule.betas.numpy(),
        variance_type=variance,
        clip_sample=False,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(steps)
    cumprod = schedule.alphas_cumprod.numpy()
    x, papers, noise, noise2 = start_noise(16, 2, 0), start_noise(16, 2, 0).double().numpy(), rng(1), rng(1)
    for k, t in enumerate(range(99, -1, -stride)):
        now, before = cumprod[t], cumprod[t - stride] if t >= stride else 1.0
        scale = float(schedule.scales[t])
        torch.testing.assert_close(ours[k].x, scale * x, rtol=0, atol=5e-4)
        np.testing.assert_allclose(ours[k].x, scale * papers, rtol=0, atol=5e-4)

        alpha, sigma = theirs.alphas_cumprod[t].sqrt(), (1 - theirs.alphas_cumprod[t]).sqrt()
        eps = to_eps(MIXTURE(x, alpha, sigma), x, alpha, sigma)
        x = theirs.step(eps, t, x, generator=noise).prev_sample

        # Ho et al. 2020, equation 7, with β of the whole stride.
        beta = 1 - now / before
        x0 = MIXTURE(torch.from_numpy(papers), math.sqrt(now), math.sqrt(1 - now)).numpy()
        mean = math.sqrt(before) * beta / (1 - now) * x0 + math.sqrt(1 - beta) * (1 - before) / (1 - now) * papers
        papers_variance = (1 - before) / (1 - now) * beta if variance == "fixed_small" else beta
        papers = mean + math.sqrt(papers_variance) * torch.randn(16, 2, generator=noise2).double().numpy()
    if variance == "fixed_small" or stride == 1:  # the other case is the next test
        torch.testing.assert_close(ours[-1].x, x, rtol=0, atol=5e-4)
        np.testing.assert_allclose(ours[-1].x, mean, rtol=0, atol=5e-4)


@pytest.mark.parametrize("steps", [20, 50, 100])
def test_ddpm_adds_no_noise_in_its_last_step(steps: int) -> None:
    # Ho et al. 2020, algorithm 2: z = 0 at t = 1. The result is the mean of equation 7 at ᾱ_{t-1} = 1, x̂0 itself.
    path = states(ScheduleConfig("linear", 100).make(), SamplingConfig("ddpm", steps=steps, variance="fixed_large"))
    torch.testing.assert_close(path[-1].x, path[-2].x0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["karras", "cosine"])
def test_euler_is_the_ode_step(name: str) -> None:
    # Karras et al. 2022, equation 1 at s = 1: in x/α, dx/dσ = (x - x̂0)/σ. Linspace at K = T takes every timestep.
    schedule = ScheduleConfig(name, 30).make()
    ours = states(schedule, SamplingConfig("euler", steps=30))
    ratios = [*(schedule.sigmas / schedule.alphas).flip(0).tolist(), 0.0]
    x = math.sqrt(1 + ratios[0] ** 2) * start_noise(16, 2, 0).double()  # of unit variance at α² + σ² = 1
    for k, (ratio, after) in enumerate(pairwise(ratios)):
        alpha = 1 / math.sqrt(1 + ratio**2)
        np.testing.assert_allclose(ours[k].x, alpha * x, rtol=0, atol=2e-4)
        x0 = MIXTURE(alpha * x, alpha, ratio * alpha)
        x = x + (x - x0) / ratio * (after - ratio)
    np.testing.assert_allclose(ours[-1].x, x, rtol=0, atol=2e-4)


# Higher order is better


@pytest.mark.parametrize("sampler", [name for name, row in SAMPLERS.items() if row.order])
def test_the_order_of_a_sampler(sampler: str) -> None:
    # The reference, 1,000 steps of second order, is a thousand times closer than any; it begins and ends where this
    # sampler does: with or without the table's least noise. All K divide T. Slopes are local: K from 20 on.
    schedule, row = ScheduleConfig("karras", 1000).make(), SAMPLERS[sampler]
    reference = sampler if row.order == 2 else "heun" if "linspace" in row.spacings[0] else "dpm++"
    truth = steps_for(schedule, reference, 1000)[-1].x
    counts = [20, 40, 50, 100, 200]
    errors = [(steps_for(schedule, sampler, k)[-1].x - truth).norm(dim=1).mean().item() for k in counts]
    assert errors == sorted(errors, reverse=True)
    assert np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(-row.order, abs=0.35)


@pytest.mark.parametrize("sampler", ["dpm++", "unipc", "deis"])
def test_ten_steps_of_second_order_are_no_worse_than_of_first(sampler: str) -> None:
    # At the default spacing. DDIM's root mean square is 0.14 here, DPM++'s 0.10; or 0.57 when the last timestep but
    # one has to be t = 0, for that jump is more than a third of all ln σ/α.
    schedule = ScheduleConfig("linear", 1000).make()
    truth = steps_for(schedule, "ddim", 1000)[-1].x
    first, second = ((steps_for(schedule, s, 10)[-1].x - truth).square().mean().sqrt() for s in ("ddim", sampler))
    assert second < first


@pytest.mark.parametrize("sampler", [name for name, row in scheduled().items() if not row.stochastic])
def test_one_gaussian_has_a_known_flow(sampler: str) -> None:
    # The ODE keeps x / std(p_t), so x_0 = s x_T / √(α² s² + σ²): no solver in the reference.
    gaussian = GaussianMixture(torch.zeros(1, 2), 0.5, torch.ones(1))
    path = states(ScheduleConfig("karras", 1000).make(), SamplingConfig(sampler, steps=100), denoise=gaussian)
    first, last = path[0], path[-1]
    expected = 0.5 * first.x / math.sqrt(first.alpha**2 * 0.5**2 + first.sigma**2)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=0.04 if SAMPLERS[sampler].order == 1 else 4e-3)
