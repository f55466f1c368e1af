"""What the playground knows of a kind of schedule: the shape of a row of SCHEDULES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from playground.diffusion.noise_schedule import NoiseSchedule


@dataclass(frozen=True)
class ScheduleKnob:
    """One knob of a schedule. `low` … `high` is where its slider goes; what is refused, `make` says."""

    field: str
    label: str
    default: float  # the paper's
    low: float
    high: float
    step: float
    help: str
    log: bool = False  # a slider along the logarithm


@dataclass(frozen=True)
class Schedule:
    """A kind of schedule.

    `make(T, **knobs)` is its table, or `make(T, knots)` where it is given by the points that a curve goes through.
    `formula`: NumPy lines for exported code that compute `betas` (T,) or `alphas_cumprod` (T,) from `T`; the knobs are
    filled in as `{knob!r}`, and `knots` is a list of pairs.
    """

    title: str
    paper: str
    make: Callable[..., NoiseSchedule]
    formula: str
    knobs: tuple[ScheduleKnob, ...] = ()
    beta_schedule: str = ""  # its name in those classes of diffusers that know it, with the paper's knobs but for β
    clipped: bool = True  # whether `make` holds β within [MIN_BETA, MAX_BETA]
    knots_from: Literal["", "hand", "data"] = ""  # who makes the points, where it is given by them
    lost: str = ""  # what diffusers' schedulers cannot do with it, in a sentence

    @property
    def by_knots(self) -> bool:
        """Whether points of a curve make it, not knobs."""
        return self.knots_from != ""
