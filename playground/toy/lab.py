"""ToyLab: one visitor's experiment on a cloud of points in the plane, free of any page.

    lab = ToyLab(ToyConfig(dataset="spiral", seed=0))
    for step in lab.train(steps=2000): ...
    path = lab.sample(10_000, sampler="dpm++", steps=20, seed=1)

The network lives in standardised coordinates (mean 0, one common scale of variance 1); everything handed out is in the
data's own.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playground.diffusion import metrics
from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.prediction import error_in_x0, target, to_x0
from playground.diffusion.sampling import Denoiser, SampleStep, guide, sample, start_noise
from playground.diffusion.training import Trainer, TrainStep
from playground.settings import SETTINGS
from playground.toy.config import LabError, ToyConfig
from playground.toy.data import MAX_CLASSES, Cloud, cloud_from_points, make_cloud
from playground.toy.network import PointMLP
from playground.toy.storage import decode, encode, flatten, unflatten

BOX_MARGIN = 0.1  # x̂0 may leave the data's bounding box by this share of its size, and no further
MAX_STEP = 10**9  # of a file's experiment
RESTARTS = ("dataset", "points", "n_points", "seed", "conditional", "network", "training.prediction")


@dataclass(frozen=True)
class SamplePath:
    """A sampled trajectory, first state pure noise, last state the samples.

    `x`, `x0`, `eps` (K+1, N, 2): states and x̂0 in the data's coordinates, ε̂ in units of the noise; `t`, `alpha`,
    `sigma` (K+1,); `labels` (N,) or None; `calls` network evaluations; `seed` the one that was used.
    """

    x: Tensor
    x0: Tensor
    eps: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    labels: Tensor | None
    calls: int
    seed: int


@dataclass(frozen=True)
class Field:
    """σ_t ∇ log p_t on a grid at timestep t: where a noisy point is pulled, in units of the noise.

    `points`, `learned`, `exact` (G², 2) in the data's coordinates, row by row from the lower left.
    """

    t: int
    points: Tensor
    learned: Tensor
    exact: Tensor


@dataclass(frozen=True)
class LossByTimestep:
    """Mean squared error of the prediction at timesteps `t` (B,), and the least that any network could reach there."""

    t: Tensor
    loss: Tensor
    floor: Tensor


@dataclass(frozen=True)
class Checkpoint:
    """One place on the timeline: everything needed to go on from `step`."""

    step: int
    state: dict[str, Any]


class ToyLab:
    """Data, a network in training, and what can be asked of it. Safe to use from several threads.

    Raises the errors of ToyConfig (all ValueErrors) for what cannot be run.
    """

    def __init__(self, config: ToyConfig | None = None) -> None:
        self._lock = threading.RLock()
        self.run = 0  # counts restarts, so that a picture of the last experiment is not taken for one of this
        self.restart(config or ToyConfig())

    # --- the experiment ------------------------------------------------------------------------------------------

    def restart(self, config: ToyConfig) -> None:
        """A new experiment from step 0. When `config` cannot be run, the old one stays untouched."""
        cloud = config.make_cloud()
        _check_classes(config, cloud)
        with self._lock:
            self.config, self.cloud = config, cloud
            self.schedule = config.make_schedule()
            self.mean = cloud.points.mean(0)  # (2,)
            self.std = cloud.points.std()  # one scale for both axes: the picture keeps its shape
            standard = (cloud.points - self.mean) / self.std
            margin = BOX_MARGIN * (standard.amax(0) - standard.amin(0)).max()
            self.box = standard.amin(0) - margin, standard.amax(0) + margin
            self._exact = ExactDenoiser(standard, cloud.labels)
            network = PointMLP(config.network, len(cloud.classes) if config.conditional else 0, config.seed)
            self.trainer = Trainer(
                network,
                standard,
                self.schedule,
                config.training,
                config.seed,
                cloud.labels if config.conditional else None,
                len(cloud.classes),
            )
            self.timeline: list[Checkpoint] = []
            self._remember()
            self.run += 1

    def reset(self) -> None:
        """Back to step 0 of the same experiment."""
        self.restart(self.config)

    def update(self, **changes: Any) -> str:
        """Turn knobs, also while training runs; a part's knob is named `training.learning_rate`.

        Returns what happened: "live" (from the next step on) or "restart" (the network had to start again).
        """
        with self._lock:
            config = self.config.changed(**changes)
            if any(_differ(name, config, self.config) for name in RESTARTS):
                self.restart(config)
                return "restart"
            _check_classes(config, self.cloud)
            self.config, self.schedule = config, config.make_schedule()
            self.trainer.config, self.trainer.schedule = config.training, self.schedule
            return "live"

    def take_over(self, other: ToyLab) -> None:
        """Become `other`, as it is, under this lab's lock and count of runs."""
        with self._lock:
            run = self.run
            self.__dict__.update({k: v for k, v in other.__dict__.items() if k != "_lock"})
            self.run = run + 1

    @property
    def still(self) -> AbstractContextManager[Any]:
        """`with lab.still:` no other thread trains, turns a knob or rewinds."""
        return self._lock

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.trainer.step_count

    def train(self, steps: int | None = None) -> Iterator[TrainStep]:
        """`steps` more steps of Algorithm 1, or as many as are pulled: stop pulling to pause, pull again to go on.

        Raises Diverged; then `rewind` leads back.
        """
        with self._lock:
            self.trainer.planned_steps = None if steps is None else self.step + steps
        done = 0
        while steps is None or done < steps:
            with self._lock:  # `update`, `rewind` and `reset` wait for the end of a step
                step = self.trainer.step()
                if step.step >= self.timeline[-1].step * 1.08 + 4:
                    self._remember()
            done += 1
            yield step

    # --- the timeline --------------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """A checkpoint of now; early steps change most, so the steps kept lie closer together there."""
        state = self.trainer.state_dict()
        self.timeline.append(Checkpoint(self.step, state))
        size = 4 * 4 * sum(p.numel() for p in self.trainer.network.parameters())  # weights, average, Adam's two
        if len(self.timeline) > max(3, SETTINGS.timeline_bytes // size):
            ratios = [
                (after.step + 1) / (before.step + 1)
                for before, after in zip(self.timeline, self.timeline[2:], strict=False)
            ]
            del self.timeline[1 + ratios.index(min(ratios))]

    def keep(self) -> None:
        """Put this very step on the timeline."""
        with self._lock:
            if self.timeline[-1].step != self.step:
                self._remember()

    def rewind(self, step: int) -> int:
        """Back to the last checkpoint at or before `step`, or the first; training from there forks, later ones go.

        Returns the step arrived at.
        """
        with self._lock:
            self.timeline = [c for c in self.timeline if c.step <= step] or self.timeline[:1]
            self.trainer.load_state_dict(self.timeline[-1].state)
            return self.step

    # --- keeping it ----------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The whole experiment as a safetensors file: config, own points, weights, average, optimiser, random state."""
        with self._lock:
            tensors, rest = flatten(self.trainer.state_dict())
            config = self.config
        if config.points is not None:
            tensors["points"] = self.cloud.points.contiguous()
            if self.cloud.labels is not None:
                tensors["labels"], rest["classes"] = self.cloud.labels, list(self.cloud.classes)
        return encode(config.to_dict(), tensors, rest)

    @classmethod
    def from_bytes(cls, data: bytes) -> ToyLab:
        """The inverse of `to_bytes`: samples are bit-identical, training goes on where it stood. Raises LabError."""
        config, tensors, rest = decode(data)
        points: Any = tensors.get("points")
        if points is not None:
            points = _own_cloud(points, tensors.get("labels"), rest.get("classes"))
        lab = cls(ToyConfig.from_dict(config, points))
        lab._restore(tensors, rest)
        return lab

    def save(self, path: str | Path) -> None:
        """Write `to_bytes` to `path`."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> ToyLab:
        """Read what `save` wrote. Raises LabError."""
        return cls.from_bytes(Path(path).read_bytes())

    def _restore(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Training state from a file: every tensor must have the name and shape that this config's network has."""
        state = self.trainer.state_dict()
        if any(name.startswith("optimizer/") for name in tensors):
            for parameter in self.trainer.network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            self.trainer.optimizer.step()  # Adam has no state before its first step; this makes its shape known
            state = self.trainer.state_dict()
        try:
            filled = unflatten(state, tensors, rest)
            if not 0 <= filled["step_count"] <= MAX_STEP:
                raise ValueError(f"no run has {filled['step_count']} steps")
            self.trainer.load_state_dict(filled)
        except (KeyError, ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise LabError("This experiment's weights do not fit the network in its configuration.") from error
        self.timeline = []
        self._remember()

    # --- sampling ------------------------------------------------------------------------------------------------

    def denoiser(self, labels: Tensor | None = None, guidance_scale: float = 1.0) -> Denoiser:
        """The network as it is now: (x, α, σ) → x̂0 in standardised coordinates, never outside the data's box.

        Unbounded, one sample in thousands leaves for infinity. `labels` (N,): the class of each row.
        """
        with self._lock:
            network, prediction = copy.deepcopy(self.trainer.ema), self.config.training.prediction
            low, high = self.box

        def denoise(x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            return to_x0(prediction, network(x, alpha, sigma, labels), x, alpha, sigma)

        guided = guide(
            lambda x, alpha, sigma: denoise(x, alpha, sigma, labels),
            lambda x, alpha, sigma: denoise(x, alpha, sigma, None),
            guidance_scale if labels is not None else 1.0,
        )
        return lambda x, alpha, sigma: guided(x, alpha, sigma).nan_to_num(0.0).clamp(low, high)

    def sampling(
        self,
        n: int,
        *,
        seed: int = 0,
        labels: int | list[int] | Tensor | None = None,
        guidance_scale: float | None = None,
        exact: bool = False,
        **knobs: Any,
    ) -> Iterator[SampleStep]:
        """Algorithm 2, one state at a time, in the data's coordinates. Arguments as for `sample`."""
        if not 1 <= n <= SETTINGS.max_samples:
            raise LabError(f"The number of samples must lie in 1 … {SETTINGS.max_samples:,}; it is {n:,}.")
        with self._lock:  # all of one experiment, whatever another thread turns meanwhile
            config = dataclasses.replace(self.config.sampling, **knobs)
            classes = self._classes(n, labels, seed)
            scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
            denoise = self._exact_denoiser(classes, scale) if exact else self.denoiser(classes, scale)
            schedule, mean, std = self.schedule, self.mean, self.std
        rng = torch.Generator().manual_seed(seed + 1)
        for step in sample(denoise, schedule, start_noise(n, 2, seed), config, rng):
            yield dataclasses.replace(step, x=step.x * std + mean, x0=step.x0 * std + mean)

    def sample(self, n: int, **arguments: Any) -> SamplePath:
        """`n` samples and the way there. Knobs: sampler, steps, spacing, eta, variance …, as in SamplingConfig.

        `seed` fixes start noise and everything random after; `labels` is one class, or one per sample; None draws them
        as often as in the data. `guidance_scale` s: 1 is none; the paper's w is s - 1. `exact=True` takes the
        closed-form denoiser of the training points in the network's place.
        """
        config = dataclasses.replace(
            self.config.sampling, **{k: v for k, v in arguments.items() if k in SAMPLING_KNOBS}
        )
        if n * (config.steps + 1) * 2 > SETTINGS.max_sampling_values:
            raise LabError(f"{n:,} samples × {config.steps:,} steps are too many to keep: take fewer of either.")
        steps = list(self.sampling(n, **arguments))
        seed = int(arguments.get("seed", 0))
        return SamplePath(
            x=torch.stack([s.x for s in steps]),
            x0=torch.stack([s.x0 for s in steps]),
            eps=torch.stack([s.eps for s in steps]),
            t=torch.tensor([s.t for s in steps]),
            alpha=torch.tensor([s.alpha for s in steps]),
            sigma=torch.tensor([s.sigma for s in steps]),
            labels=self._classes(n, arguments.get("labels"), seed),
            calls=steps[-1].calls,
            seed=seed,
        )

    def paths(self, n: int = 100, *, seed: int = 0, exact: bool = False) -> SamplePath:
        """`n` trajectories of the deterministic reverse process in 50 steps, learned or exact, from the same noise."""
        return self.sample(
            n, sampler="dpm++", steps=min(50, len(self.schedule)), seed=seed, exact=exact, spacing="default"
        )

    def _classes(self, n: int, labels: int | list[int] | Tensor | None, seed: int) -> Tensor | None:
        if not self.config.conditional or self.cloud.labels is None:
            if labels is not None:
                raise LabError("This network was not taught the classes: switch 'learn the classes' on and train.")
            return None
        if labels is None:
            labels = self.config.label
        if labels is None:
            rng = torch.Generator().manual_seed(seed)
            return self.cloud.labels[torch.randint(len(self.cloud.labels), (n,), generator=rng)]
        classes = torch.as_tensor(labels).expand(n) if isinstance(labels, int) else torch.as_tensor(labels)
        if classes.shape != (n,) or classes.is_floating_point():
            raise LabError(f"Give one class, or {n} of them.")
        if classes.min() < 0 or classes.max() >= len(self.cloud.classes):
            raise LabError(f"Classes run from 0 to {len(self.cloud.classes) - 1}.")
        return classes

    def _exact_denoiser(self, labels: Tensor | None, guidance_scale: float) -> Denoiser:
        exact = self._exact
        return guide(
            lambda x, alpha, sigma: exact(x, alpha, sigma, labels),
            exact,
            guidance_scale if labels is not None else 1.0,
        )

    # --- looking inside ------------------------------------------------------------------------------------------

    @property
    def window(self) -> tuple[float, float, float]:
        """Centre x, centre y and half the side of the square that shows both the data and pure noise."""
        centre = (self.cloud.points.amin(0) + self.cloud.points.amax(0)) / 2
        reach = (self.cloud.points - centre).abs().max()
        return float(centre[0]), float(centre[1]), float(torch.maximum(1.12 * reach, 2.1 * self.std))

    @torch.no_grad()
    def field(self, t: int, grid: int = 21) -> Field:
        """Learned and exact score on a grid × grid lattice over the window, at timestep t."""
        return Field(t, self._lattice(grid)[1], self.learned_fields([t], grid)[0], self.exact_fields([t], grid)[0])

    def learned_fields(self, timesteps: list[int], grid: int = 21) -> Tensor:
        """(len(timesteps), grid², 2): σ_t times the learned score at each timestep."""
        return self._fields(self.denoiser(), timesteps, grid)

    def exact_fields(self, timesteps: list[int], grid: int = 21) -> Tensor:
        """(len(timesteps), grid², 2): σ_t times the exact score of the training points at each timestep."""
        return self._fields(self._exact, timesteps, grid)

    @torch.no_grad()
    def _fields(self, denoise: Denoiser, timesteps: list[int], grid: int) -> Tensor:
        """σ ∇ log p_t(x) = (α x̂0 - x)/σ = -ε̂ (Tweedie's formula) at the lattice, read on the schedule's own scale."""
        lattice, _ = self._lattice(grid)
        pulls = []
        for t in timesteps:
            alpha, sigma = self._level(t)
            x = lattice / float(self.schedule.scales[t])
            pulls.append((alpha * denoise(x, alpha, sigma) - x) / sigma)
        return torch.stack(pulls)

    def _lattice(self, grid: int) -> tuple[Tensor, Tensor]:
        """The lattice in standardised and in the data's coordinates, (grid², 2) each."""
        if not 2 <= grid <= 64:
            raise LabError("The grid must have 2 … 64 points a side.")
        x, y, half = self.window
        side = torch.linspace(-half, half, grid)
        points = torch.stack([(x + side).repeat(grid), (y + side).repeat_interleave(grid)], 1)
        return (points - self.mean) / self.std, points

    def _level(self, t: int) -> tuple[Tensor, Tensor]:
        if not 0 <= t < len(self.schedule):
            raise LabError(f"t must lie in 0 … {len(self.schedule) - 1}.")
        alpha_cumprod = self.schedule.alphas_cumprod[t]  # float64: 1 - ᾱ cancels in float32
        return alpha_cumprod.sqrt().float(), (1 - alpha_cumprod).sqrt().float()

    @torch.no_grad()
    def loss_by_timestep(self, n: int = 256, bins: int = 20) -> LossByTimestep:
        """The loss at `bins` timesteps over `n` training points each, and its irreducible part.

        Even the best network errs: many x0 lead to the same x_t. What is left is the posterior's variance, times what
        this prediction makes of an error in x̂0. The floor is that of the finite training set, which only a network
        that memorises it could reach at small t.
        """
        with self._lock:
            t = torch.linspace(0, len(self.schedule) - 1, bins).round().long()  # (B,)
            alpha, sigma, x0, eps, labels = self._probe(t, n)
            prediction = self.config.training.prediction
            output = self.trainer.ema(alpha * x0 + sigma * eps, alpha, sigma, labels)
        loss = (output - target(prediction, x0, eps, alpha, sigma)).square().mean(1).reshape(bins, n).mean(1)
        return LossByTimestep(t, loss, self.loss_floor(n, bins))

    @torch.no_grad()
    def loss_floor(self, n: int = 256, bins: int = 20) -> Tensor:
        """(bins,) the irreducible loss at evenly spaced timesteps, for the same draws as `loss_by_timestep`.

        It depends on data, schedule and prediction alone, so it is worked out once and kept.
        """
        with self._lock:
            schedule, exact, prediction = self.schedule, self._exact, self.config.training.prediction
            key = (n, bins, prediction, id(schedule), id(exact))
            if getattr(self, "_floor", (None,))[0] == key:
                return self._floor[1]
            t = torch.linspace(0, len(schedule) - 1, bins).round().long()
            alpha, sigma, x0, eps, labels = self._probe(t, n)
        variance = exact.posterior_variance(alpha * x0 + sigma * eps, alpha[:, 0], sigma[:, 0], labels)  # (B*n,)
        weight = torch.as_tensor(error_in_x0(prediction, alpha, sigma))[:, 0]
        floor = (weight * variance).reshape(bins, n).mean(1)
        with self._lock:  # schedule and exact are held, so that no new object can have their ids
            self._floor: tuple[Any, Tensor, Any] = (key, floor, (schedule, exact))
        return floor

    def _probe(self, t: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """The same n points and noises at each of the timesteps `t`: α, σ (B*n, 1), x0, ε (B*n, 2), labels."""
        rng = torch.Generator().manual_seed(self.config.seed)
        index = torch.randint(len(self.trainer.x0), (n,), generator=rng).repeat(len(t))
        eps = torch.randn(n, 2, generator=rng).repeat(len(t), 1)
        alpha_cumprod = self.schedule.alphas_cumprod[t].repeat_interleave(n)[:, None]
        labels = None if self.trainer.labels is None else self.trainer.labels[index]
        return alpha_cumprod.sqrt().float(), (1 - alpha_cumprod).sqrt().float(), self.trainer.x0[index], eps, labels

    def fresh(self, n: int, seed: int) -> Tensor:
        """(n, 2) data that training did not see; of one's own points, which cannot be drawn anew, a random part."""
        if self.config.points is None:
            return make_cloud(self.config.dataset, n, (self.config.seed + 1 + seed) % 2**32).points
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.cloud.points), generator=rng)
        return self.cloud.points[order.repeat(math.ceil(n / len(order)))[:n]]

    def quality(self, n: int = 2_000, *, seed: int = 0, **knobs: Any) -> metrics.Quality:
        """How far `n` samples are from `n` fresh data points, and how far two draws of data are from each other."""
        for step in self.sampling(n, seed=seed, **knobs):
            samples = step.x
        return self.judge(samples, seed)

    def judge(self, samples: Tensor, seed: int = 0) -> metrics.Quality:
        """The quality of `samples` (n, 2), however they were drawn."""
        n = len(samples)
        return metrics.quality(samples, self.fresh(n, 2 * seed), self.fresh(n, 2 * seed + 1), self.cloud.support)


SAMPLING_KNOBS = {"sampler", "steps", "spacing", "eta", "variance", "langevin_step", "langevin_inner", "langevin_t"}


def _own_cloud(points: Tensor, labels: Tensor | None, classes: Any) -> Cloud:
    """One's own points out of a file, checked like an upload. Raises DataError, LabError."""
    if points.dtype != torch.float32:
        raise LabError("This experiment's points are not of the kind that this playground saves.")
    cloud = cloud_from_points(points.numpy())
    if labels is None:
        return cloud
    names = tuple(str(name) for name in classes) if isinstance(classes, list) else ()
    fits = labels.shape == points.shape[:1] and labels.dtype == torch.int64 and len(cloud.points) == len(points)
    if not fits or not 1 <= len(names) <= MAX_CLASSES or labels.min() < 0 or labels.max() >= len(names):
        raise LabError("This experiment's class labels do not fit its points.")
    return dataclasses.replace(cloud, labels=labels, classes=names)


def _check_classes(config: ToyConfig, cloud: Cloud) -> None:
    if config.conditional and cloud.labels is None:
        raise LabError(f"{cloud.name} has no classes to learn. Choose disc grid, two moons, spiral, rings …")
    if config.label is not None and not config.conditional:
        raise LabError("This network is not taught the classes: switch “learn the classes” on first (Data).")
    if config.label is not None and not 0 <= config.label < len(cloud.classes):
        raise LabError(f"{cloud.name} has the classes 0 to {len(cloud.classes) - 1}.")


def _differ(name: str, one: ToyConfig, other: ToyConfig) -> bool:
    a, b = _knob(one, name), _knob(other, name)
    return a is not b and (name == "points" or a != b)  # arrays have no single answer to ==


def _knob(config: ToyConfig, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
