"""Schedules given by a few points that straight lines join: one drawn by hand (ᾱ), one learned (log-SNR)."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule, ScheduleError, betas_of, from_betas

Knots = tuple[tuple[float, float], ...]  # (u, value), u = t/(T-1) rising in [0, 1]

LEAST_DRAWN = 1e-5  # a drawn ᾱ is lifted to this: after 0 every β would be 0/0. Exactly 0 is zero terminal SNR's
LEAST_FALL = 0.05  # a drawn ᾱ that falls by less is a flat line
MOST_LOG_SNR = 20.0  # |λ| of knots: at 20, σ or α is 5e-5


def drawn(T: int, knots: Knots) -> NoiseSchedule:
    """ᾱ by straight lines through `knots` (u, ᾱ), u = t/(T-1), and β of it clipped to [MIN_BETA, MAX_BETA].

    Raises ScheduleError where the knots rise, lie outside [0, 1]² or are fewer than two.
    """
    _check_knots(knots, 0.0, 1.0, "ᾱ")
    if knots[0][1] - knots[-1][1] < LEAST_FALL:
        raise ScheduleError(
            f"The drawn curve falls by {knots[0][1] - knots[-1][1]:.2f} only: nothing would turn into noise. Draw ᾱ "
            "from the top left to the bottom right.",
            knob="knots",
        )
    return from_betas("drawn", drawn_betas(T, knots))


def drawn_betas(T: int, knots: Knots) -> Tensor:
    """(T,) β of the drawn ᾱ before clipping."""
    return betas_of(_through(T, knots).clamp_min(LEAST_DRAWN))


def from_log_snr(T: int, knots: Knots) -> NoiseSchedule:
    """λ = log-SNR by straight lines through `knots` (u, λ), u = t/(T-1); what a learned schedule is kept as.

    Raises ScheduleError where λ does not fall throughout, leaves ±MOST_LOG_SNR, or fewer than two knots are there.
    """
    _check_knots(knots, -MOST_LOG_SNR, MOST_LOG_SNR, "log-SNR")
    log_snr = _through(T, knots)
    if (log_snr.diff() >= 0).any():
        raise ScheduleError(
            "The log-SNR must fall at every timestep; this one stands still. Learn it again.", knob="knots"
        )
    return NoiseSchedule("learned", torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt())


def _check_knots(knots: Knots, low: float, high: float, what: str) -> None:
    if len(knots) < 2:
        raise ScheduleError(f"There is no curve yet: {what} needs at least two points.", knob="knots")
    for (u, value), (later, below) in itertools.pairwise(knots):
        if not (0 <= u < later <= 1 and low <= value <= high and low <= below <= high):
            raise ScheduleError(
                f"The curve's points must go from left to right, {what} in {low:g} … {high:g}.", knob="knots"
            )
        if below > value:
            raise ScheduleError(
                f"{what} rises from {value:.3g} to {below:.3g} at {later:.0%} of the way. Noise only grows: draw a "
                "curve that falls.",
                knob="knots",
            )


def _through(T: int, knots: Knots) -> Tensor:
    u, values = zip(*knots, strict=True)
    return torch.from_numpy(np.interp(np.linspace(0, 1, T), u, values))
