"""The knobs of every kind of schedule as controls: those of the chosen one are seen, the others wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from playground.diffusion.knobs import LARGEST
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedule_row import ScheduleKnob
from playground.diffusion.schedules import SCHEDULES
from playground.toy import LabError
from playground.ui.shared.knobs import Choices, Control, Knob
from playground.ui.shared.notices import QUIET

NAME, TIMESTEPS, ZERO_TERMINAL_SNR = "schedule.name", "schedule.timesteps", "schedule.rescale_betas_zero_snr"


def schedule_choices() -> Choices:
    """All kinds of schedule; one that needs a curve says where it comes from."""
    return tuple(
        (f"{row.title} (from Schedules)" if row.by_knots else row.title, name) for name, row in SCHEDULES.items()
    )


@dataclass(frozen=True)
class RowKnob(Knob):
    """A knob of one kind of schedule, `row`. Two kinds with a knob of one name have a control each: their papers differ
    in its value.
    """

    row: str = ""
    spec: ScheduleKnob | None = None

    def component(self, config: Any) -> Control:
        """A slider, or a number where the knob goes by orders of magnitude."""
        shared: dict[str, Any] = {
            "label": self.label,
            "info": self.info,
            "value": self.value(config),
            "visible": self.applies(config),
        }
        spec = self._spec
        if spec.log:
            return gr.Number(minimum=spec.low, maximum=spec.high, step=spec.step, **shared)
        return gr.Slider(spec.low, spec.high, step=spec.step, buttons=[], **shared)

    @property
    def _spec(self) -> ScheduleKnob:
        assert self.spec is not None
        return self.spec

    def applies(self, config: Any) -> bool:
        """Whether this kind of schedule is chosen."""
        return bool(config.schedule.name == self.row)

    def value(self, config: Any) -> Any:
        """What `config` says, or the paper's value while another kind is chosen."""
        schedule: ScheduleConfig = config.schedule
        return schedule.knobs()[self._spec.field] if schedule.name == self.row else self._spec.default

    def changes(self, value: Any) -> dict[str, Any]:
        """A visitor's value as a change of the schedule. Raises LabError."""
        return {f"schedule.{self._spec.field}": self.clean(value)}

    def clean(self, value: Any) -> float:
        """A finite number; what the schedule itself refuses, it says. Raises LabError."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
            raise LabError(f"{self.label}: give a number from {self._spec.low:g} to {self._spec.high:g}.")
        return float(value)


def row_knobs() -> tuple[RowKnob, ...]:
    """The knobs of all kinds of schedule."""
    return tuple(
        RowKnob(f"schedule.{name}.{spec.field}", spec.label, spec.help, more=True, row=name, spec=spec)
        for name, row in SCHEDULES.items()
        for spec in row.knobs
    )


def show_chosen(controls: Mapping[str, Any]) -> None:
    """Let the menu of schedules show the knobs of the chosen kind, whoever chose it."""
    knobs = row_knobs()

    def chosen(name: Any) -> list[Any]:
        return [gr.update(visible=knob.row == name) for knob in knobs]

    controls[NAME].change(
        chosen, [controls[NAME]], [controls[knob.path] for knob in knobs], preprocess=False, queue=False, **QUIET
    )


def schedule_of(said: dict[str, Any], curve: Any) -> ScheduleConfig:
    """The schedule that the controls of a tab say: `said`, taken out of it, is what they say by their paths; `curve` is
    the last schedule that was brought from the Schedules tab, as JSON, for a kind that needs a curve. Raises
    ScheduleError, and LabError.
    """
    name = said.pop(NAME)
    values = {knob.spec.field: said.pop(knob.path) for knob in row_knobs() if knob.row == name and knob.spec}
    for knob in row_knobs():
        said.pop(knob.path, None)
    timesteps, zero = said.pop(TIMESTEPS), said.pop(ZERO_TERMINAL_SNR)
    knots: Any = ()
    if SCHEDULES[name].by_knots:
        try:
            brought = ScheduleConfig.from_dict(json.loads(curve)) if curve else None
        except (TypeError, ValueError, RecursionError) as error:
            raise LabError("The brought schedule cannot be read. Carry it over once more.") from error
        knots = brought.knots if brought and brought.name == name else ()
    return ScheduleConfig(name, timesteps, zero, knots=knots, **values)
