"""Training from scratch while one watches, or teaching the trained network digits that a visitor drew."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.diffusion.sampling import sample
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.timeline import Timeline
from playground.diffusion.training import Diverged, Trainer, TrainingConfig, TrainStep
from playground.fair_lock import COMPUTE_LOCK, FairLock
from playground.mnist.classifier import load_reader
from playground.mnist.data import DIGITS, ImageDataError, ImageSet, mnist, to_bytes
from playground.mnist.generate import GenerateError, Request
from playground.mnist.networks import NetworkConfig, make_network
from playground.mnist.recipes import LIVE_14, LIVE_28
from playground.mnist.weights import ImageModel
from playground.settings import SETTINGS, Settings

Start = Literal["scratch", "shipped"]
REAL_BESIDE = 3_000  # real digits shown as often as the drawn ones, or the network would forget them
PREVIEWS = 16
LONGEST_WAIT = 10.0  # seconds between two previews: a page that hears nothing for long gives up on the run
PREVIEW_STEPS = 12
PREVIEW_GUIDANCE = 2.0  # readable minutes earlier than without
SHIFT = 2  # pixels by which copies of a drawn digit are shifted: a few drawings become many


@dataclass(frozen=True, eq=False)
class LiveConfig:
    """One training run: data, network and recipe. `drawn` (N, 1, 28, 28) in [-1, 1] and their `drawn_labels` (N,)."""

    size: int = 14
    start: Start = "scratch"
    seed: int = 0
    network: NetworkConfig = field(default_factory=lambda: LIVE_14.network)
    training: TrainingConfig = field(default_factory=lambda: LIVE_14.training)
    drawn: Tensor | None = None
    drawn_labels: Tensor | None = None
    data: ImageSet | None = None  # None: MNIST

    def __post_init__(self) -> None:
        if self.size not in (14, 28) or self.start not in ("scratch", "shipped"):
            raise GenerateError("Live training takes digits of 14×14 or 28×28 pixels, from scratch or from what ships.")
        if not 0 <= self.seed < 2**32:
            raise GenerateError(f"The seed must be a whole number from 0 to 2³² - 1; it is {self.seed}.")
        if self.drawn is not None and (
            self.drawn.shape[1:] != (1, 28, 28)
            or self.drawn_labels is None
            or self.drawn_labels.shape != self.drawn.shape[:1]
            or self.drawn_labels.dtype != torch.int64
            or not ((self.drawn_labels >= 0) & (self.drawn_labels < len(DIGITS))).all()
        ):
            raise ImageDataError("Drawn digits are 28×28, each with a label from 0 to 9.")

    @classmethod
    def scratch(cls, size: int = 14, seed: int = 0, data: ImageSet | None = None, **training: Any) -> LiveConfig:
        """From random weights, by the recipe for this size; `training` changes it."""
        recipe = LIVE_28 if size == 28 else LIVE_14
        return cls(size, "scratch", seed, recipe.network, dataclasses.replace(recipe.training, **training), data=data)

    @classmethod
    def teach(cls, model: ImageModel, drawn: Tensor, labels: Tensor, seed: int = 0) -> LiveConfig:
        """From trained weights, on `drawn` digits (N, 1, 28, 28) among real ones."""
        recipe = model.card["recipe"]
        training = TrainingConfig(**recipe["training"])
        gentle = dataclasses.replace(
            training,
            optimizer="adamw",  # Muon's steps have a fixed size: too large a change for weights that are good already
            learning_rate=3e-4,
            batch_size=32,
            warmup_steps=20,
            decay="with_time",
        )
        return cls(28, "shipped", seed, NetworkConfig(**recipe["network"]), gentle, drawn, labels)

    def differs(self, other: LiveConfig) -> bool:
        """Whether `other` needs a new network: all else may change between two steps, a new seed waits for Reset."""
        same = all(getattr(self, name) == getattr(other, name) for name in ("size", "start", "network"))
        for name in ("prediction", "optimizer"):
            same = same and getattr(self.training, name) == getattr(other.training, name)
        drawn = 0 if self.drawn is None else len(self.drawn), 0 if other.drawn is None else len(other.drawn)
        return not same or self.data is not other.data or drawn[0] != drawn[1]

    def images(self) -> ImageSet:
        """The digits to learn from."""
        if self.data is not None:
            return self.data.resized(self.size)
        if self.drawn is None or self.drawn_labels is None:
            return real_digits(self.size)
        rng = torch.Generator().manual_seed(self.seed)
        real = mnist()
        chosen = torch.randperm(len(real), generator=rng)[:REAL_BESIDE]
        which = torch.arange(REAL_BESIDE) % len(self.drawn)
        moves = torch.randint(-SHIFT, SHIFT + 1, (REAL_BESIDE, 2), generator=rng).tolist()
        moved = torch.stack([_moved(self.drawn[k], *move) for k, move in zip(which.tolist(), moves, strict=True)])
        assert real.labels is not None
        return dataclasses.replace(
            real,
            name=f"MNIST and {len(self.drawn)} drawn",
            images=torch.cat([real.images[chosen], to_bytes(moved)]),
            labels=torch.cat([real.labels[chosen], self.drawn_labels[which]]),
        )


def _moved(image: Tensor, right: int, down: int) -> Tensor:
    """`image` (C, H, W), shifted by some pixels; what comes in from outside is background."""
    return F.pad(image, (right, -right, down, -down), value=-1.0)


@lru_cache(maxsize=2)
def real_digits(size: int) -> ImageSet:
    """MNIST's training digits at `size`: one copy for all visitors."""
    return mnist().resized(size)


