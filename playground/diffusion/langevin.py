"""Langevin dynamics, which diffusers lacks: a walk along the score, with noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import to_eps
from playground.diffusion.sample_path import Denoiser, SampleStep, Start, arrived, under_way


def langevin_move(
    z: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor, step: float, generator: torch.Generator | None
) -> Tensor:
    """x + η/2 ∇ log p_t(x) + √η ξ with η = step · σ², Song & Ermon 2019, equation 4; the score is (α x̂_0 - x) / σ²."""
    noise = torch.randn(z.shape, generator=generator)
    return z + step / 2 * (alpha * x0 - z) + math.sqrt(step) * sigma * noise


def annealed_langevin(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    steps: int,
    first: int,
    generator: torch.Generator | None,
    *,
    langevin_step: float,
    langevin_inner: int,
) -> Iterator[SampleStep]:
    """Song & Ermon 2019, algorithm 1, on `steps` of the schedule's noise levels, from number `first` on;
    `langevin_inner` moves on each.
    """
    timesteps = torch.linspace(len(schedule) - 1, 0, steps).round().long()[first:]
    alphas = schedule.alphas_cumprod[timesteps].sqrt().float()
    sigmas = (1 - schedule.alphas_cumprod[timesteps]).sqrt().float()
    z, calls = start(alphas[0], sigmas[0]), 0
    for k, (alpha, sigma) in enumerate(zip(alphas, sigmas, strict=True)):
        if k and alphas[k - 1] > 0:
            z = z * (alpha / alphas[k - 1])  # the same x at σ/α scale, seen at the new level
        for inner in range(langevin_inner):
            x0 = denoise(z, alpha, sigma)
            calls += 1
            if inner == 0:
                yield under_way(schedule, k, alpha, sigma, z, x0, to_eps(x0, z, alpha, sigma), calls)
            z = langevin_move(z, x0, alpha, sigma, langevin_step, generator)
    yield arrived(len(timesteps), z / alpha, to_eps(x0, z, alpha, sigma), calls)


def langevin(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    steps: int,
    first: int,
    generator: torch.Generator | None,
    *,
    langevin_step: float,
    langevin_t: float,
) -> Iterator[SampleStep]:
    """Langevin dynamics at one noise level: it samples p_t, the *noised* data, and never arrives at t = 0."""
    t = round(langevin_t * (len(schedule) - 1))
    alpha = schedule.alphas_cumprod[t].sqrt().float()
    sigma = (1 - schedule.alphas_cumprod[t]).sqrt().float()
    z = start(alpha, sigma)
    for k in range(steps + 1 - first):
        x0 = denoise(z, alpha, sigma)
        yield under_way(schedule, k, alpha, sigma, z, x0, to_eps(x0, z, alpha, sigma), k + 1)
        z = langevin_move(z, x0, alpha, sigma, langevin_step, generator)
