"""Quality against network calls: samplers × schedules × budgets, one point after the other.

Two figures for each point. `distance`: of the samples to fresh data, beside its floor, what perfect samples would get.
`error`, with the exact denoiser and samplers without randomness: how far the samples ended from the ends of the exact
paths from the same noise. It has no floor and shows a sampler's order, the slope of its line on log-log axes.

What the error contains: the path from the schedule's last timestep to no noise at all. A sampler starts there too
(with "leading" spacing below it, which the error then counts) and ends with a jump from the lowest level it visits to
x̂_0, first order whatever the sampler's. The median over the paths, not the mean square: near a watershed between two
arms of a cloud the smallest error sends a path to the other one, and a few of those would hide the order of all others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import make_scheduler
from playground.diffusion.knobs import check_types
from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig, sample
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Diverged
from playground.fair_lock import in_turns
from playground.refusal import Refusal
from playground.schedules.cache import Cache
from playground.schedules.chart_models import (
    ChartModel,
    LearnProgress,
    Training,
    exact_floor,
    exact_model,
    mnist_floor,
    mnist_model,
    toy_floor,
    toy_model,
)
from playground.schedules.reference import blurred_cloud, ends, terminal_angle
from playground.toy.data import DATASETS

DenoiserName = Literal["exact", "toy", "mnist"]
DEFAULT_N: dict[str, int] = {"exact": 1_000, "toy": 1_000, "mnist": 64}
MOST_N: dict[str, int] = {"exact": 5_000, "toy": 5_000, "mnist": 200}
MAX_SCHEDULES, MAX_CALLS, MAX_BUDGETS, MAX_TRAINING = 12, 1_000, 16, 5_000
PATHS = 256  # of the samples, whose exact paths are solved: their median error is within 8 % of that of all 1,000
FAR = 10.0  # root mean square of diverged samples, where that of data is 1


def first_charted() -> tuple[str, ...]:
    """The samplers of a chart that nobody has changed."""
    return tuple(name for name, row in scheduled().items() if row.charted)


class ChartError(Refusal):
    """This chart cannot be drawn; the message says which knob to turn."""


@dataclass(frozen=True)
class ChartConfig:
    """What to compare, and on what. Raises ChartError."""

    denoiser: DenoiserName = "exact"
    cloud: str = "spiral"  # of the exact denoiser and the toy network
    schedules: tuple[ScheduleConfig, ...] = (
        ScheduleConfig("linear"),
        ScheduleConfig("scaled_linear"),
        ScheduleConfig("cosine"),
        ScheduleConfig("karras"),
    )
    samplers: tuple[str, ...] = field(default_factory=first_charted)
    calls: tuple[int, ...] = (4, 8, 16, 32, 64, 128)  # budgets: a sampler takes the most steps that stay within
    n: int | None = None  # samples; None: 1,000 points or 64 digits
    seed: int = 0
    spacing: str = "trailing"  # one for all, so that samplers differ in nothing else
    blur: float = 0.1  # exact only: of each of the cloud's points, in its standard deviations
    training_steps: int = 400  # toy only
    guidance_scale: float = 1.0  # mnist only; any but 1 asks the network twice a step

    def __post_init__(self) -> None:
        check_types(self, ChartError)
        if self.denoiser not in DEFAULT_N:
            raise ChartError(f"The denoiser is one of {', '.join(DEFAULT_N)}.")
        if self.cloud not in DATASETS:
            raise ChartError(f"Unknown cloud. Choose one of: {', '.join(DATASETS)}.")
        if not 1 <= len(self.schedules) <= MAX_SCHEDULES:
            raise ChartError(f"Compare 1 … {MAX_SCHEDULES} schedules; there are {len(self.schedules)}.")
        if not self.samplers or not set(self.samplers) <= scheduled().keys():
            raise ChartError(f"Choose samplers among {', '.join(scheduled())}.")
        whole = all(isinstance(c, int) and not isinstance(c, bool) and 1 <= c <= MAX_CALLS for c in self.calls)
        if not whole or not 1 <= len(self.calls) <= MAX_BUDGETS:
            raise ChartError(f"Choose 1 … {MAX_BUDGETS} numbers of network calls, each in 1 … {MAX_CALLS:,}.")
        if not 2 <= self.count <= MOST_N[self.denoiser]:
            raise ChartError(f"The number of samples must lie in 2 … {MOST_N[self.denoiser]:,}; it is {self.count:,}.")
        if not 0 <= self.seed < 2**32:
            raise ChartError(f"The seed must be a whole number from 0 to 2³² - 1; it is {self.seed}.")
        if self.spacing not in ("trailing", "linspace", "leading"):
            raise ChartError("The spacing is trailing, linspace or leading: those all samplers have.")
        if not 0.05 <= self.blur <= 1:  # sharper, and the reference is no longer the finest thing in the chart
            raise ChartError(f"The blur must lie in 0.05 … 1; it is {self.blur:g}.")
        if not 1 <= self.training_steps <= MAX_TRAINING:
            raise ChartError(f"Train for 1 … {MAX_TRAINING:,} steps; not {self.training_steps:,}.")
        if not 0 <= self.guidance_scale <= 20:
            raise ChartError("The guidance scale must lie in 0 … 20 (1 is no guidance).")

    @property
    def count(self) -> int:
        """Samples behind each point."""
        return DEFAULT_N[self.denoiser] if self.n is None else self.n

    @property
    def asked(self) -> int:
        """Network calls for each of a sampler's: two with guidance."""
        return 2 if self.denoiser == "mnist" and self.guidance_scale != 1 else 1


