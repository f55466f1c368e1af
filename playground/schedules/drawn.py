"""Turns a curve drawn with the mouse into a noise schedule: makes it fall, and says what was changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from playground.diffusion.knot_schedules import LEAST_FALL, Knots, drawn_betas
from playground.diffusion.noise_schedule import MAX_BETA, MIN_BETA, ScheduleError

GRID = 100  # a drawn curve is kept at u = 0, 0.01, … 1: finer than a hand draws, and short enough for a URL
MAX_POINTS = 20_000  # a mouse that reports every millisecond, for 20 s
TOUCHED = 0.005  # a smaller change cannot be seen on a stage of some hundred pixels


def knots_from_stroke(points: Sequence[Sequence[float]], timesteps: int = 1000) -> tuple[Knots, str]:
    """The falling curve nearest to the drawn `points`, (u, ᾱ) in any order; and in words what was changed.

    `timesteps` T matters only for what is said about β. Raises ScheduleError, knob "knots", where the curve does not
    fall, or is no curve.
    """
    stroke = _stroke(points)
    inside = stroke.clip(0, 1)
    u, alphas_cumprod, often = _one_value_each(inside)
    fallen = falling(alphas_cumprod, often)
    if len(u) < 2:
        raise ScheduleError("That is a dot, or a line straight down. Draw ᾱ from left to right.", knob="knots")
    if fallen[0] - fallen[-1] < LEAST_FALL:
        raise ScheduleError(
            "The curve that you drew rises or stays level, so no noise would be added. Draw ᾱ from the top "
            "left (all data) to the bottom right (all noise).",
            knob="knots",
        )
    words = []
    if (np.abs(stroke - inside) > TOUCHED).any():
        words.append("The parts outside the frame were moved to its edge.")
    if (lifted := np.abs(fallen - alphas_cumprod).max()) > TOUCHED:
        words.append(f"ᾱ can only fall: where the curve rose it was levelled, by up to {lifted:.2f}.")
    if u[0] > 0:
        words.append(f"The first {u[0]:.0%}, which you left out, starts at ᾱ = 1, all data.")
        u, fallen = np.append(0.0, u), np.append(1.0, fallen)
    if u[-1] < 1:
        words.append(f"The last {1 - u[-1]:.0%}, which you left out, ends at ᾱ = 0, all noise.")
        u, fallen = np.append(u, 1.0), np.append(fallen, 0.0)
    grid = np.linspace(0, 1, GRID + 1)
    heights = np.interp(grid, u, fallen)
    knots = tuple((round(k, 2), round(v, 4)) for k, v in zip(grid.tolist(), heights.tolist(), strict=True))
    words.append(clipping(timesteps, knots))
    return knots, " ".join(filter(None, words))


def falling(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The falling sequence nearest to `values` (n,) in squares weighted by `weights`.

    Pool adjacent violators (Ayer et al. 1955): neighbours in the wrong order become their mean, until none are.
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] < block[0]:
            mean, before, count = blocks.pop()
            both = before + block[1]
            block = ((mean * before + block[0] * block[1]) / both, both, count + block[2])
        blocks.append(block)
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


def clipping(timesteps: int, knots: Knots) -> str:
    """In words at how many of `timesteps` T the drawn curve's β had to be clipped; "" if at none."""
    betas = drawn_betas(timesteps, knots)[1:]  # without the first: a curve may well start at ᾱ = 1
    level, steep = int((betas < MIN_BETA).sum()), int((betas > MAX_BETA).sum())
    words = []
    if level:
        words.append(f"raised to {MIN_BETA:g} at {level:,} of {timesteps:,} timesteps, where the curve is level")
    if steep:
        words.append(f"lowered to {MAX_BETA:g} at {steep:,}, where it falls at once")
    return f"β must lie between 0 and 1: it was {' and '.join(words)}." if words else ""


def _stroke(points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The points (n, 2), from left to right."""
    if len(points) > MAX_POINTS:
        raise ScheduleError(f"That is a curve of more than {MAX_POINTS:,} points. Draw a shorter one.", knob="knots")
    try:
        stroke = np.array(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScheduleError("A curve is a list of pairs of numbers.", knob="knots") from error
    if len(stroke) == 0 or stroke.shape != (len(stroke), 2) or not np.isfinite(stroke).all():
        raise ScheduleError("There is no curve yet. Draw ᾱ from the top left to the bottom right.", knob="knots")
    return stroke[np.argsort(stroke[:, 0], kind="stable")]


def _one_value_each(
    stroke: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Each u once, with the mean of the ᾱ drawn there and their number: the hand may go back."""
    u, where, often = np.unique(stroke[:, 0], return_inverse=True, return_counts=True)
    return u, np.bincount(where, weights=stroke[:, 1]) / often, often.astype(np.float64)
