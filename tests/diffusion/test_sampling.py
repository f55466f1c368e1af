"""Samplers against diffusers, the papers' formulas, and the exact denoiser of a mixture that is known."""

import math
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import energy_distance, sliced_wasserstein
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampling import (
    SAMPLERS,
    Denoiser,
    SamplerError,
    SampleStep,
    SamplingConfig,
    guide,
    sample,
    sample_from,
    slerp,
    start_noise,
)
from playground.diffusion.schedules import SCHEDULES, NoiseSchedule, ScheduleError, make_schedule


def three_modes() -> GaussianMixture:
    """Unequal weights, modes of std 0.2 far apart, then standardised: mean 0, one scale of variance 1."""
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    means = torch.tensor([[-1.5, -0.5], [0.0, 1.5], [1.0, -0.8]], dtype=torch.float64)
    means = means - weights @ means
    scale = math.sqrt((weights @ means.square()).mean().item() + 0.2**2)
    return GaussianMixture(means / scale, 0.2 / scale, weights)


MIXTURE = three_modes()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states(
    schedule: NoiseSchedule, config: SamplingConfig, n: int = 16, seed: int = 0, denoise: Denoiser = MIXTURE
) -> list[SampleStep]:
    return list(sample(denoise, schedule, start_noise(n, 2, seed), config, rng(seed + 1)))


def steps_for(schedule: NoiseSchedule, sampler: str, steps: int) -> list[SampleStep]:
    return states(schedule, SamplingConfig(sampler, steps=steps), n=500)


@dataclass
class Counted:
    """A denoiser that checks what it is asked and counts how often."""

    denoise: Denoiser = MIXTURE
    calls: int = 0
    levels: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        assert alpha.shape == sigma.shape == ()
        assert alpha.dtype == sigma.dtype == x.dtype == torch.float32  # what a network can take
        assert alpha.item() ** 2 + sigma.item() ** 2 == pytest.approx(1, abs=1e-5)
        self.calls += 1
        self.levels.append(sigma.item())
        return self.denoise(x, alpha, sigma)


# (a) Against diffusers, step by step, and against the papers


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["karras", "linear", "cosine", "flow"])
def test_ddim_is_diffusers_and_equation_12(name: str, eta: float) -> None:
    schedule = make_schedule(name, 100)
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
    schedule, stride = make_schedule(name, 100), 100 // steps
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
    path = states(make_schedule("linear", 100), SamplingConfig("ddpm", steps=steps, variance="fixed_large"))
    torch.testing.assert_close(path[-1].x, path[-2].x0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["karras", "cosine"])
def test_euler_is_the_ode_step(name: str) -> None:
    # Karras et al. 2022, equation 1 at s = 1: in x/α, dx/dσ = (x - x̂0)/σ. Linspace at K = T takes every timestep.
    schedule = make_schedule(name, 30)
    ours = states(schedule, SamplingConfig("euler", steps=30))
    ratios = [*(schedule.sigmas / schedule.alphas).flip(0).tolist(), 0.0]
    x = math.sqrt(1 + ratios[0] ** 2) * start_noise(16, 2, 0).double()  # of unit variance at α² + σ² = 1
    for k, (ratio, after) in enumerate(pairwise(ratios)):
        alpha = 1 / math.sqrt(1 + ratio**2)
        np.testing.assert_allclose(ours[k].x, alpha * x, rtol=0, atol=2e-4)
        x0 = MIXTURE(alpha * x, alpha, ratio * alpha)
        x = x + (x - x0) / ratio * (after - ratio)
    np.testing.assert_allclose(ours[-1].x, x, rtol=0, atol=2e-4)


# (b) Every sampler reproduces the mixture

N = 3000
# Theory puts DDIM's and Euler's error at O(1/K), DDPM's at O(1/K), the others' at O(1/K²) or better.
STEPS = {"dpm++": 100, "unipc": 100, "heun": 100, "pndm": 100, "ddim": 250, "euler": 200, "ddpm": 500}


