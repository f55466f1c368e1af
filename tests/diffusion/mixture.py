"""A mixture of three Gaussians whose exact denoiser is known, and whether samples are of it."""

import math
from functools import cache

import torch
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import sliced_wasserstein
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import SAMPLERS, Denoiser, SampleStep, SamplingConfig, sample, start_noise
from playground.diffusion.sampling_config import scheduled


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


def steps_of(sampler: str) -> int:
    """Enough steps for the mixture: theory puts an error of first order and that of noise on the way at O(1/K), the
    others' at O(1/K²) or better.
    """
    row = SAMPLERS[sampler]
    return 500 if row.stochastic else 250 if row.order == 1 else 100


SCHEDULED = tuple(scheduled())  # whose every step is a place on the schedule


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
    distance, floor = sliced_wasserstein(x, MIXTURE.sample(len(x), rng(0)), projections=50), max(floors(len(x)))
    assert distance < 1.5 * floor, (distance, floor)
