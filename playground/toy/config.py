"""What a toy experiment is: one frozen dataclass, checked where it is made, and the presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from playground.diffusion.earlier_forms import with_schedule
from playground.diffusion.knobs import check_types
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig
from playground.refusal import Refusal
from playground.settings import SETTINGS
from playground.toy.data import DATASETS, Cloud, make_cloud
from playground.toy.network import NetworkConfig
from playground.toy.user_points import cloud_from_points

TOY_SCHEDULE = ScheduleConfig("karras")  # σ evenly spaced in its 7th root: what trains quickest here


class LabError(Refusal):
    """The experiment cannot be run as asked; the message says which knob to turn."""


@dataclass(frozen=True)
class ToyConfig:
    """A whole experiment. Raises LabError, or the error of the part that is wrong, with words for a visitor."""

    dataset: str = "spiral"
    points: Any = field(default=None, repr=False)  # (N, 2) array-like or Cloud of one's own; then `dataset` is ignored
    n_points: int = 5_000
    seed: int = 0
    conditional: bool = False  # teach the network the classes, so that samples can be asked for by class
    schedule: ScheduleConfig = TOY_SCHEDULE
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    guidance_scale: float = 1.0  # s, diffusers' convention: 1 is none; the paper's w is s - 1
    label: int | None = None  # the class to sample; None draws classes as often as the data have them

    def __post_init__(self) -> None:
        schedule: Any = self.schedule
        if isinstance(schedule, str):  # a name alone will do in a notebook
            object.__setattr__(self, "schedule", ScheduleConfig(schedule))
        check_types(self, LabError)
        if self.dataset not in DATASETS:
            raise LabError(f"Unknown data set {self.dataset!r}. Choose one of: {', '.join(DATASETS)}.")
        if not 2 <= self.n_points <= SETTINGS.max_points:
            raise LabError(f"The number of points must lie in 2 … {SETTINGS.max_points:,}; it is {self.n_points:,}.")
        if not 0 <= self.seed < 2**32:
            raise LabError(f"The seed must be a whole number from 0 to 2³² - 1; it is {self.seed}.")
        if not 0 <= self.guidance_scale <= 20:
            raise LabError("The guidance scale must lie in 0 … 20 (1 is no guidance).")
        table = self.schedule.make()
        if table.zero_terminal_snr and self.training.prediction == "noise":
            raise LabError(
                "With zero terminal SNR the last timestep is pure noise, and x̂0 = (x - σε̂)/α divides by α = 0. "
                "Predict v, x0 or the flow instead."
            )
        self.sampling.check(len(table), table.zero_terminal_snr)

    def make_cloud(self) -> Cloud:
        """The training data; raises DataError."""
        if self.points is None:
            return make_cloud(self.dataset, self.n_points, self.seed)
        return self.points if isinstance(self.points, Cloud) else cloud_from_points(self.points)

    def changed(self, **changes: Any) -> ToyConfig:
        """A copy with `changes`; a part's field is named `part.field`, for example `training.learning_rate`."""
        whole = {name: value for name, value in changes.items() if "." not in name}
        parts: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if "." in name:
                part, knob = name.split(".", 1)
                parts.setdefault(part, {})[knob] = value
        try:
            replaced = {part: dataclasses.replace(getattr(self, part), **knobs) for part, knobs in parts.items()}
            return dataclasses.replace(self, **whole, **replaced)
        except (TypeError, AttributeError) as error:
            raise LabError(f"No such knob among {', '.join(changes)}.") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words, without the points."""
        table = {k: v for k, v in dataclasses.asdict(dataclasses.replace(self, points=None)).items() if k != "points"}
        return table | {"schedule": self.schedule.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], points: Any = None) -> ToyConfig:
        """The inverse of `to_dict`, of earlier versions too. Raises LabError for unknown or mistyped fields, and the
        parts' own errors.
        """
        parts = {"network": NetworkConfig, "training": TrainingConfig, "sampling": SamplingConfig}
        try:
            values = with_schedule(values, TOY_SCHEDULE.name)
            if "schedule" in values:
                values = values | {"schedule": ScheduleConfig.from_dict(values["schedule"])}
            made = {name: part(**values[name]) for name, part in parts.items() if name in values}
            return cls(**{k: v for k, v in values.items() if k not in parts}, **made, points=points)
        except (TypeError, AttributeError) as error:
            raise LabError(f"This is not a toy lab's configuration: {error}.") from error


FAST = ToyConfig()
MINIDIFFUSION = ToyConfig(
    n_points=25_000,
    schedule=ScheduleConfig("linear"),
    network=NetworkConfig(width=256, activation="relu", time_embedding="append", fourier_features=0),
    training=TrainingConfig(
        prediction="noise",
        noise_levels="uniform",
        batch_size=25,
        learning_rate=1e-3,
        beta2=0.999,
        warmup_steps=0,
        decay="constant",
        ema_decay=0.9999,
    ),
    sampling=SamplingConfig("ddpm", steps=1_000, variance="fixed_large"),
)
TOO_SHORT = dataclasses.replace(
    FAST,
    dataset="two_discs",
    schedule=ScheduleConfig("linear", 50),
    training=TrainingConfig(noise_levels="uniform"),
    sampling=SamplingConfig("ddim"),
)


@dataclass(frozen=True)
class Preset:
    """A starting point, a sentence on what it is, and what to look for while it runs."""

    title: str
    about: str
    look_for: str
    config: ToyConfig
    brings_data: bool = False  # its point cloud is part of the lesson


PRESETS: dict[str, Preset] = {
    "fast": Preset(
        "Fast",
        "Karras noise levels, v-prediction, Fourier features: a spiral within a second.",
        "What to look for: large noise levels are learned first, so the cloud finds its place before its "
        "shape. The loss soon stands still, yet the samples go on improving. Then drag “how noisy”, and switch the "
        "score arrows on.",
        FAST,
    ),
    "minidiffusion": Preset(
        "Ho et al. 2020 / minidiffusion",
        "The original recipe: T = 1000, β 1e-4 → 0.02, noise prediction, batches of 25. Watch how long it takes.",
        "What to look for: thousands of steps where Fast needs hundreds, and single late steps that make it worse, for "
        "the rate never falls. Frames take 20 of the 1,000 sampling steps, pausing 100, Measure quality all.",
        MINIDIFFUSION,
    ),
    "too_short": Preset(
        "Failure: T = 50",
        "Linear β with T = 50 leaves ᾱ_T = 0.60. The network learns well, and the samples are still wrong. Why?",
        "What to look for: switch Forward on and drag “how noisy” to its end. The data are still there! Sampling "
        "starts from N(0, I), where this network was never trained. Zero terminal SNR (Noise, more) mends it.",
        TOO_SHORT,
        brings_data=True,
    ),
}


def preset_of(config: ToyConfig) -> str | None:
    """The name of the preset that `config` is, whatever its data and seed; None where a knob was turned."""
    data = {name: getattr(config, name) for name in ("dataset", "points", "seed")}
    return next((name for name, p in PRESETS.items() if p.config.changed(**data) == config), None)