def cases() -> list[tuple[str, str, bool]]:
    """(sampler, schedule, zero terminal SNR). Heun is left out on cosine: its second-order step averages the slope at
    σ/α = 2e4 with the next, and what the first lacks in float32 and in curvature the average cannot bridge."""
    return [
        (sampler, schedule, zero_snr)
        for sampler in STEPS
        for schedule in ("karras", "linear", "cosine", "flow")
        for zero_snr in (False, True)
        if not (zero_snr and not SAMPLERS[sampler].zero_terminal_snr) and (sampler, schedule) != ("heun", "cosine")
    ]


@cache
def floors(n: int) -> list[float]:
    """Sliced Wasserstein distances of pairs of fresh draws of the mixture: data against data."""
    draws = [MIXTURE.sample(n, rng(100 + i)) for i in range(20)]
    return [sliced_wasserstein(a, b, projections=50) for a, b in zip(draws[::2], draws[1::2], strict=True)]


def modes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per mode of MIXTURE: share (3,), mean's distance from the mode in its std (3,), std over the mode's (3,)."""
    nearest = torch.cdist(x.double(), MIXTURE.means).argmin(dim=1)
    groups = [x[nearest == k].double() for k in range(3)]
    return (
        torch.tensor([len(group) / len(x) for group in groups]),
        torch.stack([(g.mean(0) - m).norm() / MIXTURE.std for g, m in zip(groups, MIXTURE.means, strict=True)]),
        torch.stack([group.std(0).mean() / MIXTURE.std for group in groups]),
    )


def assert_is_mixture(x: Tensor, bias: float) -> None:
    """Within sampling error of MIXTURE, and `bias` on top for steps that are not infinitely small."""
    shares, shifts, spreads = modes(x)
    smallest = len(x) * MIXTURE.weights.min().item()
    # Four binomial standard deviations, of the widest of the three.
    assert (shares - MIXTURE.weights).abs().max() < 4 * math.sqrt(0.25 / len(x)) + bias / 4, shares
    # A mean over n_k in two dimensions: |shift| √n_k is Rayleigh, beyond 4 once in 3,000.
    assert shifts.max() < 4 / math.sqrt(smallest) + bias, shifts
    # A std over 2 n_k numbers has the standard error 1/√(4 n_k).
    assert (spreads - 1).abs().max() < 4 / math.sqrt(4 * smallest) + bias, spreads
    # The floor is itself a draw, mostly of the shares of the modes.
    assert sliced_wasserstein(x, MIXTURE.sample(len(x), rng(0)), projections=50) < 1.5 * max(floors(len(x)))


@pytest.mark.parametrize(("sampler", "name", "zero_snr"), cases())
def test_sampler_reproduces_the_mixture(sampler: str, name: str, zero_snr: bool) -> None:
    schedule = make_schedule(name, 1000, rescale_betas_zero_snr=zero_snr)
    x = states(schedule, SamplingConfig(sampler, steps=STEPS[sampler]), n=N)[-1].x
    # Measured on one Gaussian: at these steps the spread is at most 5 % off, the most by DDPM and Euler on linear.
    assert_is_mixture(x, bias=0.05)


def test_the_mixture_test_can_fail() -> None:
    schedule = make_schedule("karras", 1000)
    for sampler, steps in (("ddim", 8), ("ddpm", 10), ("annealed_langevin", 20)):
        with pytest.raises(AssertionError):
            assert_is_mixture(states(schedule, SamplingConfig(sampler, steps=steps), n=N)[-1].x, bias=0.05)
    with pytest.raises(AssertionError):
        assert_is_mixture(states(make_schedule("linear", 50), SamplingConfig("ddim", steps=50), n=N)[-1].x, bias=0.05)


def test_stochastic_ddim_reproduces_the_mixture() -> None:
    config = SamplingConfig("ddim", steps=500, eta=1.0)
    assert_is_mixture(states(make_schedule("karras", 1000), config, n=N)[-1].x, bias=0.05)


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing", "karras"])
@pytest.mark.parametrize("sampler", ["dpm++", "unipc", "heun"])
def test_every_spacing_reproduces_the_mixture(sampler: str, spacing: str) -> None:
    config = SamplingConfig(sampler, steps=100, spacing=spacing)
    assert_is_mixture(states(make_schedule("karras", 1000), config, n=N)[-1].x, bias=0.05)


@pytest.mark.parametrize("sampler", STEPS)
def test_as_many_steps_as_timesteps(sampler: str) -> None:
    assert_is_mixture(states(make_schedule("karras", 250), SamplingConfig(sampler, steps=250), n=N)[-1].x, bias=0.08)


def one_gaussian(sampler: str, steps: int, schedule: NoiseSchedule, spacing: str = "default") -> float:
    """std of 4,000 samples over the std of the data, one Gaussian of std 0.2: 1 with steps enough."""
    gaussian = GaussianMixture(torch.zeros(1, 2), 0.2, torch.ones(1))
    path = states(schedule, SamplingConfig(sampler, steps=steps, spacing=spacing), n=4000, denoise=gaussian)
    assert len(path) == steps + (2 if sampler == "pndm" else 1)
    return path[-1].x.std().item() / 0.2


@pytest.mark.parametrize("sampler", ["ddim", "pndm"])
@pytest.mark.parametrize("steps", [120, 300, 600, 750])
def test_steps_that_do_not_divide_t(sampler: str, steps: int) -> None:
    # 1.5 % is what 120 steps of DDIM leave; diffusers' own stride T // K gives 1.05, 1.17, 1.91 and 1.50.
    assert one_gaussian(sampler, steps, make_schedule("karras", 1000), "trailing") == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("sampler", "spacing"), [("ddim", "trailing"), ("ddpm", "trailing"), ("euler", "trailing")])
def test_trailing_steps_end_at_the_data(sampler: str, spacing: str) -> None:
    # np.arange(T, 0, -T / K) has K + 1 entries for 61 and 61 other K: diffusers' last t is -1, read as pure noise.
    assert one_gaussian(sampler, 61, make_schedule("karras", 1000), spacing) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("sampler", ["dpm++", "unipc", "euler"])
def test_zero_terminal_snr_of_a_long_schedule(sampler: str) -> None:
    schedule = make_schedule("linear", 4000, rescale_betas_zero_snr=True)
    path = states(schedule, SamplingConfig(sampler, steps=200))
    assert path[0].t > path[1].t
    assert one_gaussian(sampler, 200, schedule) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("sampler", "spacing", "name", "timesteps", "knobs"),
    [
        *((sampler, "default", "linear", 4000, {}) for sampler in STEPS),
        *(
            (sampler, spacing, "flow", 4000, {})
            for sampler, spacing in (("ddim", "leading"), ("euler", "default"), ("dpm++", "karras"))
        ),
        *((sampler, "default", "linear", 1000, {"beta_end": 0.3}) for sampler in ("ddim", "euler", "dpm++")),
    ],
)
def test_what_make_schedule_gives_can_be_sampled(
    sampler: str, spacing: str, name: str, timesteps: int, knobs: dict[str, Any]
) -> None:
    try:
        schedule = make_schedule(name, timesteps, **knobs)
    except ScheduleError:  # what cannot be sampled may be refused, with a knob to turn
        assert knobs
        return
    path = states(schedule, SamplingConfig(sampler, steps=50, spacing=spacing))
    assert all(step.x.isfinite().all() and step.eps.isfinite().all() for step in path)


@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize("sampler", ["dpm++", "unipc", "euler"])
def test_a_few_steps_of_cosine(sampler: str, steps: int) -> None:
    # From ᾱ = 2e-9 to 0.5 in a step: 1 - β is 5e-9 then, below what float32 leaves of 1.
    path = states(make_schedule("cosine", 1000), SamplingConfig(sampler, steps=steps, spacing="trailing"))
    assert path[-1].x.isfinite().all()


# Langevin


def test_annealed_langevin_is_algorithm_1() -> None:
    # Song & Ermon 2019, where x = x0 + σ ε: one x for all levels, ∇ log p = (x̂0 - x)/σ², step sizes ∝ σ².
    schedule = make_schedule("karras", 50)
    ours = states(schedule, SamplingConfig("annealed_langevin", steps=8, langevin_inner=3, langevin_step=0.3))
    timesteps, noise = np.linspace(49, 0, 8).round().astype(int), rng(1)
    x = start_noise(16, 2, 0).double() / schedule.alphas[49]
    for k, t in enumerate(timesteps.tolist()):
        alpha, sigma = schedule.alphas[t], schedule.sigmas[t] / schedule.alphas[t]
        torch.testing.assert_close(ours[k].x.double(), alpha * x, rtol=1e-4, atol=1e-4)
        assert ours[k].t == pytest.approx(t, abs=1e-3)
        for _ in range(3):
            step = 0.3 * sigma**2
            score = (MIXTURE(alpha * x, alpha, alpha * sigma) - x) / sigma**2
            x = x + step / 2 * score + step.sqrt() * torch.randn(16, 2, generator=noise).double()
    torch.testing.assert_close(ours[-1].x.double(), x, rtol=1e-4, atol=1e-4)


def test_langevin_at_one_level_has_the_closed_form_of_its_bias() -> None:
    # One Gaussian: x ← (1 - hσ²/2v) x + √h σ ξ with v the variance of p_t, so the chain stands at v/(1 - hσ²/4v).
    gaussian, schedule = GaussianMixture(torch.zeros(1, 2), 0.5, torch.ones(1)), make_schedule("flow", 100)
    for step in (0.05, 0.5, 1.5):
        config = SamplingConfig("langevin", steps=400 if step < 0.1 else 100, langevin_step=step, langevin_t=0.6)
        last = states(schedule, config, n=8000, denoise=gaussian)[-1]
        v = last.alpha**2 * 0.5**2 + last.sigma**2
        expected = v / (1 - step * last.sigma**2 / (4 * v))
        # 16,000 numbers: a variance is known to √(2/16000) = 1.1 %; four of them.
        assert last.x.var().item() == pytest.approx(expected, rel=0.045)


def test_langevin_keeps_noised_data_noised_data() -> None:
    n, share = 2000, 0.4
    schedule, t = make_schedule("karras", 1000), round(share * 999)

    def noised(seed: int) -> Tensor:
        eps = torch.randn(n, 2, generator=rng(1000 + seed))
        return schedule.add_noise(MIXTURE.sample(n, rng(seed)).float(), eps, torch.full((n,), t))

    truth = noised(1)
    floor = max(energy_distance(noised(seed), truth) for seed in range(2, 12))
    # The test can fail: neither clean data nor pure noise is p_t.
    assert energy_distance(MIXTURE.sample(n, rng(20)), truth) > 5 * floor
    assert energy_distance(start_noise(n, 2, 0), truth) > 5 * floor
    config = SamplingConfig("langevin", steps=100, langevin_step=0.1, langevin_t=share)
    kept = list(sample(MIXTURE, schedule, noised(20), config, rng(3)))
    found = states(schedule, config, n=n)
    assert energy_distance(kept[-1].x, truth) < 2.5 * floor
    # From pure noise, too, it gets there; the shares of modes that barely touch at σ = 0.4 come last.
    assert energy_distance(found[-1].x, truth) < energy_distance(found[0].x, truth) / 10
    for last in (kept[-1], found[-1]):
        assert last.t == pytest.approx(t, abs=1e-3)
        assert last.alpha == pytest.approx(float(schedule.alphas[t]), abs=1e-6)
        assert last.sigma == pytest.approx(float(schedule.sigmas[t]), abs=1e-6)


@pytest.mark.parametrize("name", ["karras", "linear", "flow"])
def test_annealed_langevin_gets_closer_with_more_levels(name: str) -> None:
    # What is left is noise of the levels above, which a level has inner · step/2 relaxation times to forget.
    schedule = make_schedule(name, 1000)

    def spread(levels: int, inner: int = 5, step: float = 0.2) -> float:
        """How far off the modes' std is, in shares of it."""
        config = SamplingConfig("annealed_langevin", steps=levels, langevin_inner=inner, langevin_step=step)
        return float((modes(states(schedule, config, n=1000)[-1].x)[2] - 1).abs().mean())

    few, some, many = spread(20), spread(40), spread(100)
    assert few > 1.5 * some
    assert some > 1.5 * many
    # A smaller step alone is a shorter walk; with more of them, the length of the walk is what counts.
    assert spread(100, step=0.05) > 1.5 * many
    assert spread(100, inner=20, step=0.05) == pytest.approx(many, abs=0.07)


