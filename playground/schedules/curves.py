"""The curves of a noise schedule: what the tab draws, and what is exported as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import error_in_x0
from playground.diffusion.schedule_config import ScheduleConfig


@dataclass(frozen=True)
class Curve:
    """One table over t, and how to draw it."""

    title: str
    symbol: str
    log: bool  # on a logarithmic axis
    help: str
    unit: str = "1"


CURVES: dict[str, Curve] = {
    "beta": Curve("share of noise added", "β", False, "How much of the variance one step replaces by noise."),
    "kept": Curve("share kept", "1 - β", False, "What one step leaves of the variance: α_t of Ho et al. 2020."),
    "alphas_cumprod": Curve("signal left", "ᾱ", False, "The share of x_t's variance that is still signal."),
    "step_noise": Curve("noise of one step", "√β", True, "The standard deviation of the noise that one step adds."),
    "snr": Curve("signal-to-noise ratio", "SNR", True, "ᾱ / (1 - ᾱ): signal variance over noise variance."),
    "log_snr": Curve("log-SNR", "λ", False, "ln SNR: 0 is as much signal as noise.", "nat"),
    "posterior_variance": Curve(
        "posterior variance",
        "β̃",
        False,
        "The variance of x_{t-1} given x_t and x_0; below β, and close to it.",
    ),
    "weight_noise": Curve(
        "loss weight of ε", "w(ε)", True, "A plain squared error on ε̂ counts an error of x̂0 so often: SNR."
    ),
    "weight_x0": Curve(
        "loss weight of x0", "w(x0)", True, "A plain squared error on x̂0 counts each of its errors once."
    ),
    "weight_v": Curve(
        "loss weight of v", "w(v)", True, "A plain squared error on v̂ counts an error of x̂0 so often: SNR + 1."
    ),
    "density": Curve(
        "seen in training", "p(λ)", False, "How often uniform t lands near this log-SNR: |dt/dλ| / T.", "1/nat"
    ),
}


def curves(schedule: NoiseSchedule) -> dict[str, Tensor]:
    """Every curve of CURVES, (T,) float64.

    The loss weights are all in terms of one thing, the error of x̂0, for the variance-preserving pair that training uses
    (Salimans & Ho 2022, §4). At zero terminal SNR log_snr ends in -inf, and the density, there a spike of 1/T, in NaN.
    """
    alpha, sigma = schedule.alphas_cumprod.sqrt(), (1 - schedule.alphas_cumprod).sqrt()
    seen = density(schedule)[1]
    return {
        "beta": schedule.betas,
        "kept": 1 - schedule.betas,
        "alphas_cumprod": schedule.alphas_cumprod,
        "step_noise": schedule.betas.sqrt(),
        "snr": schedule.snr,
        "log_snr": schedule.log_snr,
        "posterior_variance": schedule.posterior_variance,
        "weight_noise": torch.as_tensor(error_in_x0("noise", alpha, sigma)),
        "weight_x0": torch.as_tensor(error_in_x0("x0", alpha, sigma)),
        "weight_v": torch.as_tensor(error_in_x0("v", alpha, sigma)),
        "density": torch.cat([seen, torch.full((len(schedule) - len(seen),), math.nan, dtype=torch.float64)]),
    }


def density(schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
    """(λ, p): the finite log-SNRs, falling, and the density of log-SNR at each when t is drawn uniformly.

    p = |dt/dλ| / T, by central differences; Kingma & Gao 2023, §2. Each timestep's cell holds 1/T, so p integrates to
    1, or to 1 - 1/T where the terminal SNR is zero.
    """
    log_snr = schedule.log_snr[schedule.log_snr.isfinite()]
    if len(log_snr) < 2:  # T = 2 with zero terminal SNR: one level, and a law with no width
        return log_snr, torch.full_like(log_snr, math.nan)
    slope = torch.gradient(log_snr)[0]  # dλ/dt
    return log_snr, 1 / (-slope * len(schedule))


def to_csv(configs: Iterable[ScheduleConfig]) -> str:
    """One row for each schedule and timestep, a header with the units; floats in full, infinities as inf and -inf."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["schedule", "T", "t [step]", *(f"{name} [{curve.unit}]" for name, curve in CURVES.items())])
    for config in configs:
        tables = curves(config.make())
        for t, row in enumerate(zip(*(tables[name].tolist() for name in CURVES), strict=True)):
            writer.writerow([config.title, config.timesteps, t, *row])
    return out.getvalue()


def to_json(configs: Iterable[ScheduleConfig]) -> str:
    """The same as one JSON object: `config` makes the schedule again; what is no finite number is null."""
    schedules = [
        {
            "title": config.title,
            "config": config.to_dict(),
            "T": config.timesteps,
            "curves": {
                name: [value if math.isfinite(value) else None for value in table.tolist()]
                for name, table in curves(config.make()).items()
            },
        }
        for config in configs
    ]
    about = {name: {"title": c.title, "symbol": c.symbol, "unit": c.unit, "help": c.help} for name, c in CURVES.items()}
    return json.dumps({"curves": about, "schedules": schedules}, ensure_ascii=False, allow_nan=False)
