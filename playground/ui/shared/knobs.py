"""What a knob is: which field it sets, how it looks, what it takes and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from playground.diffusion.knobs import LARGEST
from playground.toy import LabError

OWN = "own"
NOTHING = "-"  # stands for None, which a dropdown takes for "nothing chosen"
Choices = tuple[tuple[str, Any], ...]
Control = gr.Dropdown | gr.Slider | gr.Number | gr.Checkbox


@dataclass(frozen=True)
class Knob:
    """`path` names the configuration's field. With `choices` a list, with `limits` (least, most, step) a slider, else
    a checkbox; `info` is the one line that says what turning it does. `more`: among the rarely used.
    """

    path: str
    label: str
    info: str
    choices: Choices = ()
    limits: tuple[float, float, float] | None = None
    more: bool = False

    def component(self, config: Any) -> Control:
        """The control, showing what `config` says."""
        shared: dict[str, Any] = {
            "label": self.label,
            "info": self.info,
            "value": self.value(config),
            "visible": self.applies(config),
        }
        if self.choices:
            return gr.Dropdown(choices=list(self.choices), filterable=False, **shared)
        if self.limits:
            low, high, step = self.limits
            return gr.Slider(low, high, step=step, buttons=[], **shared)
        return gr.Checkbox(**shared)

    def value(self, config: Any) -> Any:
        """What `config` says."""
        if self.path == "dataset" and config.points is not None:
            return OWN
        value: Any = config
        for part in self.path.split("."):
            value = getattr(value, part)
        return NOTHING if value is None else value

    def applies(self, config: Any) -> bool:
        """Whether the control is to be seen with this `config`."""
        return True

    def changes(self, value: Any) -> dict[str, Any]:
        """A visitor's value as a change of the configuration. Raises LabError."""
        return {self.path: self.clean(value)}

    def clean(self, value: Any) -> Any:
        """A visitor's value as the field's own type. Raises LabError."""
        if self.choices:
            for _, choice in self.choices:
                if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                    return None if choice == NOTHING else choice
            raise LabError(f"{self.label}: choose one of the list.")
        if self.limits:
            low, high, step = self.limits
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
                raise LabError(f"{self.label}: give a number from {low:g} to {high:g}.")
            if not low <= value <= high or (step == int(step) and value != int(value)):
                kind = "whole number" if step == int(step) else "number"
                raise LabError(f"{self.label}: give a {kind} from {low:g} to {high:g}.")
            return int(value) if step == int(step) else float(value)
        if not isinstance(value, bool):
            raise LabError(f"{self.label} is on or off.")
        return value