def test_annealed_langevin_reproduces_the_mixture() -> None:
    config = SamplingConfig("annealed_langevin", steps=500, langevin_inner=5, langevin_step=0.2)
    assert_is_mixture(states(make_schedule("karras", 1000), config, n=1000)[-1].x, bias=0.05)


# (c) Higher order is better


@pytest.mark.parametrize(
    ("sampler", "reference", "slope", "within"),
    [
        ("ddim", "dpm++", -1, 0.25),
        ("euler", "heun", -1, 0.25),
        ("dpm++", "dpm++", -2, 0.35),
        ("heun", "heun", -2, 0.35),
    ],
)
def test_the_order_of_a_sampler(sampler: str, reference: str, slope: float, within: float) -> None:
    # The reference, 1,000 steps of second order, is a thousand times closer than any; it starts at the same x:
    # Euler and Heun start from σ_T ε, the others from ε. All K divide T. Slopes are local: K from 20 on.
    schedule = make_schedule("karras", 1000)
    truth = steps_for(schedule, reference, 1000)[-1].x
    counts = [20, 40, 50, 100, 200]
    errors = [(steps_for(schedule, sampler, k)[-1].x - truth).norm(dim=1).mean().item() for k in counts]
    assert errors == sorted(errors, reverse=True)
    assert np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(slope, abs=within)