class LiveRun:
    """A network in training, its past, and what it draws."""

    def __init__(self, config: LiveConfig, model: ImageModel) -> None:
        self.config, self.images = config, config.images()
        self.schedule = ScheduleConfig("cosine", 1000).make()
        network: nn.Module
        if config.start == "shipped":
            network = copy.deepcopy(model.network).requires_grad_(True).train()
        else:
            network = make_network(config.network, self.images.shape, len(self.images.classes), config.seed)
        labels = self.images.labels
        self.trainer = Trainer(
            network, self.images, self.schedule, config.training, config.seed, labels, len(self.images.classes)
        )
        self.timeline = Timeline(self.trainer, SETTINGS.image_timeline_bytes)
        self._lock = threading.RLock()

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.step_count

    def train(self, steps: int | None = None) -> Iterator[TrainStep]:
        """`steps` more, or as many as are pulled. Raises Diverged; then `rewind` leads back."""
        done = 0
        while steps is None or done < steps:
            with self._lock:  # `rewind` and `state` wait for the end of a step
                step = self.trainer.step()
                self.timeline.keep_if_due()
            done += 1
            yield step

    def adopt(self, training: TrainingConfig) -> None:
        """Train with other settings from the next step on."""
        with self._lock:
            self.config = dataclasses.replace(self.config, training=training)
            self.trainer.config = training

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, at one moment."""
        with self._lock:
            return self.trainer.state_dict()

    def keep(self) -> None:
        """Put this very step on the timeline."""
        with self._lock:
            self.timeline.keep()

    def rewind(self, step: int) -> int:
        """`Timeline.rewind`: back to the last checkpoint at or before `step`. Returns the step arrived at."""
        with self._lock:
            return self.timeline.rewind(step)

    def model(self) -> ImageModel:
        """The averaged weights as they are now, apart from further training."""
        with self._lock:
            network = copy.deepcopy(self.trainer.ema).eval()
        card = {"recipe": {"network": dataclasses.asdict(self.config.network)}}
        card["recipe"]["training"] = dataclasses.asdict(self.config.training)
        shape, classes = self.images.shape, self.images.classes
        name = f"{self.images.name}, step {self.step:,}"
        return ImageModel(name, network, self.config.training.prediction, shape, classes, card)

    def request(self) -> Request:
        """What the previews ask for: each class once, then again, always from the same noise."""
        classes = len(self.images.classes)
        labels = [k % classes for k in range(PREVIEWS)] if classes else None
        return Request.of(labels, PREVIEWS, seed=self.config.seed, guidance_scale=PREVIEW_GUIDANCE, steps=PREVIEW_STEPS)


@dataclass(frozen=True)
class Preview:
    """One look at a run. `x` (16, C, H, W) in [-1, 1]: guided samples of the averaged weights, classes `labels`.

    `losses`: (step, mean loss since the look before); `right`: the share of `x` that is read as its class.
    """

    step: int
    x: Tensor
    labels: Tensor | None
    losses: list[tuple[int, float]]
    steps_per_second: float
    seconds: float  # of training since Train was last pressed
    right: float | None  # None where the reader cannot tell: it knows digits only
    running: bool
    note: str = ""


@dataclass
class Control:
    """What other threads may change while a run goes on."""

    paused: bool = False


@torch.no_grad()
def look(run: LiveRun, lock: FairLock, **facts: Any) -> Preview:
    """A preview of a run as it stands."""
    request, model = run.request(), run.model()
    labels = request.check(model)
    states = sample(
        model.denoiser(labels, request.guidance_scale), run.schedule, request.noise(model), request.sampling
    )
    done = False
    while not done:
        with lock.work():
            state = next(states)
            done = state.t < 0
    right = None
    if run.config.data is None and labels is not None:
        large = F.interpolate(state.x, (28, 28), mode="bilinear") if model.shape[1] != 28 else state.x
        right = float((load_reader()(large).argmax(1) == labels).float().mean())
    return Preview(step=run.step, x=state.x, labels=labels, right=right, **facts)


def watch(
    run: LiveRun, control: Control, settings: Settings = SETTINGS, lock: FairLock = COMPUTE_LOCK
) -> Iterator[Preview]:
    """Train until paused, diverged or at a limit, with a preview now and then and one at the end.

    Previews take no more than a set share of the time, and come sooner at first, when each step changes most.
    """
    began = started = time.perf_counter()
    drawing, pending, note = 0.0, [], ""
    next_look = run.step + 1
    try:
        steps = run.train()
        while not control.paused:
            with lock.work():
                step = next(steps)
            pending.append(step.loss)
            now = time.perf_counter()
            if now - started > settings.max_training_seconds:
                note = f"Paused after {settings.max_training_seconds / 60:.0f} minutes. Press Train to go on."
                break
            if step.step >= settings.max_training_steps:
                note = f"Stopped at {step.step:,} steps, the most one run may take."
                break
            late = now - began > LONGEST_WAIT
            if (step.step >= next_look or late) and now - began >= drawing * (1 / settings.image_preview_share - 1):
                yield look(run, lock, running=True, **_facts(run, pending, now - began, now - started))
                pending, began = [], time.perf_counter()
                drawing = began - now
                next_look = step.step + max(2, step.step // 20)
        run.keep()
    except Diverged as error:
        note = str(error)
    now = time.perf_counter()
    yield look(run, lock, running=False, note=note, **_facts(run, pending, now - began, now - started))


def _facts(run: LiveRun, losses: list[float], lately: float, seconds: float) -> dict[str, Any]:
    return {
        "losses": [(run.step, sum(losses) / len(losses))] if losses else [],
        "steps_per_second": len(losses) / max(lately, 1e-6),
        "seconds": seconds,
    }
