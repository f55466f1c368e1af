"""From noise to data: one generator of SampleStep for every sampler.

diffusers' schedulers are the samplers (diffusers_schedulers.py): the class that moves the points of the spiral is the
class of Stable Diffusion. What diffusers lacks, Langevin dynamics, stands here. A sampler asks one thing of a model:
the denoiser `(x, alpha, sigma) -> x̂_0` at x = α x_0 + σ ε with α² + σ² = 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion.diffusers_schedulers import make_scheduler
from playground.diffusion.prediction import Prediction, to_eps, to_x0
from playground.diffusion.sampling_config import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedules import NoiseSchedule

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SampleStep:
    """Where the samples stand, and what the model makes of them.

    `x`, `x0`, `eps` (N, D): x_t on the schedule's own scale, and the x̂_0 and ε̂ read from it. The last step has
    arrived: its x is the sample. `t`: timesteps, fractional where a sampler stands between two; -1 at the end.
    """

    index: int  # k = 0 … K
    t: float
    alpha: float
    sigma: float
    x: Tensor
    x0: Tensor
    eps: Tensor
    calls: int  # network evaluations so far, this one included


@dataclass(frozen=True)
class SamplePath:
    """A sampled trajectory, first state noise, last state the samples.

    `x`, `x0`, `eps` (K+1, N, …): x_t, x̂0 and ε̂, with x = α x0 + σ ε; `t`, `alpha`, `sigma` (K+1,), t = -1 at the end;
    `labels` (N,) or None; `calls` network evaluations; `seed` the one that was used.
    """

    x: Tensor
    x0: Tensor
    eps: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    labels: Tensor | None
    calls: int
    seed: int


def collect(steps: Iterable[SampleStep], labels: Tensor | None, seed: int) -> SamplePath:
    """All states of a run as one path."""
    steps = list(steps)
    return SamplePath(
        x=torch.stack([s.x for s in steps]),
        x0=torch.stack([s.x0 for s in steps]),
        eps=torch.stack([s.eps for s in steps]),
        t=torch.tensor([s.t for s in steps]),
        alpha=torch.tensor([s.alpha for s in steps]),
        sigma=torch.tensor([s.sigma for s in steps]),
        labels=labels,
        calls=steps[-1].calls,
        seed=seed,
    )


def network_denoiser(
    network: nn.Module,
    prediction: Prediction,
    labels: Tensor | None,
    guidance_scale: float,
    low: Tensor,
    high: Tensor,
) -> Denoiser:
    """`network` as (x, α, σ) → x̂_0, for classes `labels` (N,) or none, never outside `low` … `high`: the data's box.

    Unbounded, one sample in thousands leaves for infinity. The samplers take ε̂ from what is left, so the two agree.
    """

    def denoise(x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        return to_x0(prediction, network(x, alpha, sigma, labels), x, alpha, sigma)

    guided = guide(
        lambda x, alpha, sigma: denoise(x, alpha, sigma, labels),
        lambda x, alpha, sigma: denoise(x, alpha, sigma, None),
        guidance_scale if labels is not None else 1.0,
    )
    return lambda x, alpha, sigma: guided(x, alpha, sigma).nan_to_num(0.0).clamp(low, high)


def guide(conditional: Denoiser, unconditional: Denoiser, guidance_scale: float) -> Denoiser:
    """Classifier-free guidance, Ho & Salimans 2022, equation 6: x̂ = x̂_u + s (x̂_c - x̂_u).

    `guidance_scale` s is diffusers' convention, 1 is none; the paper's is w = s - 1. Guiding x̂_0 or ε̂ is the same:
    each is an affine function of the other.
    """
    if guidance_scale == 1.0:
        return conditional

    def guided(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        without = unconditional(x, alpha, sigma)
        return without + guidance_scale * (conditional(x, alpha, sigma) - without)

    return guided


def sample_from(
    x0: Tensor, eps: Tensor, t: int, denoise: Denoiser, schedule: NoiseSchedule, config: SamplingConfig, **rest: Any
) -> Iterator[SampleStep]:
    """SDEdit (Meng et al. 2022): noise `x0` with `eps` (N, …) up to timestep `t` and sample from there."""
    if not config.steps - 1 <= t < len(schedule):
        raise SamplerError(f"{config.steps} steps need a timestep from {config.steps - 1} to {len(schedule) - 1}.")
    spacing = SAMPLERS[config.sampler].spacings[0] if config.spacing == "default" else config.spacing
    if spacing == "leading":  # it begins below t, and would take x for less noisy than it is
        config = dataclasses.replace(config, spacing="trailing")
    begun = NoiseSchedule(schedule.name, schedule.alphas[: t + 1], schedule.sigmas[: t + 1])
    x = (begun.alphas[t].to(x0.dtype) * x0 + begun.sigmas[t].to(x0.dtype) * eps) / begun.scales[t].to(x0.dtype)
    yield from sample(denoise, begun, x, config, **rest)


def slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """The way from `a` to `b` (N, …) over the sphere (Shoemake 1985), row by row: halfway between two noises lies
    noise, where the straight line passes through less of it.
    """
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1, 1).acos().reshape(-1, *[1] * (a.ndim - 1))
    return torch.where(
        angle.sin() < 1e-4,
        torch.lerp(a, b, weight),
        (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / angle.sin(),
    )


def start_noise(n: int, dimensions: int, seed: int) -> Tensor:
    """ε (n, dimensions) ~ N(0, I): the same seed gives the same first rows, whatever n."""
    blocks = math.ceil(n * dimensions / 16)  # torch draws 16 normals at a time, and a last part block in another way
    numbers = torch.randn(16 * blocks, generator=torch.Generator().manual_seed(seed))
    return numbers[: n * dimensions].reshape(n, dimensions)


@torch.no_grad()
def sample(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    x: Tensor,
    config: SamplingConfig,
    generator: torch.Generator | None = None,
) -> Iterator[SampleStep]:
    """Walk from `x` (N, D) ~ N(0, I) to data, yielding every state and then the result.

    Raises SamplerError where the sampler cannot run on this schedule.
    """
    if config.sampler == "annealed_langevin":
        yield from _annealed_langevin(denoise, schedule, x, config, generator)
    elif config.sampler == "langevin":
        yield from _langevin(denoise, schedule, x, config, generator)
    else:
        yield from _diffusers(denoise, schedule, x, config, generator)


def _diffusers(
    denoise: Denoiser, schedule: NoiseSchedule, x: Tensor, config: SamplingConfig, generator: torch.Generator | None
) -> Iterator[SampleStep]:
    scheduler = make_scheduler(schedule, config)
    extra: dict[str, Any] = {}
    if config.sampler in ("ddim", "ddpm", "euler", "dpm++"):
        extra["generator"] = generator
    if config.sampler == "ddim":
        extra["eta"] = config.eta
    if scheduler.init_noise_sigma != 1:  # Euler and Heun keep x at σ/α scale, where it is √(1 + (σ/α)²) as large
        x = x * float((1 + scheduler.sigmas[0].double().square()).sqrt())
    index = 0
    for calls, t in enumerate(scheduler.timesteps, start=1):
        z = scheduler.scale_model_input(x, t)  # α² + σ² = 1 again
        alpha, sigma = _level(scheduler, calls - 1, t)
        x0 = denoise(z, alpha, sigma)
        eps = to_eps(x0, z, alpha, sigma)
        if getattr(scheduler, "state_in_first_order", True):  # Heun's trial step is not a place the sample stands at
            yield _step(schedule, index, alpha, sigma, z, x0, eps, calls)
            index += 1
        output = eps if config.sampler == "pndm" else alpha * eps - sigma * x0
        x = scheduler.step(output, t, x, **extra).prev_sample
    yield _arrived(index, x, eps, calls)


def _level(scheduler: Any, index: int, t: Tensor) -> tuple[Tensor, Tensor]:
    """(α, σ) of one call, from the scheduler's own tables: with Karras spacing its timesteps and sigmas disagree."""
    if hasattr(scheduler, "sigmas"):
        ratio = scheduler.sigmas[index].double()
        alpha = 1 / (1 + ratio.square()).sqrt()
        return alpha.float(), (ratio * alpha).float()
    alpha_cumprod = scheduler.alphas_cumprod[int(t)]
    return alpha_cumprod.sqrt().float(), (1 - alpha_cumprod).sqrt().float()


