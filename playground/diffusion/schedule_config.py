"""A noise schedule as a visitor asks for it: one frozen, hashable record of its name and knobs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from playground.diffusion.knot_schedules import Knots, drawn, from_log_snr
from playground.diffusion.schedules import (
    MAX_TIMESTEPS,
    SCHEDULES,
    NoiseSchedule,
    ScheduleError,
    check_timesteps,
    make_schedule,
    rescale_zero_terminal_snr,
)

MAX_KNOTS = 512
CUSTOM = "custom"  # a lab's schedule that is none of its own: the ScheduleConfig that it was handed
BY_KNOTS = {"drawn": drawn, "learned": from_log_snr}

TITLES: dict[str, str] = {
    "linear": "linear",
    "scaled_linear": "scaled linear",
    "cosine": "cosine",
    "sigmoid": "sigmoid",
    "quadratic": "quadratic",
    "laplace": "Laplace",
    "karras": "EDM / Karras",
    "flow": "flow (straight line)",
    "drawn": "drawn",
    "learned": "learned",
}


@dataclass(frozen=True)
class KnobSpec:
    """One knob of a schedule's card. `low` … `high` is where its slider goes; what is refused, `make` says."""

    field: str
    label: str
    default: float
    low: float
    high: float
    step: float
    help: str
    log: bool = False  # a slider along the logarithm


def _betas(start: float, end: float) -> tuple[KnobSpec, ...]:
    return (
        KnobSpec("beta_start", "β_start", start, 1e-6, 0.1, 1e-6, "The share of noise that the first step adds.", True),
        KnobSpec("beta_end", "β_end", end, 1e-4, 0.5, 1e-4, "The share of noise that the last step adds.", True),
    )


KNOBS_OF: dict[str, tuple[KnobSpec, ...]] = {
    "linear": _betas(1e-4, 0.02),
    "scaled_linear": _betas(0.00085, 0.012),
    "cosine": (
        KnobSpec("s", "offset s", 0.008, 0.0, 0.5, 0.001, "More makes the first steps less timid (the paper: 0.008)."),
    ),
    "sigmoid": _betas(1e-4, 0.02),
    "quadratic": _betas(1e-4, 0.02),
    "laplace": (
        KnobSpec("mu", "centre μ", 0.0, -6.0, 6.0, 0.1, "The log-SNR that training sees most often."),
        KnobSpec("b", "width b", 0.5, 0.05, 4.0, 0.05, "How far from μ training strays: p(λ) ∝ e^(-|λ - μ|/b)."),
    ),
    "karras": (
        KnobSpec("sigma_min", "σ_min", 0.004, 0.001, 1.0, 0.001, "The least noise, relative to the signal.", True),
        KnobSpec("sigma_max", "σ_max", 20.0, 1.0, 200.0, 0.1, "The most noise, relative to the signal.", True),
        KnobSpec("rho", "ρ", 7.0, 0.5, 20.0, 0.1, "1 spaces σ evenly; more spends more timesteps on little noise."),
    ),
    "flow": (),
    "drawn": (),
    "learned": (),
}

NUMBERS = ("beta_start", "beta_end", "s", "sigma_min", "sigma_max", "rho", "mu", "b")


