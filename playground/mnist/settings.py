"""Everything that the MNIST tab's controls say, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field

from playground.diffusion.samplers import DEFAULT_SAMPLER
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.generate import Request

ALL = "all"  # one of each class
OPEN = "open"  # no class asked for
IMAGES = 16


@dataclass(frozen=True)
class MnistSettings:
    """Everything that the tab's knobs say; the defaults are what the page opens with."""

    digit: str = ALL
    guidance_scale: float = 2.0
    seed: int = 0
    sampler: str = DEFAULT_SAMPLER
    steps: int = 20
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    spacing: str = "default"
    eta: float = 0.0
    begin: str = "noise"
    strength: float = 0.4
    resample: int = 4
    other_seed: int = 1
    other_digit: str = "8"
    learn: str = "mnist"
    size: int = 14
    network: str = "recipe"
    prediction: str = "v"
    noise_levels: str = "angle"
    learning_rate: float = 2e-3
    batch_size: int = 64
    label_dropout: float = 0.1

    def labels(self, classes: int = 10) -> tuple[int, ...] | None:
        """A class for each of the sixteen images, of a model that knows so many; None leaves them open."""
        if self.digit == OPEN or not classes:
            return None
        return tuple(k % classes if self.digit == ALL else int(self.digit) for k in range(IMAGES))

    def request(self, classes: int = 10) -> Request:
        """What to draw. Raises SamplerError for a sampler without such a spacing, ScheduleError for no schedule."""
        return Request(
            labels=self.labels(classes),
            n=IMAGES,
            seed=self.seed,
            guidance_scale=self.guidance_scale,
            schedule=self.schedule,
            sampling=SamplingConfig(self.sampler, self.steps, self.spacing, self.eta),
        )
