"""SCHEDULES: one row for each kind of noise schedule. Every tab reads the rows, and nothing else knows their names.

A row's function returns its table over T steps; the paper stands beside it.
"""

from __future__ import annotations

import math

import torch

from playground.diffusion.knot_schedules import drawn, from_log_snr
from playground.diffusion.noise_schedule import (
    NoiseSchedule,
    ScheduleError,
    betas_of,
    from_alphas_cumprod,
    from_betas,
)
from playground.diffusion.schedule_row import Schedule, ScheduleKnob

LEAST_SIGMA = 1e-3  # Karras' σ_min, and 1/σ_max: √MIN_BETA
LEAST_RHO, MOST_RHO = 0.1, 100.0  # outside of it σ^(1/ρ) overflows, or all of them are 1
MOST_WIDTH, MOST_CENTRE = 4.0, 10.0  # Laplace's b and μ: at T = 4000 λ then stays within ±44


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


def _betas(start: float, end: float) -> tuple[ScheduleKnob, ...]:
    first, last = "The share of noise that the first step adds.", "The share of noise that the last step adds."
    return (
        ScheduleKnob("beta_start", "β_start", start, 1e-6, 0.1, 1e-6, first, log=True),
        ScheduleKnob("beta_end", "β_end", end, 1e-4, 0.5, 1e-4, last, log=True),
    )


SCHEDULES: dict[str, Schedule] = {
    "karras": Schedule(
        "EDM / Karras",
        "Karras et al. 2022",
        karras,
        """\
        low, high = {sigma_min!r} ** (1 / {rho!r}), {sigma_max!r} ** (1 / {rho!r})
        sigma = (low + np.linspace(0, 1, T) * (high - low)) ** {rho!r}
        alphas_cumprod = 1 / (1 + sigma**2)""",
        (
            ScheduleKnob(
                "sigma_min", "σ_min", 0.004, 0.001, 1.0, 0.001, "The least noise, relative to the signal.", log=True
            ),
            ScheduleKnob(
                "sigma_max", "σ_max", 20.0, 1.0, 200.0, 0.1, "The most noise, relative to the signal.", log=True
            ),
            ScheduleKnob(
                "rho", "ρ", 7.0, 0.5, 20.0, 0.1, "1 spaces σ evenly; more spends more timesteps on little noise."
            ),
        ),
        clipped=False,
    ),
    "linear": Schedule(
        "linear",
        "Ho et al. 2020",
        linear,
        "betas = np.linspace({beta_start!r}, {beta_end!r}, T)",
        _betas(1e-4, 0.02),
        beta_schedule="linear",
    ),
    "scaled_linear": Schedule(
        "scaled linear",
        "Rombach et al. 2022",
        scaled_linear,
        "betas = np.linspace({beta_start!r} ** 0.5, {beta_end!r} ** 0.5, T) ** 2",
        _betas(0.00085, 0.012),
        beta_schedule="scaled_linear",
    ),
    "cosine": Schedule(
        "cosine",
        "Nichol & Dhariwal 2021",
        cosine,
        """\
        u = np.arange(T + 1) / T
        f = np.cos((u + {s!r}) / (1 + {s!r}) * np.pi / 2) ** 2
        betas = 1 - f[1:] / f[:-1]""",
        (
            ScheduleKnob(
                "s", "offset s", 0.008, 0.0, 0.5, 0.001, "More makes the first steps less timid (the paper: 0.008)."
            ),
        ),
        beta_schedule="squaredcos_cap_v2",
    ),
    "sigmoid": Schedule(
        "sigmoid",
        "Xu et al. 2022",
        sigmoid,
        "betas = {beta_start!r} + ({beta_end!r} - {beta_start!r}) / (1 + np.exp(-np.linspace(-6, 6, T)))",
        _betas(1e-4, 0.02),
        beta_schedule="sigmoid",
    ),
    "quadratic": Schedule(
        "quadratic",
        "Ho et al. 2020, in the released code",
        quadratic,
        "betas = {beta_start!r} + ({beta_end!r} - {beta_start!r}) * np.linspace(0, 1, T) ** 2",
        _betas(1e-4, 0.02),
    ),
    "flow": Schedule(
        "flow (straight line)",
        "Lipman et al. 2023; Liu et al. 2023",
        flow,
        """\
        u = (np.arange(T) + 0.5) / T  # x_t = (1 - u) x_0 + u eps, divided by the root of (1 - u)^2 + u^2
        alphas_cumprod = (1 - u) ** 2 / ((1 - u) ** 2 + u**2)""",
        clipped=False,
        lost="The flow's x_t is divided by √(α² + σ²): these classes know α² + σ² = 1 only.",
    ),
    "laplace": Schedule(
        "Laplace",
        "Hang et al. 2024",
        laplace,
        """\
        u = (np.arange(T) + 0.5) / T
        log_snr = {mu!r} - {b!r} * np.sign(0.5 - u) * np.log(1 - 2 * np.abs(u - 0.5))
        alphas_cumprod = 1 / (1 + np.exp(-log_snr))""",
        (
            ScheduleKnob("mu", "centre μ", 0.0, -6.0, 6.0, 0.1, "The log-SNR that training sees most often."),
            ScheduleKnob(
                "b", "width b", 0.5, 0.05, 4.0, 0.05, "How far from μ training strays: p(λ) ∝ e^(-|λ - μ|/b)."
            ),
        ),
    ),
    "drawn": Schedule(
        "drawn",
        "by hand",
        drawn,
        "alphas_cumprod = np.interp(np.linspace(0, 1, T), *np.array(knots).T).clip(1e-5)",
        knots_from="hand",
    ),
    "learned": Schedule(
        "learned",
        "Kingma et al. 2021",
        from_log_snr,
        """\
        log_snr = np.interp(np.linspace(0, 1, T), *np.array(knots).T)
        alphas_cumprod = 1 / (1 + np.exp(-log_snr))""",
        clipped=False,
        knots_from="data",
    ),
}
DEFAULT_SCHEDULE = "linear"


def by_formula() -> dict[str, Schedule]:
    """The rows that knobs alone make; the others need a curve."""
    return {name: row for name, row in SCHEDULES.items() if not row.by_knots}


def by_curve(knots_from: str) -> str:
    """The name of the row whose curve comes from there."""
    return next(name for name, row in SCHEDULES.items() if row.knots_from == knots_from)
