"""What a sampler's row says: where it comes from, how it is made, what it costs and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.diffusion.sample_path import SampleStep
from playground.refusal import Refusal

KARRAS_SPACING = "karras"
LEAST_STEPS = 2  # on a schedule of ours: "linspace" has both ends


class SamplerError(Refusal):
    """This sampler cannot do what was asked; the message says why and what can."""


def once(steps: int) -> int:
    """A network call a step."""
    return steps


def _first_only(k: int, calls: int) -> int:
    return 1


@dataclass(frozen=True)
class Sampler:
    """One way from noise to data: a scheduler class of diffusers, or a function of our own.

    `walk(denoise, schedule, start, steps, first, generator, **knobs)` yields SampleSteps, as those in langevin.py.
    """

    title: str
    source: str
    class_name: str = ""  # diffusers' scheduler; "" where `walk` is ours
    walk: Callable[..., Iterator[SampleStep]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the class's constructor
    table_options: Mapping[str, Any] = field(default_factory=dict)  # and those where no model's configuration says
    spacings: tuple[str, ...] = ("trailing", "leading", "linspace")  # on a schedule of ours; the first is the default
    knobs: Mapping[str, str] = field(
        default_factory=dict
    )  # fields of SamplingConfig it reads → its own argument's name
    prediction_type: str = "v_prediction"  # what it is fed: v stays finite where α or σ is tiny
    count: Callable[..., int] = once  # network calls of so many steps; of a `walk`, its knobs come along
    history: Callable[[int, int], int] = _first_only  # outputs that enter the update after call k of so many
    forgotten: tuple[int, ...] = ()  # calls whose output counts in the update after them alone
    interpolated: int | None = None  # trial calls stand between two levels: how far off in `sigmas_interpol`
    order: int = 0  # p, where the error falls with calls^-p once steps are short; 0 where nothing so simple holds
    stochastic: bool = False
    zero_terminal_snr: bool = True  # can it start where no signal is left?
    arrives: bool = True  # does it end at data?
    fewest_steps: int = LEAST_STEPS  # of a pipeline; where it is 1, the class puts a single step at the noisy end
    few: int = 0  # with fewer steps the tiny model's colours run off, as its judge reads them: leaps too long for it
    colour: str = "#6b7280"  # of its line in a chart
    charted: bool = False  # in the chart that nobody has changed yet
    webui_names: tuple[str, ...] = ()  # what AUTOMATIC1111's web UI calls it, besides the title

    def calls(self, steps: int, **knobs: Any) -> int:
        """Evaluations of the network in `steps` steps; a guided one is a doubled batch, not a second call."""
        return self.count(steps, **(knobs if self.walk else {}))

    def steps_within(self, calls: int) -> int:
        """The most steps that need at most `calls` network calls. Raises SamplerError below the least that can run."""
        least = max(LEAST_STEPS, self.fewest_steps)
        for steps in range(calls, least - 1, -1):
            if self.calls(steps) <= calls:
                return steps
        raise SamplerError(f"{self.title} needs {self.calls(least)} calls at least.")

    def note(self, steps: int) -> str:
        """What to say of the tiny model's picture in so many steps: nothing, unless they are too few."""
        if steps >= self.few:
            return ""
        return f"{self.title} in {steps} steps leaps too far: colours run off. Take {self.few} steps or more."