@pytest.mark.parametrize("sampler", ["dpm++", "unipc"])
def test_ten_steps_of_second_order_are_no_worse_than_of_first(sampler: str) -> None:
    # At the default spacing. DDIM's root mean square is 0.14 here, DPM++'s 0.10; or 0.57 when the last timestep but
    # one has to be t = 0, for that jump is more than a third of all ln σ/α.
    schedule = make_schedule("linear", 1000)
    truth = steps_for(schedule, "ddim", 1000)[-1].x
    first, second = ((steps_for(schedule, s, 10)[-1].x - truth).square().mean().sqrt() for s in ("ddim", sampler))
    assert second < first


@pytest.mark.parametrize(
    ("sampler", "tolerance"),
    [("ddim", 0.04), ("euler", 0.04), ("dpm++", 4e-3), ("heun", 4e-3), ("unipc", 4e-3), ("pndm", 4e-3)],
)
def test_one_gaussian_has_a_known_flow(sampler: str, tolerance: float) -> None:
    # The ODE keeps x / std(p_t), so x_0 = s x_T / √(α² s² + σ²): no solver in the reference.
    gaussian = GaussianMixture(torch.zeros(1, 2), 0.5, torch.ones(1))
    path = states(make_schedule("karras", 1000), SamplingConfig(sampler, steps=100), denoise=gaussian)
    first, last = path[0], path[-1]
    expected = 0.5 * first.x / math.sqrt(first.alpha**2 * 0.5**2 + first.sigma**2)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=tolerance)


