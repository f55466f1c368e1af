"""Guidance, sampling from an image, and the way between two noises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import sliced_wasserstein
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampling import (
    SAMPLERS,
    SamplerError,
    SamplingConfig,
    guide,
    sample,
    sample_from,
    slerp,
    start_noise,
)
from playground.diffusion.schedule_config import ScheduleConfig
from tests.diffusion.mixture import MIXTURE, rng, states

# Guidance


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
    schedule, config = ScheduleConfig("karras", 1000).make(), SamplingConfig(steps=50)
    x = states(schedule, config, n=500, denoise=guide(conditional, MIXTURE, 3.0))[-1].x
    assert (torch.cdist(x.double(), MIXTURE.means).argmin(dim=1) == 0).all()


# From an image, and between two noises


FROM_LEVELS = [(name, spacing) for name, sampler in SAMPLERS.items() for spacing in ("default", *sampler.spacings)]


@pytest.mark.parametrize("name", ["linear", "karras"])
@pytest.mark.parametrize(("sampler", "spacing"), [pair for pair in FROM_LEVELS if "langevin" not in pair[0]])
def test_sampling_from_an_image_starts_at_its_noised_self(sampler: str, spacing: str, name: str) -> None:
    schedule, t, n = ScheduleConfig(name, 100).make(), 60, 6
    x0, eps = MIXTURE.sample(n, rng(3)).float(), start_noise(n, 2, 4)
    config = SamplingConfig(sampler, steps=9, spacing=spacing)
    first = next(sample_from(x0, eps, t, MIXTURE, schedule, config, generator=rng(1)))
    expected = schedule.alphas[t] * x0 + schedule.sigmas[t] * eps
    torch.testing.assert_close(first.x, expected.float(), rtol=1e-5, atol=1e-5)
    assert first.t == pytest.approx(t, abs=0.05)
    assert first.sigma / first.alpha == pytest.approx(float(schedule.sigmas[t] / schedule.alphas[t]), rel=1e-4)


def test_sampling_from_the_last_timestep_of_an_image_is_sampling_from_what_it_became() -> None:
    schedule, eps = ScheduleConfig("cosine", 100).make(), start_noise(8, 2, 0)
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
    schedule, x0 = ScheduleConfig("cosine", 200).make(), MIXTURE.sample(400, rng(2)).float()
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
    schedule, x0 = ScheduleConfig("cosine", 100).make(), torch.zeros(2, 2)
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
