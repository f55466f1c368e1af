"""Who learns a cloud of points faster, and draws from it faster: the reference recipe or the playground's own?

Training and sampling run on one thread and are told in CPU seconds, which other work on the machine changes least.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial

import torch
from torch import Tensor

from benchmarks.reference_toy import Reference
from benchmarks.stopwatch import Spent, median_spent, spend
from benchmarks.table import say
from playground.diffusion.metrics import energy_distance, excess, off_support, sliced_wasserstein
from playground.diffusion.training import TrainingConfig
from playground.toy import ToyConfig, ToyLab
from playground.toy.data import DATASETS, make_cloud

POINTS = 25_000
SAMPLED = 1_200  # where sampling is timed
FRESH_SEED = 1_000_000  # of the draws that samples are held against: far from every training set's
PROJECTIONS = 100  # evenly spaced directions; 500 change the fourth digit
QUALITY_STEPS = 50  # DPM-Solver++ steps where training is judged: enough that the sampler's own error does not count
FEW_STEPS = (12, 14, 16, 18, 20)


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    samples: int = 5_000
    sets: int = 2  # of so many samples each
    draws: int = 6  # fresh draws of the data, of as many points
    seeds: tuple[int, ...] = (0, 1, 2)  # of our data and network; medians over them. The recipe was tuned on others
    plans: tuple[int, ...] = (100, 200, 300, 400, 600, 800, 1_200, 1_600, 3_200, 6_400)
    repeats: int = 3  # of the reference's timed sampling


@dataclass(frozen=True)
class Distances:
    """Of samples to data: sliced Wasserstein-2 without its floor, energy distance, share off the support."""

    excess: float
    energy: float
    off: float

    def __str__(self) -> str:
        return f"{self.excess:.4f}, {self.energy:.1e}, {100 * self.off:.1f} %"

    def reaches(self, other: Distances) -> bool:
        """Whether none of the three is worse."""
        return self.excess <= other.excess and self.energy <= other.energy and self.off <= other.off

    @staticmethod
    def merge(several: Sequence[Distances], how: Callable[[list[float]], float]) -> Distances:
        """Each of the three by itself, over `several`."""
        return Distances(*(how(list(values)) for values in zip(*map(astuple, several), strict=True)))


class Yardstick:
    """Fresh draws of a data set. Over pairs of a set of samples and a draw, SW₂² and energy distance are averaged;
    the same between fresh draws is the floor, so neither side's luck with one draw counts.
    """

    def __init__(self, dataset: str, effort: Effort) -> None:
        draws = [make_cloud(dataset, effort.samples, FRESH_SEED + k).points for k in range(2 * effort.draws)]
        self.references, others = draws[: effort.draws], draws[effort.draws :]
        self.support = DATASETS[dataset].support
        self.floor = _distance([(a, b) for a in others for b in self.references])
        self.energy_floor = statistics.mean(map(energy_distance, others, self.references))

    def measure(self, sets: list[Tensor]) -> Distances:
        """`sets`: samples, (n, 2) each."""
        pairs = [(sets[k % len(sets)], reference) for k, reference in enumerate(self.references)]
        energy = statistics.mean(energy_distance(a, b) for a, b in pairs)
        return Distances(excess(_distance(pairs), self.floor), energy, off_support(torch.cat(sets), self.support))


def _distance(pairs: list[tuple[Tensor, Tensor]]) -> float:
    return math.sqrt(statistics.mean(sliced_wasserstein(a, b, PROJECTIONS) ** 2 for a, b in pairs))


@dataclass(frozen=True)
class Attempt:
    """The Fast recipe with a planned number of steps: medians over the seeds."""

    steps: int
    spent: Spent
    distances: Distances


@dataclass(frozen=True)
class Sampling:
    """SAMPLED samples by each, from networks of at least the same quality, and their excess distances."""

    steps: int
    training_steps: int
    ours: Spent
    reference: Spent
    excess: float
    reference_excess: float


@dataclass
class Contest:
    """One data set, learned by both."""

    dataset: str
    floor: float
    energy_floor: float
    reference_spent: Spent
    reference_raw: Distances
    reference_ema: Distances
    attempts: list[Attempt] = field(default_factory=list)
    sampling: Sampling | None = None

    @property
    def final(self) -> Distances:
        """What the reference arrives at: on each of the three, the better of its last and its averaged weights."""
        return Distances.merge([self.reference_raw, self.reference_ema], min)

    @property
    def equal(self) -> Attempt | None:
        """The first attempt that is at least as good on all three."""
        return next((a for a in self.attempts if a.distances.reaches(self.final)), None)

    @property
    def half(self) -> Attempt | None:
        """The first attempt at half of its excess distance."""
        return next((a for a in self.attempts if a.distances.excess <= self.final.excess / 2), None)


def our_lab(dataset: str, seed: int) -> ToyLab:
    """The Fast recipe as the app has it, on as many points as the reference, with a planned end."""
    return ToyLab(ToyConfig(dataset=dataset, n_points=POINTS, seed=seed, training=TrainingConfig(decay="cosine")))


def train(lab: ToyLab, steps: int) -> None:
    """All of the planned steps."""
    for _ in lab.train(steps):
        pass


def draw(lab: ToyLab, n: int, seed: int, steps: int) -> Tensor:
    """(n, 2) samples by the app's own sampler, DPM-Solver++."""
    for step in lab.sampling(n, seed=seed, sampler="dpm++", steps=steps):
        x = step.x
    return x