# (d) What a SampleStep promises


def states_and_calls(sampler: str, steps: int, inner: int) -> tuple[int, int]:
    match sampler:
        case "pndm":  # the first step is tried, then taken again with the mean of two slopes: K + 1 calls, each a state
            return steps + 2, steps + 1
        case "heun":  # two calls a step, but for the last, which arrives at σ = 0; a trial is no state
            return steps + 1, 2 * steps - 1
        case "annealed_langevin":
            return steps + 1, steps * inner
        case "langevin":  # it never arrives: its last state is one more place of the walk, looked at
            return steps + 1, steps + 1
    return steps + 1, steps


SMALL = st.sampled_from([(s, p) for s in SAMPLERS for p in SAMPLERS[s].spacings])


@given(which=SMALL, name=st.sampled_from(sorted(SCHEDULES)), zero_snr=st.booleans(), data=st.data())
def test_the_contract_of_every_walk(which: tuple[str, str], name: str, zero_snr: bool, data: st.DataObject) -> None:
    sampler, spacing = which
    timesteps = data.draw(st.integers(2, 100), label="T")
    steps = data.draw(st.integers(2, timesteps), label="K")
    zero_snr = zero_snr and SAMPLERS[sampler].zero_terminal_snr
    schedule, denoise = make_schedule(name, timesteps, rescale_betas_zero_snr=zero_snr), Counted()
    config = SamplingConfig(sampler, steps=steps, spacing=spacing, langevin_inner=3)
    path = states(schedule, config, n=8, denoise=denoise)
    count, calls = states_and_calls(sampler, steps, inner=3)
    assert len(path) == count
    assert denoise.calls == path[-1].calls == calls
    assert [step.index for step in path] == list(range(count))
    assert path[0].calls == 1
    assert all(0 <= b.calls - a.calls <= 3 for a, b in pairwise(path))
    for step in path:
        assert step.x.shape == step.x0.shape == step.eps.shape == (8, 2)
        assert step.x.isfinite().all()
        assert step.x0.isfinite().all()
        # The level is the schedule's own, straight path included, and x = αx̂0 + σε̂ on it.
        mixed = step.alpha * step.x0 + step.sigma * step.eps
        torch.testing.assert_close(mixed, step.x, rtol=1e-4, atol=1e-4)
        assert step.alpha >= 0
        assert step.sigma >= 0
    times = [step.t for step in path]
    if sampler == "langevin":
        assert len(set(times)) == 1
        return
    assert path[-1].t == -1
    assert (path[-1].alpha, path[-1].sigma) == (1, 0)
    assert path[-1].x is path[-1].x0 or torch.equal(path[-1].x, path[-1].x0)
    falls = np.diff(times)
    assert (falls <= 0).all() if sampler == "pndm" else (falls < 0).all()


