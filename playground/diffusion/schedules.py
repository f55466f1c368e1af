"""Noise schedules: how much of the data is left, and how much noise is in, at every timestep.

The common language is the pair (α_t, σ_t): x_t = α_t x_0 + σ_t ε with ε ~ N(0, I). Everything else (β, ᾱ, SNR,
log-SNR) is derived from it. Variance-preserving schedules have α² + σ² = 1; the flow path does not, but dividing x_t by
√(α² + σ²) makes it so without changing the signal-to-noise ratio, so one network and one sampler serve them all.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from playground.refusal import Refusal

MAX_TIMESTEPS = 4000
MIN_BETA = 1e-6  # the samplers work in float32, where 1 - β below this comes out as 1 and leaves σ = 0
MAX_BETA = 0.999  # Nichol & Dhariwal 2021, §3.2: β is clipped so that no single step destroys everything
LEAST_SIGMA = 1e-3  # Karras' σ_min, and 1/σ_max: √MIN_BETA
LEAST_RHO, MOST_RHO = 0.1, 100.0  # outside of it σ^(1/ρ) overflows, or all of them are 1
MOST_WIDTH, MOST_CENTRE = 4.0, 10.0  # Laplace's b and μ: at T = 4000 λ then stays within ±44
LEAST_SIGNAL = 1e-15  # α/σ below this: its square leaves float32, in which the samplers work
ENOUGH_NOISE = 0.01  # ᾱ_T above this: sampling from N(0, I) starts where the forward process never arrived


class ScheduleError(Refusal):
    """The schedule asked for does not exist; the message says which knob to turn."""


@dataclass(frozen=True)
class NoiseSchedule:
    """An immutable table over t = 0 … T-1.

    `alphas`, `sigmas`: (T,) float64, the signal's and the noise's factor at each t. Built by `make_schedule`.
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


# --- the named schedules: each returns ᾱ or β over T steps, its paper beside it ---------------------------------------


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


