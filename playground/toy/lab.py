"""ToyLab: one visitor's experiment on a cloud of points in the plane, free of any page.

    lab = ToyLab(ToyConfig(dataset="spiral", seed=0))
    for step in lab.train(steps=2000): ...
    path = lab.sample(10_000, steps=20, seed=1)

The network works in standardised coordinates (mean 0, one common scale of variance 1); results are in the data's
coordinates.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.metrics import Quality
from playground.diffusion.sampling import SamplePath, SampleStep
from playground.diffusion.timeline import Timeline
from playground.diffusion.training import Trainer, TrainStep
from playground.settings import SETTINGS
from playground.storage import StorageError, decode, encode, flatten, unflatten
from playground.toy.config import LabError, ToyConfig
from playground.toy.data import Cloud
from playground.toy.network import PointMLP
from playground.toy.snapshot import Snapshot
from playground.toy.user_points import MAX_CLASSES, cloud_from_points

BOX_MARGIN = 0.1  # x̂0 may leave the data's bounding box by at most this share of its size
FORMAT = "diffusion-playground/toy/1"
MAX_STEP = 10**9  # of a file's experiment
RESTARTS = ("dataset", "points", "n_points", "seed", "conditional", "network", "training.prediction")


class ToyLab:
    """Data, a network in training, and what can be asked of it. Safe to use from several threads.

    Raises the errors of ToyConfig (all ValueErrors) for what cannot be run.
    """

    def __init__(self, config: ToyConfig | None = None) -> None:
        self._lock = threading.RLock()
        self.run = 0  # counts restarts, so that a frame of the last experiment is not taken for one of this
        self.restart(config or ToyConfig())

    # --- the experiment ------------------------------------------------------------------------------------------

    def restart(self, config: ToyConfig) -> None:
        """A new experiment from step 0. When `config` cannot be run, the old one is left as it is."""
        cloud = config.make_cloud()
        _check_classes(config, cloud)
        with self._lock:
            self.config, self.cloud = config, cloud
            self.schedule = config.schedule.make()
            self.mean = cloud.points.mean(0)  # (2,)
            self.std = (cloud.points - self.mean).square().mean().sqrt()  # one scale for both axes keeps the shape
            self.standard = standard = (cloud.points - self.mean) / self.std
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
            self._floors: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
            self.timeline = Timeline(self.trainer, SETTINGS.timeline_bytes)
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
            if config.schedule != self.config.schedule:
                self.schedule, self._floors = config.schedule.make(), {}
            self.config = config
            self.trainer.config, self.trainer.schedule = config.training, self.schedule
            return "live"

    def take_over(self, other: ToyLab) -> None:
        """Become the lab `other`, but keep this lab's lock and count of runs."""
        with self._lock:
            run = self.run
            self.__dict__.update({k: v for k, v in other.__dict__.items() if k != "_lock"})
            self.run = run + 1

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.trainer.step_count

    def train(self, steps: int | None = None) -> Iterator[TrainStep]:
        """`steps` more steps of Algorithm 1, or as many as are asked for: stop iterating to pause, go on to continue.

        Raises Diverged; `rewind` undoes it.
        """
        with self._lock:
            self.trainer.planned_steps = None if steps is None else self.step + steps
        done = 0
        while steps is None or done < steps:
            with self._lock:  # `update`, `rewind` and `reset` wait for the end of a step
                step = self.trainer.step()
                self.timeline.keep_if_due()
            done += 1
            yield step

    # --- the timeline --------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Put the current step on the timeline."""
        with self._lock:
            self.timeline.keep()

    def rewind(self, step: int) -> int:
        """`Timeline.rewind`: back to the last checkpoint at or before `step`. Returns the step arrived at."""
        with self._lock:
            return self.timeline.rewind(step)

    # --- keeping it ----------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The experiment as a safetensors file: config, user points, weights, average, optimiser, random state."""
        with self._lock:
            tensors, rest = flatten(self.trainer.state_dict())
            config = self.config
        if config.points is not None:
            tensors["points"] = self.cloud.points.contiguous()
            if self.cloud.labels is not None:
                tensors["labels"], rest["classes"] = self.cloud.labels, list(self.cloud.classes)
        return encode(FORMAT, config.to_dict(), tensors, rest)

    @classmethod
    def from_bytes(cls, data: bytes) -> ToyLab:
        """The inverse of `to_bytes`: samples are bit-identical, training goes on where it stood. Raises LabError."""
        try:
            config, tensors, rest = decode(data, FORMAT, "a toy lab's experiment")
        except StorageError as error:
            raise LabError(str(error)) from error
        points: Any = tensors.get("points")
        if points is not None:
            points = _user_cloud(points, tensors.get("labels"), rest.get("classes"))
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
        started = any(name.startswith("optimizer/") for name in tensors)
        state = self.trainer.blank_state() if started else self.trainer.state_dict()
        try:
            filled = unflatten(state, tensors, rest)
            if not 0 <= filled["step_count"] <= MAX_STEP:
                raise ValueError(f"no run has {filled['step_count']} steps")
            self.trainer.load_state_dict(filled)
        except (KeyError, ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise LabError("This experiment's weights do not fit the network in its configuration.") from error
        self.timeline = Timeline(self.trainer, SETTINGS.timeline_bytes)

    # --- looking: all of it at one moment, whatever other threads change meanwhile --------------------------------

    def now(self) -> Snapshot:
        """The lab at this moment: all that is asked of a snapshot is about one and the same experiment."""
        with self._lock:
            trainer = self.trainer
            return Snapshot(
                self.run,
                self.step,
                self.config,
                self.cloud,
                self.schedule,
                self.mean,
                self.std,
                self.box,
                self.standard,
                trainer.labels,
                self._exact,
                copy.deepcopy(trainer.ema),
                self._floors,
            )

    def sample(self, n: int, **arguments: Any) -> SamplePath:
        """`Snapshot.sample` of now."""
        return self.now().sample(n, **arguments)

    def sampling(self, n: int, **arguments: Any) -> Iterator[SampleStep]:
        """`Snapshot.sampling` of now."""
        return self.now().sampling(n, **arguments)

    def quality(self, n: int = 2_000, *, seed: int = 0, **knobs: Any) -> Quality:
        """`Snapshot.quality` of now."""
        return self.now().quality(n, seed=seed, **knobs)


def _user_cloud(points: Tensor, labels: Tensor | None, classes: Any) -> Cloud:
    """The visitor's own points from a file, checked like an upload. Raises DataError, LabError."""
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