def sets_of(lab: ToyLab, effort: Effort, steps: int) -> list[Tensor]:
    """Sets of samples to be judged; every lab has start noises of its own."""
    return [draw(lab, effort.samples, 1_000 * (lab.config.seed + 1) + k, steps) for k in range(effort.sets)]


def contest(dataset: str, epochs: int, effort: Effort, sampling: bool) -> Contest:
    """Train the reference, then the Fast recipe with ever longer plans until it is as good (for the spiral: until it
    is also at half the distance); if asked to, compare their sampling."""
    yardstick = Yardstick(dataset, effort)
    reference = Reference(make_cloud(dataset, POINTS, 0).points, 0)
    spent = spend(lambda: reference.train(epochs))
    torch.set_num_threads(os.cpu_count() or 1)  # a minute of samples that only serve to judge it
    judged = [
        yardstick.measure([reference.sample(effort.samples, k, network) for k in range(effort.sets)])
        for network in (reference.raw, reference.ema)
    ]
    torch.set_num_threads(1)
    result = Contest(dataset, yardstick.floor, yardstick.energy_floor, spent, judged[0], judged[1])
    say(f"{dataset}: floors {result.floor:.4f}, {result.energy_floor:.1e}")
    say(f"{dataset}: reference {spent}: last weights {judged[0]}; their average {judged[1]}")
    for steps in effort.plans:
        labs = [our_lab(dataset, seed) for seed in effort.seeds]
        times = [spend(partial(train, lab, steps)) for lab in labs]
        seen = [yardstick.measure(sets_of(lab, effort, QUALITY_STEPS)) for lab in labs]
        result.attempts.append(Attempt(steps, median_spent(times), Distances.merge(seen, statistics.median)))
        say(f"{dataset}: ours, {steps} steps, {result.attempts[-1].spent}: {result.attempts[-1].distances}")
        if result.equal and (result.half or dataset != "spiral"):
            break
    if sampling:
        # a little better than equal, for the fewer steps' own error has to fit in between
        longer = our_lab(dataset, effort.seeds[0])
        train(longer, 2 * (result.equal or result.attempts[-1]).steps)
        result.sampling = compare_sampling(reference, longer, result.final, yardstick, effort)
    return result


def compare_sampling(
    reference: Reference, lab: ToyLab, final: Distances, yardstick: Yardstick, effort: Effort
) -> Sampling:
    """All of the reference's steps, and the fewest of ours that are at no worse a distance, or the most allowed."""
    for steps in FEW_STEPS:
        distances = yardstick.measure(sets_of(lab, effort, steps))
        if distances.excess <= final.excess:
            break
    ours = median_spent([spend(lambda: draw(lab, SAMPLED, 0, steps)) for _ in range(5 * effort.repeats)])
    theirs = median_spent([spend(lambda: reference.sample(SAMPLED, 0, reference.ema)) for _ in range(effort.repeats)])
    return Sampling(steps, lab.step, ours, theirs, distances.excess, final.excess)


def warm_up() -> None:
    """What is only paid once, imports and first calls, is paid before the clocks run."""
    lab = our_lab("spiral", 0)
    train(lab, 20)
    draw(lab, 100, 0, 10)
    Reference(lab.cloud.points[:500], 0).train(1)
