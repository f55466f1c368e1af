"""From noise to data: one generator of SampleStep for every sampler.

diffusers' schedulers are the samplers (diffusers_schedulers.py): the class that moves the points of the spiral is the
class of Stable Diffusion. What diffusers lacks stands in langevin.py. A sampler asks one thing of a model: the denoiser
`(x, alpha, sigma) -> x̂_0` at x = α x_0 + σ ε with α² + σ² = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from playground.diffusion.diffusers_schedulers import begin_at, level, make_scheduler, step_arguments
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import Prediction, to_eps, to_x0
from playground.diffusion.sample_path import Denoiser, SamplePath, SampleStep, Start, arrived, collect, under_way
from playground.diffusion.sampler import SamplerError
from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.sampling_config import SamplingConfig

__all__ = [  # what a lab needs of sampling stands behind this one door
    "SAMPLERS",
    "Denoiser",
    "SamplePath",
    "SampleStep",
    "SamplerError",
    "SamplingConfig",
    "collect",
    "guide",
    "network_denoiser",
    "sample",
    "sample_from",
    "slerp",
    "start_noise",
    "steps_from",
]


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
    x0: Tensor,
    eps: Tensor,
    strength: float,
    denoise: Denoiser,
    schedule: NoiseSchedule,
    config: SamplingConfig,
    generator: torch.Generator | None = None,
) -> Iterator[SampleStep]:
    """SDEdit (Meng et al. 2022) as diffusers' image-to-image pipelines do it: of `config.steps` over the whole schedule
    only the last `steps_from` are walked, from `x0` noised with `eps` (N, …) to the level of the first of them.

    Raises SamplerError.
    """
    walked = steps_from(config.steps, strength)
    if not walked:
        raise SamplerError(f"Strength {strength:g} of {config.steps} steps is less than one step: raise either.")
    if not config.row.arrives:
        raise SamplerError(f"{config.row.title} stays where it is: it leads from no image to another.")
    yield from _walk(
        denoise, schedule, lambda alpha, sigma: alpha * x0 + sigma * eps, config, config.steps - walked, generator
    )


def steps_from(steps: int, strength: float) -> int:
    """How many of `steps` are walked from `strength` of the way into the noise: as diffusers has it, rounded down."""
    return min(int(steps * strength), steps)


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
    yield from _walk(denoise, schedule, lambda alpha, sigma: x, config, 0, generator)


@torch.no_grad()
def _walk(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    config: SamplingConfig,
    first: int,
    generator: torch.Generator | None,
) -> Iterator[SampleStep]:
    """All steps of `config` from number `first` on."""
    if walk := config.row.walk:
        config.check(len(schedule), schedule.zero_terminal_snr)
        yield from walk(denoise, schedule, start, config.steps, first, generator, **config.own_knobs)
    else:
        yield from _diffusers(denoise, schedule, start, config, first, generator)


def _diffusers(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    config: SamplingConfig,
    first: int,
    generator: torch.Generator | None,
) -> Iterator[SampleStep]:
    scheduler, row = make_scheduler(schedule, config), config.row
    extra = step_arguments(scheduler, generator, config.own_knobs)
    first *= scheduler.order  # calls of a step
    begin_at(scheduler, first)
    timesteps = scheduler.timesteps[first:]
    alpha, sigma = (value.float() for value in level(scheduler, row, first, timesteps[0]))
    x = start(alpha, sigma)
    if scheduler.init_noise_sigma != 1:  # some keep x at σ/α scale, where it is √(1 + (σ/α)²) as large
        x = x * float((1 + scheduler.sigmas[first].double().square()).sqrt())
    index = 0
    for calls, t in enumerate(timesteps, start=1):
        z = scheduler.scale_model_input(x, t)  # α² + σ² = 1 again
        alpha, sigma = (value.float() for value in level(scheduler, row, first + calls - 1, t))
        x0 = denoise(z, alpha, sigma)
        eps = to_eps(x0, z, alpha, sigma)
        if getattr(scheduler, "state_in_first_order", True):  # a trial step is not a place the sample stands at
            yield under_way(schedule, index, alpha, sigma, z, x0, eps, calls)
            index += 1
        output = eps if row.prediction_type == "epsilon" else alpha * eps - sigma * x0
        x = scheduler.step(output, t, x, **extra).prev_sample
    yield arrived(index, x, eps, calls)
