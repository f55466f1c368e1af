"""NoiseSchedule: how much of the data is left, and how much noise is in, at every timestep.

The common language is the pair (α_t, σ_t): x_t = α_t x_0 + σ_t ε with ε ~ N(0, I). Everything else (β, ᾱ, SNR,
log-SNR) is derived from it. Variance-preserving schedules have α² + σ² = 1; the flow path does not, but dividing x_t by
√(α² + σ²) makes it so without changing the signal-to-noise ratio, so one network and one sampler serve them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from playground.refusal import Refusal

MAX_TIMESTEPS = 4000
MIN_BETA = 1e-6  # the samplers work in float32, where 1 - β below this comes out as 1 and leaves σ = 0
MAX_BETA = 0.999  # Nichol & Dhariwal 2021, §3.2: β is clipped so that no single step destroys everything
LEAST_SIGNAL = 1e-15  # α/σ below this: its square leaves float32, in which the samplers work
ENOUGH_NOISE = 0.01  # ᾱ_T above this: sampling from N(0, I) starts where the forward process never arrived


class ScheduleError(Refusal):
    """The schedule asked for does not exist; the message says which knob to turn."""


@dataclass(frozen=True)
class NoiseSchedule:
    """An immutable table over t = 0 … T-1.

    `alphas`, `sigmas`: (T,) float64, the signal's and the noise's factor at each t. Built by `ScheduleConfig.make`.
    """

    name: str
    alphas: Tensor  # (T,)  α_t
    sigmas: Tensor  # (T,)  σ_t

    def __post_init__(self) -> None:
        if self.alphas.ndim != 1 or self.alphas.shape != self.sigmas.shape or len(self.alphas) < 2:
            raise ScheduleError("A schedule needs two equally long tables of at least 2 timesteps.")
        ratio = self.alphas / self.sigmas
        if not torch.isfinite(ratio).all() or (self.alphas < 0).any():
            raise ScheduleError("Every timestep needs α ≥ 0 and σ > 0, all finite.")
        if (ratio.diff() >= 0).any():
            raise ScheduleError("The signal-to-noise ratio must fall at every timestep.")
        if 0 < ratio[-1] < LEAST_SIGNAL:
            raise ScheduleError(
                f"At the last timestep only {float(ratio[-1]):.0e} of the signal is left, too little to compute with."
            )

    def __len__(self) -> int:
        return len(self.alphas)

    @cached_property
    def scales(self) -> Tensor:
        """(T,) √(α² + σ²): 1 throughout where the schedule is variance preserving."""
        return (self.alphas.square() + self.sigmas.square()).sqrt()

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """(T,) ᾱ_t = SNR / (1 + SNR): the share of the variance that is signal."""
        return (self.alphas / self.scales).square()

    @cached_property
    def betas(self) -> Tensor:
        """(T,) β_t = 1 - ᾱ_t / ᾱ_{t-1}, with ᾱ_{-1} = 1."""
        previous = torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod[:-1]])
        return 1 - self.alphas_cumprod / previous

    @cached_property
    def snr(self) -> Tensor:
        """(T,) α² / σ²."""
        return (self.alphas / self.sigmas).square()

    @cached_property
    def log_snr(self) -> Tensor:
        """(T,) λ_t = ln(α² / σ²); -inf where the terminal SNR is zero."""
        return self.snr.log()

    @cached_property
    def posterior_variance(self) -> Tensor:
        """(T,) β̃_t = β_t (1 - ᾱ_{t-1}) / (1 - ᾱ_t); Ho et al. 2020, equation 7."""
        previous = torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod[:-1]])
        return self.betas * (1 - previous) / (1 - self.alphas_cumprod)

    @property
    def zero_terminal_snr(self) -> bool:
        """True where nothing of the data is left at the last timestep."""
        return bool(self.alphas[-1] == 0)

    @property
    def warning(self) -> str:
        """Why sampling from pure noise would be wrong here, or an empty string."""
        left = float(self.alphas_cumprod[-1])
        if left <= ENOUGH_NOISE:
            return ""
        return (
            f"The forward process never reaches pure noise: ᾱ_T = {left:.2f}, so {100 * math.sqrt(left):.0f} % of the "
            f"signal's amplitude is still there at t = {len(self) - 1}. Sampling starts from N(0, I), a place training "
            "never saw. Take more timesteps, a stronger schedule, or zero terminal SNR."
        )

    def add_noise(self, x0: Tensor, eps: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = α_t x_0 + σ_t ε for `x0`, `eps` (N, …) and integer `timesteps` (N,)."""
        shape = (-1,) + (1,) * (x0.ndim - 1)
        alpha = self.alphas[timesteps].to(x0.dtype).reshape(shape)
        sigma = self.sigmas[timesteps].to(x0.dtype).reshape(shape)
        return alpha * x0 + sigma * eps

    def nearest_timestep(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Fractional t at which the schedule has the noise level σ/α, by interpolation in the angle."""
        angles = torch.atan2(self.sigmas, self.alphas)  # increasing
        angle = torch.atan2(torch.as_tensor(sigma).double(), torch.as_tensor(alpha).double()).clamp(
            angles[0], angles[-1]
        )
        right = torch.searchsorted(angles, angle).clamp(1, len(self) - 1)
        low, high = angles[right - 1], angles[right]
        return (right - 1) + (angle - low) / (high - low)


# --- making one ---------------------------------------------------------------------------------------------------


def from_alphas_cumprod(name: str, alphas_cumprod: Tensor) -> NoiseSchedule:
    """The variance-preserving schedule with this ᾱ (T,)."""
    return NoiseSchedule(name, alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt())


def from_betas(name: str, betas: Tensor) -> NoiseSchedule:
    """The variance-preserving schedule with this β (T,), clipped to [MIN_BETA, MAX_BETA]."""
    alphas_cumprod = (1 - betas.clamp(MIN_BETA, MAX_BETA)).cumprod(0)
    if alphas_cumprod[-1] < LEAST_SIGNAL**2:
        larger = "start" if betas[0] > betas[-1] else "end"
        raise ScheduleError(
            f"At the last timestep only {float(alphas_cumprod[-1]):.0e} of the signal's variance is left, too little "
            f"to compute with. Lower β_{larger}, or take fewer timesteps.",
            knob=f"beta_{larger}",
        )
    return from_alphas_cumprod(name, alphas_cumprod)


def betas_of(alphas_cumprod: Tensor) -> Tensor:
    """(T,) β_t of a wanted ᾱ (T,), before it is clipped: what lies outside is the caller's to say."""
    return 1 - alphas_cumprod / torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])


def rescale_zero_terminal_snr(schedule: NoiseSchedule) -> NoiseSchedule:
    """Shift and scale √ᾱ so that its last value is 0 and its first stays. Lin et al. 2023, algorithm 1."""
    root = schedule.alphas_cumprod.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * first / (first - last)
    root[-1] = 0.0  # exactly, whatever the rounding
    return from_alphas_cumprod(schedule.name, root.square())


def check_timesteps(timesteps: int) -> None:
    """Raise ScheduleError unless a table may have so many timesteps."""
    if not 2 <= timesteps <= MAX_TIMESTEPS:
        raise ScheduleError(
            f"The number of timesteps T must lie in 2 … {MAX_TIMESTEPS}; it is {timesteps}. A step leads from one "
            "timestep to the next, so there are at least two.",
            knob="timesteps",
        )