def _step(
    schedule: NoiseSchedule, index: int, alpha: Tensor, sigma: Tensor, z: Tensor, x0: Tensor, eps: Tensor, calls: int
) -> SampleStep:
    t = float(schedule.nearest_timestep(alpha, sigma))
    scale = float(_at(schedule.scales, t))
    return SampleStep(index, t, float(alpha) * scale, float(sigma) * scale, z * scale, x0, eps, calls)


def _arrived(index: int, x: Tensor, eps: Tensor, calls: int) -> SampleStep:
    return SampleStep(index, -1.0, 1.0, 0.0, x, x, eps, calls)


def _at(table: Tensor, t: float) -> Tensor:
    """`table` (T,) at the fractional index t, by linear interpolation."""
    low = min(int(t), len(table) - 1)
    high = min(low + 1, len(table) - 1)
    return table[low] + (t - low) * (table[high] - table[low])


def _langevin_move(
    z: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor, step: float, generator: torch.Generator | None
) -> Tensor:
    """x + η/2 ∇ log p_t(x) + √η ξ with η = step · σ², Song & Ermon 2019, equation 4; the score is (α x̂_0 - x) / σ²."""
    noise = torch.randn(z.shape, generator=generator)
    return z + step / 2 * (alpha * x0 - z) + math.sqrt(step) * sigma * noise