def linear(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> NoiseSchedule:
    """β linear in t. Ho et al. 2020, §4 (1e-4 → 0.02 at T = 1000)."""
    return from_betas("linear", torch.linspace(beta_start, beta_end, T, dtype=torch.float64))


def scaled_linear(T: int, beta_start: float = 0.00085, beta_end: float = 0.012) -> NoiseSchedule:
    """√β linear in t. Rombach et al. 2022 (Stable Diffusion: 0.00085 → 0.012 at T = 1000)."""
    return from_betas("scaled_linear", torch.linspace(beta_start**0.5, beta_end**0.5, T, dtype=torch.float64) ** 2)


def quadratic(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> NoiseSchedule:
    """β quadratic in t, zero slope at the start: β_start + (β_end - β_start)(t / (T-1))²."""
    t = torch.linspace(0, 1, T, dtype=torch.float64)
    return from_betas("quadratic", beta_start + (beta_end - beta_start) * t**2)


def sigmoid(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> NoiseSchedule:
    """β along a sigmoid over [-6, 6]. Xu et al. 2022 (GeoDiff); as diffusers' DDPMScheduler has it."""
    t = torch.linspace(-6, 6, T, dtype=torch.float64)
    return from_betas("sigmoid", torch.sigmoid(t) * (beta_end - beta_start) + beta_start)


def cosine(T: int, s: float = 0.008) -> NoiseSchedule:
    """ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s) · π/2), β ≤ 0.999. Nichol & Dhariwal 2021, equation 17."""
    if not 0 <= s < 1:
        raise ScheduleError(
            f"The cosine schedule's offset s must lie in [0, 1); it is {s:g}. The paper has 0.008.", knob="s"
        )
    t = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return from_betas("cosine", 1 - f[1:] / f[:-1])


def karras(T: int, sigma_min: float = 0.004, sigma_max: float = 20.0, rho: float = 7.0) -> NoiseSchedule:
    """σ/α from σ_min to σ_max, its ρ-th root linear in t. Karras et al. 2022, equation 5 (there σ_max = 80)."""
    if not 0 < sigma_min < sigma_max:
        raise ScheduleError(
            f"σ_min must lie between 0 and σ_max; it is {sigma_min:g} and σ_max is {sigma_max:g}.",
            knob="sigma_min" if sigma_max > 0 else "sigma_max",
        )
    if sigma_min < LEAST_SIGMA or sigma_max > 1 / LEAST_SIGMA:
        raise ScheduleError(
            f"σ must stay within {LEAST_SIGMA:g} … {1 / LEAST_SIGMA:g}: in float32, in which samplers "
            "work, 1 - ᾱ or ᾱ loses its digits beyond it.",
            knob="sigma_min" if sigma_min < LEAST_SIGMA else "sigma_max",
        )
    if not LEAST_RHO <= rho <= MOST_RHO:
        raise ScheduleError(
            f"ρ must lie in {LEAST_RHO:g} … {MOST_RHO:g}; it is {rho:g}. 1 spaces σ evenly, 7 is the paper's.",
            knob="rho",
        )
    t = torch.linspace(0, 1, T, dtype=torch.float64)
    sigma = (sigma_min ** (1 / rho) + t * (sigma_max ** (1 / rho) - sigma_min ** (1 / rho))) ** rho
    return from_alphas_cumprod("karras", 1 / (1 + sigma**2))


def flow(T: int) -> NoiseSchedule:
    """The straight path x_t = (1 - u) x_0 + u ε with u = (t + ½)/T. Lipman et al. 2023; Liu et al. 2023.

    The half keeps both ends off the grid: at u = 1 no signal would be left and ε could not be turned into x_0.
    """
    u = (torch.arange(T, dtype=torch.float64) + 0.5) / T
    return NoiseSchedule("flow", 1 - u, u)


def laplace(T: int, mu: float = 0.0, b: float = 0.5) -> NoiseSchedule:
    """λ(u) = μ - b sgn(½ - u) ln(1 - 2|u - ½|), u = (t + ½)/T. Hang et al. 2024: p(λ) is a Laplace law.

    The half keeps both ends, λ = ±∞, off the grid. diffusers' "laplace" has μ = 0, b = ½ and takes √ of this ᾱ.
    """
    if not 0 < b <= MOST_WIDTH:
        raise ScheduleError(
            f"The Laplace schedule's width b must lie in (0, {MOST_WIDTH:g}]; it is {b:g}. It is the scale of the law "
            "of log-SNR; the paper has 0.5.",
            knob="b",
        )
    if abs(mu) > MOST_CENTRE:
        raise ScheduleError(
            f"The Laplace schedule's centre μ must lie in -{MOST_CENTRE:g} … {MOST_CENTRE:g}; it is {mu:g}. Further "
            "out nearly all timesteps would be pure data, or pure noise.",
            knob="mu",
        )
    u = (torch.arange(T, dtype=torch.float64) + 0.5) / T
    log_snr = mu - b * torch.sign(0.5 - u) * torch.log(1 - 2 * (u - 0.5).abs())
    return from_betas("laplace", betas_of(torch.sigmoid(log_snr)))


def rescale_zero_terminal_snr(schedule: NoiseSchedule) -> NoiseSchedule:
    """Shift and scale √ᾱ so that its last value is 0 and its first stays. Lin et al. 2023, algorithm 1."""
    root = schedule.alphas_cumprod.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * first / (first - last)
    root[-1] = 0.0  # exactly, whatever the rounding
    return from_alphas_cumprod(schedule.name, root.square())


SCHEDULES: dict[str, Callable[..., NoiseSchedule]] = {
    "karras": karras,
    "linear": linear,
    "scaled_linear": scaled_linear,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "quadratic": quadratic,
    "flow": flow,
    "laplace": laplace,
}


def check_timesteps(timesteps: int) -> None:
    """Raise ScheduleError unless a table may have so many timesteps."""
    if not 2 <= timesteps <= MAX_TIMESTEPS:
        raise ScheduleError(
            f"The number of timesteps T must lie in 2 … {MAX_TIMESTEPS}; it is {timesteps}. A step leads from one "
            "timestep to the next, so there are at least two.",
            knob="timesteps",
        )


def make_schedule(
    name: str, timesteps: int = 1000, *, rescale_betas_zero_snr: bool = False, **knobs: float
) -> NoiseSchedule:
    """The named schedule over `timesteps` steps; `knobs` as in the schedule's own function.

    Raises ScheduleError for an unknown name or knob, T outside 2 … 4000, or values without a valid table.
    """
    if name not in SCHEDULES:
        raise ScheduleError(f"Unknown schedule {name!r}. Choose one of: {', '.join(SCHEDULES)}.", knob="name")
    check_timesteps(timesteps)
    known = inspect.signature(SCHEDULES[name]).parameters
    for knob, value in knobs.items():
        if knob not in known or knob == "T":
            raise ScheduleError(f"The {name} schedule has no such knob: {knob}.", knob=knob)
        if not math.isfinite(value):
            raise ScheduleError(f"{knob} must be a finite number.", knob=knob)
        if knob.startswith("beta") and not 0 < value < 1:
            raise ScheduleError(
                f"{knob} must lie between 0 and 1; it is {value:g}. β is the share of the variance replaced in one "
                "step.",
                knob=knob,
            )
    schedule = SCHEDULES[name](timesteps, **knobs)
    return rescale_zero_terminal_snr(schedule) if rescale_betas_zero_snr else schedule
