"""Langevin sampling against its algorithm, the closed form of its bias, and the exact denoiser of a mixture."""

import numpy as np
import pytest
import torch
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import energy_distance
from playground.diffusion.sampling import (
    SamplingConfig,
    sample,
    start_noise,
)
from playground.diffusion.schedule_config import ScheduleConfig
from tests.diffusion.mixture import MIXTURE, assert_is_mixture, modes, rng, states


def test_annealed_langevin_is_algorithm_1() -> None:
    # Song & Ermon 2019, where x = x0 + σ ε: one x for all levels, ∇ log p = (x̂0 - x)/σ², step sizes ∝ σ².
    schedule = ScheduleConfig("karras", 50).make()
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
    gaussian, schedule = GaussianMixture(torch.zeros(1, 2), 0.5, torch.ones(1)), ScheduleConfig("flow", 100).make()
    for step in (0.05, 0.5, 1.5):
        config = SamplingConfig("langevin", steps=400 if step < 0.1 else 100, langevin_step=step, langevin_t=0.6)
        last = states(schedule, config, n=8000, denoise=gaussian)[-1]
        v = last.alpha**2 * 0.5**2 + last.sigma**2
        expected = v / (1 - step * last.sigma**2 / (4 * v))
        # 16,000 numbers: a variance is known to √(2/16000) = 1.1 %; four of them.
        assert last.x.var().item() == pytest.approx(expected, rel=0.045)


def test_langevin_keeps_noised_data_noised_data() -> None:
    n, share = 2000, 0.4
    schedule, t = ScheduleConfig("karras", 1000).make(), round(share * 999)

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
    schedule = ScheduleConfig(name, 1000).make()

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
    assert_is_mixture(states(ScheduleConfig("karras", 1000).make(), config, n=1000)[-1].x, bias=0.05)
