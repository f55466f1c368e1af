"""A noise schedule as a visitor asks for it: one frozen, hashable record of its name and knobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playground.diffusion.knot_schedules import Knots
from playground.diffusion.noise_schedule import (
    MAX_TIMESTEPS,
    NoiseSchedule,
    ScheduleError,
    check_timesteps,
    rescale_zero_terminal_snr,
)
from playground.diffusion.schedule_row import Schedule, ScheduleKnob
from playground.diffusion.schedules import DEFAULT_SCHEDULE, SCHEDULES

MAX_KNOTS = 512
USUAL_TIMESTEPS = 1000
SCHEDULE_FIELDS = ("name", "timesteps", "rescale_betas_zero_snr", "knots")  # of a table, beside the row's knobs


@dataclass(frozen=True, init=False)
class ScheduleConfig:
    """What to make a NoiseSchedule of: `ScheduleConfig("cosine", 500, s=0.01)`.

    A knob that is not set, or None, stands for the paper's value. One that this schedule lacks and another has counts
    nothing, so that a name can be replaced alone. Raises ScheduleError, its `knob` the field at fault, for a name, knob
    or type that cannot be; `make` for values.
    """

    name: str  # of a row of SCHEDULES
    timesteps: int  # T
    rescale_betas_zero_snr: bool
    values: tuple[tuple[str, float], ...]  # of the row's knobs, those that differ from the paper's
    knots: Knots  # of a row given by them: (u, value), u = t/(T-1) in [0, 1]

    def __init__(
        self,
        name: str = DEFAULT_SCHEDULE,
        timesteps: int = USUAL_TIMESTEPS,
        rescale_betas_zero_snr: bool = False,
        *,
        values: tuple[tuple[str, float], ...] = (),
        knots: Any = (),
        **knobs: Any,
    ) -> None:
        if not isinstance(name, str) or name not in SCHEDULES:
            raise ScheduleError(f"There is no such schedule. Choose one of: {', '.join(SCHEDULES)}.", knob="name")
        if not isinstance(timesteps, int) or not _is_number(timesteps):
            raise ScheduleError(
                f"The number of timesteps T is a whole number in 2 … {MAX_TIMESTEPS}.", knob="timesteps"
            )
        if not isinstance(rescale_betas_zero_snr, bool):
            raise ScheduleError("Zero terminal SNR is true or false.", knob="rescale_betas_zero_snr")
        for field, value in {
            "name": name,
            "timesteps": timesteps,
            "rescale_betas_zero_snr": rescale_betas_zero_snr,
        }.items():
            object.__setattr__(self, field, value)
        object.__setattr__(self, "values", _values(name, dict(values) | knobs))
        object.__setattr__(self, "knots", _knots(knots))  # hashable, whatever it came as

    @property
    def row(self) -> Schedule:
        """What SCHEDULES says of this kind of schedule."""
        return SCHEDULES[self.name]

    def knobs(self) -> dict[str, float]:
        """The schedule's own knobs with their values, the paper's where none was set."""
        return {knob.field: knob.default for knob in self.row.knobs} | dict(self.values)

    def make(self) -> NoiseSchedule:
        """The schedule's table. Raises ScheduleError with `knob`."""
        check_timesteps(self.timesteps)
        for field, value in self.values:
            if field.startswith("beta") and not 0 < value < 1:
                raise ScheduleError(
                    f"{field} must lie between 0 and 1; it is {value:g}. β is the share of the variance replaced in "
                    "one step.",
                    knob=field,
                )
        by_knots = self.row.by_knots
        schedule = (
            self.row.make(self.timesteps, self.knots) if by_knots else self.row.make(self.timesteps, **self.knobs())
        )
        return rescale_zero_terminal_snr(schedule) if self.rescale_betas_zero_snr else schedule

    @property
    def title(self) -> str:
        """Words for a person, for example "cosine, s = 0.008"; T where it is not 1,000."""
        words, knobs = [self.row.title], self.knobs()
        if knobs.keys() == {"beta_start", "beta_end"}:
            words.append("β {beta_start:g} → {beta_end:g}".format(**knobs))
        else:
            words += [f"{knob.label.split()[-1]} = {knobs[knob.field]:g}" for knob in self.row.knobs]
        if self.timesteps != USUAL_TIMESTEPS:
            words.append(f"T = {self.timesteps}")
        if self.rescale_betas_zero_snr:
            words.append("zero terminal SNR")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, words and lists: the name, and what differs from the default."""
        table: dict[str, Any] = {"name": self.name}
        if self.timesteps != USUAL_TIMESTEPS:
            table["timesteps"] = self.timesteps
        if self.rescale_betas_zero_snr:
            table["rescale_betas_zero_snr"] = True
        table |= self.values
        if self.knots:
            table["knots"] = [list(knot) for knot in self.knots]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> ScheduleConfig:
        """The inverse of `to_dict`, for what comes from a browser, link or file. Raises ScheduleError with `knob`."""
        if not isinstance(values, dict) or "name" not in values or not all(isinstance(key, str) for key in values):
            raise ScheduleError("This is no schedule: it needs a name and knobs.", knob="name")
        if unknown := values.keys() - {*SCHEDULE_FIELDS, *knob_fields()}:
            raise ScheduleError(f"A schedule has no such knob: {', '.join(unknown)[:80]}.", knob="name")
        return cls(**values)


def knob_fields() -> dict[str, list[ScheduleKnob]]:
    """All knobs that some schedule has, by field."""
    fields: dict[str, list[ScheduleKnob]] = {}
    for row in SCHEDULES.values():
        for knob in row.knobs:
            fields.setdefault(knob.field, []).append(knob)
    return fields


def _values(name: str, asked: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """Those of the `asked` values that are the row's own and not the paper's, in the row's order."""
    if unknown := asked.keys() - knob_fields().keys():
        raise ScheduleError(f"A schedule has no such knob: {', '.join(map(str, unknown))[:80]}.", knob="name")
    for field, value in asked.items():
        if value is not None and not _is_number(value):
            raise ScheduleError(f"{field} must be a finite number.", knob=field)
    return tuple(
        (knob.field, float(asked[knob.field]))
        for knob in SCHEDULES[name].knobs
        if asked.get(knob.field) is not None and asked[knob.field] != knob.default
    )


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