@dataclass(frozen=True)
class ScheduleConfig:
    """What to make a NoiseSchedule of. None stands for the paper's value; knobs that the schedule lacks count nothing.

    Raises ScheduleError, its `knob` the field at fault, for a name or type that cannot be; `make` for values.
    """

    name: str = "linear"  # one of SCHEDULES, "drawn" or "learned"
    timesteps: int = 1000  # T
    rescale_betas_zero_snr: bool = False
    beta_start: float | None = None
    beta_end: float | None = None
    s: float | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float | None = None
    mu: float | None = None
    b: float | None = None
    knots: Knots = ()  # drawn: (u, ᾱ); learned: (u, log-SNR); u = t/(T-1) in [0, 1]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in TITLES:
            raise ScheduleError(f"There is no such schedule. Choose one of: {', '.join(TITLES)}.", knob="name")
        if not isinstance(self.timesteps, int) or not _is_number(self.timesteps):
            raise ScheduleError(
                f"The number of timesteps T is a whole number in 2 … {MAX_TIMESTEPS}.", knob="timesteps"
            )
        if not isinstance(self.rescale_betas_zero_snr, bool):
            raise ScheduleError("Zero terminal SNR is true or false.", knob="rescale_betas_zero_snr")
        for field in NUMBERS:
            value = getattr(self, field)
            if value is not None and not _is_number(value):
                raise ScheduleError(f"{field} must be a finite number.", knob=field)
        object.__setattr__(self, "knots", _knots(self.knots))  # hashable, whatever it came as

    def knobs(self) -> dict[str, float]:
        """The named schedule's own knobs with their values, the paper's where none was set."""
        asked = {spec.field: getattr(self, spec.field) for spec in KNOBS_OF[self.name]}
        return {spec.field: spec.default for spec in KNOBS_OF[self.name]} | {
            field: value for field, value in asked.items() if value is not None
        }

    def make(self) -> NoiseSchedule:
        """The schedule's table. Raises ScheduleError with `knob`."""
        check_timesteps(self.timesteps)
        if self.name in SCHEDULES:
            zero = self.rescale_betas_zero_snr
            return make_schedule(self.name, self.timesteps, rescale_betas_zero_snr=zero, **self.knobs())
        schedule = BY_KNOTS[self.name](self.timesteps, self.knots)
        return rescale_zero_terminal_snr(schedule) if self.rescale_betas_zero_snr else schedule

    @property
    def title(self) -> str:
        """Words for a person, for example "cosine, s = 0.008"; T where it is not 1,000."""
        words = [TITLES[self.name]]
        if self.knobs().keys() == {"beta_start", "beta_end"}:
            words.append("β {beta_start:g} → {beta_end:g}".format(**self.knobs()))
        else:
            words += [f"{spec.label.split()[-1]} = {self.knobs()[spec.field]:g}" for spec in KNOBS_OF[self.name]]
        if self.timesteps != 1000:
            words.append(f"T = {self.timesteps}")
        if self.rescale_betas_zero_snr:
            words.append("zero terminal SNR")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, words and lists: the name, and what differs from the default."""
        changed = {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) != f.default}
        if self.knots:
            changed["knots"] = [list(knot) for knot in self.knots]
        return {"name": self.name} | changed

    @classmethod
    def from_dict(cls, values: Any) -> ScheduleConfig:
        """The inverse of `to_dict`, for what comes from a browser or a link. Raises ScheduleError with `knob`."""
        if not isinstance(values, dict) or "name" not in values:
            raise ScheduleError("This is no schedule: it needs a name and knobs.", knob="name")
        if unknown := values.keys() - {field.name for field in dataclasses.fields(cls)}:
            raise ScheduleError(f"A schedule has no such knob: {', '.join(map(str, unknown))[:80]}.", knob="name")
        return cls(**values)


def brought(values: Any, rescale_betas_zero_snr: bool = False) -> ScheduleConfig:
    """The schedule that a lab was handed as `to_dict`; zero terminal SNR if it, or the lab, asks for that.

    Raises ScheduleError, also where there is none.
    """
    if values is None:
        raise ScheduleError(
            "No schedule was brought here yet. Make one in the Schedules tab and carry it over, or choose another.",
            knob="schedule",
        )
    config = ScheduleConfig.from_dict(values)
    return dataclasses.replace(config, rescale_betas_zero_snr=config.rescale_betas_zero_snr or rescale_betas_zero_snr)


def _is_number(value: Any) -> bool:
    # Compared rather than math.isfinite: a whole number of a thousand digits is no float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e300


def _knots(points: Any) -> Knots:
    """Pairs of finite numbers as tuples. Raises ScheduleError."""
    if not isinstance(points, (list, tuple)) or len(points) > MAX_KNOTS:
        raise ScheduleError(f"A curve is a list of at most {MAX_KNOTS} points.", knob="knots")
    for point in points:
        if not isinstance(point, (list, tuple)) or len(point) != 2 or not all(_is_number(v) for v in point):
            raise ScheduleError("Each of a curve's points is a pair of finite numbers.", knob="knots")
    return tuple((float(u), float(value)) for u, value in points)