def _annealed_langevin(
    denoise: Denoiser, schedule: NoiseSchedule, z: Tensor, config: SamplingConfig, generator: torch.Generator | None
) -> Iterator[SampleStep]:
    """Song & Ermon 2019, algorithm 1, on `steps` of the schedule's noise levels, `langevin_inner` moves on each."""
    timesteps = torch.linspace(len(schedule) - 1, 0, config.steps).round().long()
    alphas = schedule.alphas_cumprod[timesteps].sqrt().float()
    sigmas = (1 - schedule.alphas_cumprod[timesteps]).sqrt().float()
    calls = 0
    for k, (alpha, sigma) in enumerate(zip(alphas, sigmas, strict=True)):
        if k and alphas[k - 1] > 0:
            z = z * (alpha / alphas[k - 1])  # the same x at σ/α scale, seen at the new level
        for inner in range(config.langevin_inner):
            x0 = denoise(z, alpha, sigma)
            calls += 1
            if inner == 0:
                yield _step(schedule, k, alpha, sigma, z, x0, to_eps(x0, z, alpha, sigma), calls)
            z = _langevin_move(z, x0, alpha, sigma, config.langevin_step, generator)
    yield _arrived(config.steps, z / alpha, to_eps(x0, z, alpha, sigma), calls)


def _langevin(
    denoise: Denoiser, schedule: NoiseSchedule, z: Tensor, config: SamplingConfig, generator: torch.Generator | None
) -> Iterator[SampleStep]:
    """Langevin dynamics at one noise level: it samples p_t, the *noised* data, and never arrives at t = 0."""
    t = round(config.langevin_t * (len(schedule) - 1))
    alpha = schedule.alphas_cumprod[t].sqrt().float()
    sigma = (1 - schedule.alphas_cumprod[t]).sqrt().float()
    for k in range(config.steps + 1):
        x0 = denoise(z, alpha, sigma)
        yield _step(schedule, k, alpha, sigma, z, x0, to_eps(x0, z, alpha, sigma), k + 1)
        z = _langevin_move(z, x0, alpha, sigma, config.langevin_step, generator)
