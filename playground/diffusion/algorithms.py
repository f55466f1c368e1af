"""Samplers one can read: each paper's algorithm in about ten lines, in the paper's symbols.

They are here to be read. What moves the points is diffusers' classes (diffusers_schedulers.py), those of Stable
Diffusion; tests hold each function equal to its class, state by state, to 1e-5 in float64 (5e-5 for DPM-Solver++, whose
class rounds to float32), on every schedule that the class can run.

Each takes a denoiser `(x, alpha, sigma) -> x̂_0`, a schedule, the falling `timesteps` (K,) to visit, and x_T ~ N(0, I),
`x` (N, …). It yields the K states x_t on the way, scaled to α² + σ² = 1, and then the sample x_0. α = √ᾱ and
σ = √(1 - ᾱ); the α_t of Ho et al. is 1 - β here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import Denoiser


def ddpm(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    timesteps: Tensor,
    x: Tensor,
    generator: torch.Generator | None = None,
    variance: str = "fixed_small",
) -> Iterator[Tensor]:
    """Ho et al. 2020, Algorithm 2. Line 4 is written as equation 7, which holds at zero terminal SNR too (1 - β = 0).

    A step may skip timesteps: β is then that of the whole stride. `variance`: β̃ ("fixed_small") or β ("fixed_large").
    """
    for now, after in pairwise(_alphas_cumprod(schedule, timesteps)):  # (), ()  ᾱ_t, ᾱ_{t-1}
        yield x
        beta = 1 - now / after  # ()
        x0 = denoise(x, now.sqrt(), (1 - now).sqrt())  # (N, …)  x̂_0
        mean = after.sqrt() * beta / (1 - now) * x0 + (1 - beta).sqrt() * (1 - after) / (1 - now) * x  # (N, …)  μ̃
        beta_tilde = (1 - after) / (1 - now) * beta  # ()  β̃
        z = _normal_like(x, generator) if after < 1 else torch.zeros_like(x)  # (N, …)  line 3: none in the last step
        x = mean + (beta_tilde if variance == "fixed_small" else beta).sqrt() * z  # (N, …)
    yield x


def ddim(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    timesteps: Tensor,
    x: Tensor,
    generator: torch.Generator | None = None,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """Song et al. 2021 (DDIM), equation 12, with the noise of equation 16: `eta` 0 adds none, 1 as much as DDPM."""
    for now, after in pairwise(_alphas_cumprod(schedule, timesteps)):  # (), ()  ᾱ_t, ᾱ_{t-1}
        yield x
        x0 = denoise(x, now.sqrt(), (1 - now).sqrt())  # (N, …)  x̂_0, "predicted x_0"
        eps = (x - now.sqrt() * x0) / (1 - now).sqrt()  # (N, …)  ε̂
        variance = eta**2 * (1 - after) / (1 - now) * (1 - now / after)  # ()  equation 16, squared
        x = after.sqrt() * x0 + (1 - after - variance).clamp(min=0).sqrt() * eps  # (N, …)  "direction pointing to x_t"
        if eta > 0:
            x = x + variance.sqrt() * _normal_like(x, generator)  # (N, …)  "random noise"
    yield x


def heun(denoise: Denoiser, schedule: NoiseSchedule, timesteps: Tensor, x: Tensor) -> Iterator[Tensor]:
    """Karras et al. 2022, Algorithm 1 (Heun's method). Their x and σ are x/α and σ/α here; dx/dσ = (x - x̂_0)/σ.

    α must not be 0. For their own noise levels (equation 5) take the `karras` schedule and visit every timestep.
    """

    def slope(y: Tensor, ratio: Tensor) -> Tensor:
        alpha = 1 / (1 + ratio**2).sqrt()  # ()
        return (y - denoise(alpha * y, alpha, ratio * alpha)) / ratio  # (N, …)  dy/d(σ/α)

    ratios = (1 / _alphas_cumprod(schedule, timesteps) - 1).sqrt()  # (K+1,)  σ/α, the last one 0
    y = x * (1 + ratios[0] ** 2).sqrt()  # (N, …)  y = x/α
    for now, after in pairwise(ratios):
        yield y / (1 + now**2).sqrt()  # (N, …)  x
        d = slope(y, now)  # (N, …)  line 4
        trial = y + (after - now) * d  # (N, …)  line 5: Euler's step
        if after > 0:
            d = (d + slope(trial, after)) / 2  # (N, …)  lines 7 and 8: the mean of the slopes at both ends
        y = y + (after - now) * d  # (N, …)
    yield y


def dpm_solver_2m(denoise: Denoiser, schedule: NoiseSchedule, timesteps: Tensor, x: Tensor) -> Iterator[Tensor]:
    """DPM-Solver++ 2M: Lu et al. 2022 (arXiv 2211.01095), Algorithm 2, with λ = ln(α/σ).

    The first step is of first order, as there is no earlier x̂_0; the last, to λ = ∞, goes to x̂_0 itself.
    """
    levels = _alphas_cumprod(schedule, timesteps)  # (K+1,)
    alphas, sigmas = levels.sqrt(), (1 - levels).sqrt()  # (K+1,)
    h = (alphas / sigmas).log().diff()  # (K,)  h_i = λ_{i+1} - λ_i, the last one ∞
    before = torch.empty(0)
    for i in range(len(h)):
        yield x
        x0 = denoise(x, alphas[i], sigmas[i])  # (N, …)
        d = x0  # (N, …)  D
        if 0 < i < len(h) - 1:
            d = x0 + h[i] / (2 * h[i - 1]) * (x0 - before)  # (N, …)  extrapolated half a step ahead
        x = sigmas[i + 1] / sigmas[i] * x - alphas[i + 1] * torch.expm1(-h[i]) * d  # (N, …)
        before = x0
    yield x


def _alphas_cumprod(schedule: NoiseSchedule, timesteps: Tensor) -> Tensor:
    """(K+1,) ᾱ at the K `timesteps`, and then 1, where all is data."""
    return torch.cat([schedule.alphas_cumprod[timesteps], torch.ones(1, dtype=torch.float64)])


def _normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """ε ~ N(0, I) of the shape and dtype of `x`."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)