@dataclass(frozen=True)
class Figures:
    """What was measured at one point of the chart."""

    calls: int = 0  # network calls that were made
    distance: float | None = None
    error: float | None = None
    right: float | None = None
    seconds: float = 0.0
    note: str = ""  # why there is no point


@dataclass(frozen=True)
class ChartPoint:
    """One point of the chart, `done` of `total`.

    `schedule`: its index in the config; `budget`: the calls allowed, of which `calls` were made. `distance`: sliced
    Wasserstein-2 to fresh data in the cloud's units; of digits the Fréchet distance. `error`: median distance from the
    ends of the exact paths, in the cloud's units; None for a network, and for DDPM, whose noise leads it elsewhere.
    `right`: share of digits read as the class asked for. `seconds`: of sampling. `cached`: known from an earlier
    chart. `note`: why the point is missing, `distance` being None then.
    """

    schedule: int
    sampler: str
    budget: int
    calls: int
    distance: float | None
    error: float | None
    right: float | None
    seconds: float
    note: str
    cached: bool
    done: int
    total: int


@dataclass(frozen=True)
class CallProgress:
    """Network call number `call` of those that the point being measured takes; points `done` of `total`."""

    schedule: int
    sampler: str
    budget: int
    call: int
    done: int
    total: int


Event = ChartPoint | CallProgress | LearnProgress
POINTS: Cache[ChartConfig, Figures] = Cache(4_000)  # the key: the chart that has this one point only


def measure(config: ChartConfig) -> Generator[Event]:
    """The chart's points, curve after curve, with progress in between. Close the generator to stop.

    A point that cannot be measured (a sampler that the schedule cannot drive, too few calls, divergence) has a note.
    """
    yield from (event for event in in_turns(_measure(config)) if event is not None)


def floor(config: ChartConfig) -> float:
    """The distance that as many perfect samples would have: the chart's lowest line, in the unit of `distance`."""
    match config.denoiser:
        case "exact":
            return exact_floor(config.cloud, config.blur, config.count, config.seed)
        case "toy":
            return toy_floor(config.cloud, config.count, config.seed)
    return mnist_floor(config.count, config.seed)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent p of error ∝ calls^p, by least squares through the logarithms of (calls, error) pairs."""
    x, y = torch.tensor(points, dtype=torch.float64).log().T
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def _measure(config: ChartConfig) -> Generator[Event | None]:
    """The same events, and None wherever others may compute and there is nothing to report."""
    done, total = 0, len(config.schedules) * len(config.samplers) * len(config.calls)
    for index, schedule in enumerate(config.schedules):
        for sampler in config.samplers:
            for budget in config.calls:
                key = replace(config, schedules=(schedule,), samplers=(sampler,), calls=(budget,), n=config.count)
                figures = POINTS.get(key)
                cached = figures is not None
                if figures is None:
                    figures = POINTS.put(key, (yield from _point(key, index, done, total)))
                done += 1
                yield ChartPoint(index, sampler, budget, **vars(figures), cached=cached, done=done, total=total)


def _point(config: ChartConfig, index: int, done: int, total: int) -> Generator[Event | None, None, Figures]:
    """Measures a chart of a single point. `index`, `done`, `total`: its place in the whole chart."""
    (schedule,), (sampler,), (budget,) = config.schedules, config.samplers, config.calls
    try:
        table = schedule.make()
        sampling = SamplingConfig(sampler, SAMPLERS[sampler].steps_within(budget // config.asked), config.spacing)
        make_scheduler(table, sampling)  # refuses what cannot be run before anything is trained
        model = yield from _model(config, index)
    except (ScheduleError, SamplerError, Diverged) as refusal:
        return Figures(note=str(refusal))

    seconds, samples, generator = 0.0, [], torch.Generator().manual_seed(config.seed + 1)
    for x, denoise in model.batches:
        began = time.perf_counter()
        for step in sample(denoise, table, x, sampling, generator):
            seconds += time.perf_counter() - began  # the caller computes other things until it pulls again
            yield CallProgress(index, sampler, budget, step.calls * config.asked, done, total)
            began = time.perf_counter()
        samples.append(step.x)
    x, calls = torch.cat(samples), sampling.calls * config.asked

    spread = float(x.square().mean().sqrt())
    if not spread < FAR:  # NaN is not, either
        return Figures(calls, seconds=seconds, note=_diverged(spread))
    verdict = model.judge(x)
    error: float | None = None
    if config.denoiser == "exact" and not SAMPLERS[sampler].stochastic:
        rows = min(PATHS, config.count)
        end = yield from ends(config.cloud, config.blur, config.seed, rows, terminal_angle(table))
        error = blurred_cloud(config.cloud, config.blur, config.seed).scale * _median_distance(x[:rows], end)
    return Figures(calls, verdict.distance, error, verdict.right, seconds)


def _model(config: ChartConfig, index: int) -> Generator[LearnProgress, None, ChartModel]:
    match config.denoiser:
        case "exact":
            return exact_model(config.cloud, config.blur, config.count, config.seed)
        case "toy":
            training = Training(config.cloud, config.schedules[0], config.training_steps, config.seed)
            return (yield from toy_model(training, index, config.count))
    return mnist_model(config.guidance_scale, config.count, config.seed)


def _median_distance(x: Tensor, end: Tensor) -> float:
    return float((x.double() - end).norm(dim=1).median())


def _diverged(spread: float) -> str:
    how = f"{spread:.3g} times as far out as data" if math.isfinite(spread) else "beyond all numbers"
    return f"Diverged: the samples ended {how}. Take more calls, or another schedule."