@pytest.mark.parametrize("name", ["karras", "flow"])
@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "langevin"])
def test_the_first_state_is_the_start_noise(sampler: str, name: str) -> None:
    schedule = make_schedule(name, 50)
    spacing = "trailing" if "trailing" in SAMPLERS[sampler].spacings else "default"  # "leading" starts below T-1
    first = states(schedule, SamplingConfig(sampler, steps=10, spacing=spacing))[0]
    scale = float(schedule.scales[49])
    assert first.t == pytest.approx(49, abs=0.01)
    assert first.alpha == pytest.approx(float(schedule.alphas[49]), abs=1e-4)
    assert first.sigma == pytest.approx(float(schedule.sigmas[49]), abs=1e-4)
    torch.testing.assert_close(first.x, scale * start_noise(16, 2, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_who_uses_the_generator(sampler: str) -> None:
    schedule, noise = make_schedule("karras", 50), start_noise(16, 2, 0)
    config = SamplingConfig(sampler, steps=10)

    def run(seed: int, elsewhere: int) -> Tensor:
        torch.manual_seed(elsewhere)  # nothing may come from torch's global generator
        return list(sample(MIXTURE, schedule, noise, config, rng(seed)))[-1].x

    assert torch.equal(run(1, 2), run(1, 3))
    assert torch.equal(run(1, 2), run(4, 2)) != SAMPLERS[sampler].stochastic


def test_ddim_is_stochastic_with_eta() -> None:
    schedule, noise = make_schedule("karras", 50), start_noise(16, 2, 0)
    config = SamplingConfig("ddim", steps=10, eta=1.0)
    one, same, other = (list(sample(MIXTURE, schedule, noise, config, rng(seed)))[-1].x for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@given(n=st.integers(1, 200), dimensions=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_start_noise_has_the_same_first_rows_whatever_n(n: int, dimensions: int, seed: int) -> None:
    noise = start_noise(n, dimensions, seed)
    assert noise.shape == (n, dimensions)
    assert torch.equal(noise, start_noise(1000, dimensions, seed)[:n])


def test_start_noise_is_normal() -> None:
    noise = start_noise(100_000, 2, 0)
    # Five standard errors each.
    assert noise.mean().abs() < 5 / 447
    assert noise.std() == pytest.approx(1, abs=5 / 632)
    assert noise.pow(4).mean() == pytest.approx(3, abs=5 * math.sqrt(96 / 200_000))
    assert not torch.equal(noise, start_noise(100_000, 2, 1))


def test_no_gradient_is_kept() -> None:
    weight = torch.ones(1, requires_grad=True)
    path = states(make_schedule("karras", 50), SamplingConfig(steps=5), denoise=lambda x, alpha, sigma: weight * x)
    assert not any(step.x.requires_grad or step.x0.requires_grad for step in path)


# (e) Guidance


def conditional(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return GaussianMixture(MIXTURE.means[:1], MIXTURE.std, torch.ones(1))(x, alpha, sigma)


@given(scale=st.floats(-2, 20), sigma=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_guiding_x0_is_guiding_eps(scale: float, sigma: float, seed: int) -> None:
    x = start_noise(16, 2, seed).double()
    levels = torch.tensor(math.sqrt(1 - sigma**2)).double(), torch.tensor(sigma).double()
    guided = guide(conditional, MIXTURE, scale)(x, *levels)
    eps_c, eps_u = to_eps(conditional(x, *levels), x, *levels), to_eps(MIXTURE(x, *levels), x, *levels)
    w = scale - 1  # the paper's: (1 + w) ε_c - w ε_u
    torch.testing.assert_close(to_eps(guided, x, *levels), (1 + w) * eps_c - w * eps_u, rtol=1e-9, atol=1e-9)


def test_guidance_scales_0_and_1() -> None:
    x, alpha, sigma = start_noise(16, 2, 0), torch.tensor(0.8), torch.tensor(0.6)
    assert guide(conditional, MIXTURE, 1.0) is conditional
    torch.testing.assert_close(guide(conditional, MIXTURE, 0.0)(x, alpha, sigma), MIXTURE(x, alpha, sigma))
    # Just off 1 there is no jump.
    near = guide(conditional, MIXTURE, 1.0 + 1e-6)(x, alpha, sigma)
    torch.testing.assert_close(near, conditional(x, alpha, sigma), rtol=0, atol=1e-4)


def test_guidance_leads_to_the_class() -> None:
    schedule, config = make_schedule("karras", 1000), SamplingConfig(steps=50)
    x = states(schedule, config, n=500, denoise=guide(conditional, MIXTURE, 3.0))[-1].x
    assert (torch.cdist(x.double(), MIXTURE.means).argmin(dim=1) == 0).all()


# (f) Refusals


@pytest.mark.parametrize("sampler", ["pndm", "heun"])
def test_no_start_without_signal(sampler: str) -> None:
    schedule = make_schedule("linear", 100, rescale_betas_zero_snr=True)
    with pytest.raises(SamplerError, match=r"cannot start where no signal is left.*Choose"):
        states(schedule, SamplingConfig(sampler, steps=10, spacing="linspace"))


@pytest.mark.parametrize("sampler", STEPS)
def test_more_steps_than_timesteps_are_refused(sampler: str) -> None:
    with pytest.raises(SamplerError, match="51 sampling steps do not fit into a schedule of T = 50"):
        states(make_schedule("karras", 50), SamplingConfig(sampler, steps=51))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"sampler": "ddimm"}, "Unknown sampler 'ddimm'.*ddim"),
        ({"sampler": "ddim", "spacing": "karras"}, "DDIM has no 'karras' spacing.*trailing"),
        ({"sampler": "ddpm", "spacing": "karras"}, "DDPM has no"),
        ({"sampler": "pndm", "spacing": "karras"}, "PNDM has no"),
        ({"sampler": "langevin", "spacing": "trailing"}, "Langevin at one noise level has no"),
        ({"spacing": "even"}, "has no 'even' spacing"),
        ({"steps": 1}, "at least 2 steps"),
        ({"steps": 0}, "at least 2 steps"),
        ({"steps": -3}, "at least 2 steps"),
        ({"steps": math.nan}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"eta": math.nan}, "eta"),
        ({"eta": -0.1}, "η"),
        ({"eta": 1.1}, "η"),
        ({"variance": "learned"}, "fixed_small"),
        ({"langevin_step": math.nan}, "langevin_step"),
        ({"langevin_step": 0.0}, "Langevin step"),
        ({"langevin_step": 2.0}, "Langevin step"),
        ({"langevin_inner": 0}, "inner steps"),
        ({"langevin_inner": math.nan}, "langevin_inner"),
        ({"langevin_t": math.nan}, "langevin_t"),
        ({"langevin_t": 1.1}, "Langevin level"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(SamplerError, match=words):
        SamplingConfig(**knobs)


# (h) From an image, and between two noises


FROM_LEVELS = [(name, spacing) for name, sampler in SAMPLERS.items() for spacing in ("default", *sampler.spacings)]


@pytest.mark.parametrize("name", ["linear", "karras"])
@pytest.mark.parametrize(("sampler", "spacing"), [pair for pair in FROM_LEVELS if "langevin" not in pair[0]])
def test_sampling_from_an_image_starts_at_its_noised_self(sampler: str, spacing: str, name: str) -> None:
    schedule, t, n = make_schedule(name, 100), 60, 6
    x0, eps = MIXTURE.sample(n, rng(3)).float(), start_noise(n, 2, 4)
    config = SamplingConfig(sampler, steps=9, spacing=spacing)
    first = next(sample_from(x0, eps, t, MIXTURE, schedule, config, generator=rng(1)))
    expected = schedule.alphas[t] * x0 + schedule.sigmas[t] * eps
    torch.testing.assert_close(first.x, expected.float(), rtol=1e-5, atol=1e-5)
    assert first.t == pytest.approx(t, abs=0.05)
    assert first.sigma / first.alpha == pytest.approx(float(schedule.sigmas[t] / schedule.alphas[t]), rel=1e-4)


def test_sampling_from_the_last_timestep_of_an_image_is_sampling_from_what_it_became() -> None:
    schedule, eps = make_schedule("cosine", 100), start_noise(8, 2, 0)
    x0 = MIXTURE.sample(8, rng(2)).float()
    config = SamplingConfig("ddim", steps=10)
    x = schedule.add_noise(x0, eps, torch.full((8,), 99))
    ours = list(sample_from(x0, eps, 99, MIXTURE, schedule, config))
    theirs = list(sample(MIXTURE, schedule, x, config))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
def test_the_less_noise_the_closer_to_the_image(sampler: str) -> None:
    """Meng et al. 2022, figure 3: faithful at one end, realistic at the other."""
    schedule, x0 = make_schedule("cosine", 200), MIXTURE.sample(400, rng(2)).float()
    moved = []
    for t in (10, 60, 130, 199):
        config = SamplingConfig(sampler, steps=10)
        *_, last = sample_from(x0, start_noise(400, 2, 5), t, MIXTURE, schedule, config, generator=rng(6))
        moved.append(float((last.x - x0).norm(dim=1).mean()))
        assert sliced_wasserstein(last.x, MIXTURE.sample(400, rng(7)).float()) < 0.25, "still of the mixture"
    assert moved == sorted(moved)
    assert moved[0] < 0.25 < moved[-1]


@given(t=st.integers(-5, 110), steps=st.integers(2, 30))
def test_an_image_is_noised_to_a_timestep_that_is_there(t: int, steps: int) -> None:
    schedule, x0 = make_schedule("cosine", 100), torch.zeros(2, 2)
    run = sample_from(x0, start_noise(2, 2, 0), t, MIXTURE, schedule, SamplingConfig("ddim", steps=steps))
    if steps - 1 <= t < 100:
        assert len(list(run)) == steps + 1
    else:
        with pytest.raises(SamplerError, match=f"from {steps - 1} to 99"):
            next(run)


@given(st.floats(0, math.pi - 0.01), st.floats(0, 1), st.floats(0.1, 10))
def test_slerp_walks_the_circle_at_one_speed(angle: float, weight: float, radius: float) -> None:
    a = torch.tensor([[radius, 0.0]], dtype=torch.float64)
    b = torch.tensor([[radius * math.cos(angle), radius * math.sin(angle)]], dtype=torch.float64)
    place = slerp(a, b, weight)[0] / radius
    expected = torch.tensor([math.cos(weight * angle), math.sin(weight * angle)], dtype=torch.float64)
    torch.testing.assert_close(place, expected, rtol=0, atol=1e-6)


def test_slerp_keeps_noise_noise_where_the_straight_line_does_not() -> None:
    a, b = start_noise(50, 784, 0).reshape(50, 1, 28, 28), start_noise(50, 784, 1).reshape(50, 1, 28, 28)
    assert slerp(a, b, 0.5).shape == a.shape
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1, abs=0.01)
    assert float(torch.lerp(a, b, 0.5).std()) == pytest.approx(math.sqrt(0.5), abs=0.01)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    for k in (0, 7):  # row by row: each pair has its own angle
        torch.testing.assert_close(slerp(a, b, 0.3)[k], slerp(a[k : k + 1], b[k : k + 1], 0.3)[0])


def test_slerp_of_one_with_itself_and_its_opposite() -> None:
    a = start_noise(3, 16, 0)
    torch.testing.assert_close(slerp(a, a, 0.4), a)
    assert slerp(a, -a, 0.25).isfinite().all()
