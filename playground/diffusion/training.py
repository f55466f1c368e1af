"""Algorithm 1 of Ho et al. 2020, as a generator: draw data, draw noise, mix, predict, step.

repeat
    x_0 ~ q(x_0)                         a batch of the data
    (α, σ) ~ a distribution of levels    in the paper: t ~ Uniform({1, …, T})
    ε ~ N(0, I)
    gradient step on  ‖target - network(α x_0 + σ ε, α, σ)‖²
until converged
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from playground.diffusion.knobs import check_types
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.optimizer import OPTIMIZERS, Optimizer, OptimizerName
from playground.diffusion.prediction import PREDICTIONS, Prediction, target
from playground.refusal import Refusal

NoiseLevels = Literal["log_normal", "uniform", "angle"]
Decay = Literal["with_time", "cosine", "late_cosine", "constant"]
NOISE_LEVELS: tuple[NoiseLevels, ...] = get_args(NoiseLevels)
DECAYS: tuple[Decay, ...] = get_args(Decay)

CHOICES: dict[str, tuple[str, ...]] = {
    "prediction": PREDICTIONS,
    "noise_levels": NOISE_LEVELS,
    "optimizer": OPTIMIZERS,
    "decay": DECAYS,
}
LATE = 0.4  # "late_cosine" holds the rate for this share of the run
DIVERGED = 100.0  # an untrained network's loss is about 1 on standardised data (2 for the flow); see Trainer.step


class TrainingError(Refusal):
    """These settings cannot train; the message says which knob to turn."""


class Diverged(RuntimeError):
    """The loss has diverged; the message says why, as far as one can tell."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; every field may change between two steps. The defaults are the Fast recipe."""

    prediction: Prediction = "v"  # its target has unit variance at every noise level, so all levels can have weight 1
    noise_levels: NoiseLevels = "log_normal"  # σ/α, Karras et al. 2022, §5; t uniform, Ho et al.; or the angle
    p_mean: float = -1.2  # mean and standard deviation of ln(σ/α)
    p_std: float = 1.2
    batch_size: int = 256
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-2
    beta2: float = 0.99  # Adam's memory of squared gradients: short, as the run is
    warmup_steps: int = 20  # Adam's first steps know nothing of the gradient's scale
    decay: Decay = "with_time"  # ∝ 1/√step after `decay_steps`, needs no planned end; the cosines fall to 0 at one
    decay_steps: int = 400
    ema_decay: float = 0.99  # exponential moving average of the weights; 0 is none
    weight_decay: float = 0.0  # decoupled from the gradient, as in AdamW (Loshchilov & Hutter 2019)
    max_grad_norm: float = 0.0  # gradients are clipped to this norm; 0 is no clipping
    label_dropout: float = 0.1  # share of labels hidden: guidance needs the network without a class too

    def __post_init__(self) -> None:
        check_types(self, TrainingError)
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise TrainingError(f"{name} is one of {', '.join(words)}.")
        if not 1 <= self.batch_size <= 2_048:
            raise TrainingError(f"The batch size must lie in 1 … 2,048; it is {self.batch_size}.")
        if not 0 < self.learning_rate <= 100:
            raise TrainingError(f"The learning rate must lie in (0, 100]; it is {self.learning_rate}.")
        if not (abs(self.p_mean) <= 10 and 0 < self.p_std <= 5):  # beyond, (σ/α)² leaves float32
            raise TrainingError("The mean of ln(σ/α) must lie in -10 … 10, its spread in (0, 5].")
        if self.warmup_steps < 0 or self.decay_steps < 1:
            raise TrainingError("The warm-up takes at least 0 steps, the decay at least 1.")
        if not (0 <= self.ema_decay < 1 and 0 <= self.beta2 < 1 and 0 <= self.label_dropout <= 1):
            raise TrainingError("EMA, β₂ and label dropout are shares: they must lie in [0, 1).")
        if not (0 <= self.weight_decay <= 1 and 0 <= self.max_grad_norm <= 1e6):
            raise TrainingError("Weight decay must lie in 0 … 1, the longest gradient in 0 … 10⁶.")


def draw_levels(
    n: int, config: TrainingConfig, schedule: NoiseSchedule, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(α, σ), each (n,) with α² + σ² = 1; stratified, so that every batch sees the whole range."""
    strata = (torch.arange(n) + torch.rand(n, generator=generator)) / n  # (n,) one in each n-th of [0, 1)
    if config.noise_levels == "angle":
        angle = strata * (math.pi / 2)
        return angle.cos(), angle.sin()
    if config.noise_levels == "uniform":
        t = (strata * len(schedule)).long().clamp_max(len(schedule) - 1)  # float32 may round up to T
        alphas_cumprod = schedule.alphas_cumprod[t]
        return alphas_cumprod.sqrt().float(), (1 - alphas_cumprod).sqrt().float()
    normal = torch.special.ndtri(strata.clamp(1e-6, 1 - 1e-6))
    ratio = torch.exp(config.p_mean + config.p_std * normal)  # σ/α
    alpha = (1 + ratio.square()).rsqrt()
    return alpha, ratio * alpha


class Rows(Protocol):
    """Data to learn from: a tensor (N, …) of x_0, or anything that returns one for a tensor of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """The data of one step: `x0`, `eps` (B, …), `alpha`, `sigma` (B, 1, …), `labels` (B,) or None."""

    x0: Tensor
    eps: Tensor
    alpha: Tensor
    sigma: Tensor
    labels: Tensor | None

    def loss(self, network: nn.Module, prediction: Prediction) -> Tensor:
        """‖target - network(α x_0 + σ ε, α, σ)‖², averaged over all entries."""
        x = self.alpha * self.x0 + self.sigma * self.eps
        output = network(x, self.alpha, self.sigma, self.labels)
        return (output - target(prediction, self.x0, self.eps, self.alpha, self.sigma)).square().mean()

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        x0, eps, alpha, sigma = (tensor.to(device) for tensor in (self.x0, self.eps, self.alpha, self.sigma))
        return Batch(x0, eps, alpha, sigma, labels)

    def part(self, index: int, of: int) -> Batch:
        """Every `of`-th row from `index` on: the share of one of several processes."""
        rows = slice(index, None, of)
        labels = None if self.labels is None else self.labels[rows]
        return Batch(self.x0[rows], self.eps[rows], self.alpha[rows], self.sigma[rows], labels)


def draw_batch(
    x0: Tensor,
    labels: Tensor | None,
    classes: int,
    config: TrainingConfig,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> Batch:
    """Noise levels and noise for data `x0` (B, …); some of the `labels` (B,) become `classes`, which means unknown."""
    alpha, sigma = draw_levels(len(x0), config, schedule, generator)
    eps = torch.randn(x0.shape, generator=generator)  # ε ~ N(0, I)
    if labels is not None:
        hidden = torch.rand(len(x0), generator=generator) < config.label_dropout
        labels = torch.where(hidden, classes, labels)
    shape = (-1,) + (1,) * (x0.ndim - 1)
    return Batch(x0, eps, alpha.reshape(shape), sigma.reshape(shape), labels)


def learning_rate_at(step: int, config: TrainingConfig, planned_steps: int | None) -> float:
    """The rate at step number `step` (from 1) of a run of `planned_steps`, or of a run without a planned end."""
    rate = config.learning_rate * min(1.0, step / (config.warmup_steps + 1))
    if config.decay == "with_time":
        return rate / math.sqrt(max(1.0, step / config.decay_steps))
    if config.decay in ("cosine", "late_cosine") and planned_steps:
        begin = LATE if config.decay == "late_cosine" else 0.0
        done = (min(1.0, step / planned_steps) - begin) / (1 - begin)
        return rate * (1 + math.cos(math.pi * max(0.0, done))) / 2
    return rate


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """The exponential moving average of the weights, after step number `step`; buffers are copied.

    Early on the decay is at most (1 + n)/(10 + n), so that the average soon forgets its random start.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)  # batch norm's running statistics are averages already


@dataclass(frozen=True)
class TrainStep:
    """One gradient step: its number (from 1), the batch's loss, the rate used, seconds spent on it."""

    step: int
    loss: float
    learning_rate: float
    seconds: float


class Trainer:
    """A network in training, its moving average, its optimiser and its random numbers.

    `network(x, alpha, sigma, labels)` takes x (B, …) with α² + σ² = 1, levels (B, 1, …) and labels (B,) or None, where
    the label `classes` means unknown. `x0` (N, …) standardised; `labels` (N,). `config` and `schedule` may be replaced
    between steps.
    """

    def __init__(
        self,
        network: nn.Module,
        x0: Rows,
        schedule: NoiseSchedule,
        config: TrainingConfig,
        seed: int,
        labels: Tensor | None = None,
        classes: int = 0,
    ) -> None:
        self.network, self.x0, self.labels, self.classes = network, x0, labels, classes
        self.schedule, self.config = schedule, config
        self.ema = copy.deepcopy(network).requires_grad_(False).eval()  # never trained: batch norm has to know
        self.generator = torch.Generator().manual_seed(seed)
        self._optimizer: Optimizer | None = None
        self.step_count = 0
        self.planned_steps: int | None = None  # the end that "cosine" decays towards
        self.smooth_loss = 1.0

    @property
    def optimizer(self) -> Optimizer:
        """Made at the first step: torch.optim takes seconds to import, and the page should be up by then."""
        if self._optimizer is None:
            self._optimizer = Optimizer(self.network, self.config.optimizer)
        return self._optimizer

    def steps(self, n: int | None = None) -> Iterator[TrainStep]:
        """`n` more steps, or as many as are pulled. Raises Diverged."""
        self.planned_steps = None if n is None else self.step_count + n
        while self.planned_steps is None or self.step_count < self.planned_steps:
            yield self.step()

    def step(self) -> TrainStep:
        """One round of Algorithm 1. Raises Diverged when the loss is not finite, or stays above a hundred."""
        started, config, rng = time.perf_counter(), self.config, self.generator
        index = torch.randint(len(self.x0), (config.batch_size,), generator=rng)
        labels = None if self.labels is None else self.labels[index]
        batch = draw_batch(self.x0[index], labels, self.classes, config, self.schedule, rng)
        rate = learning_rate_at(self.step_count + 1, config, self.planned_steps)
        self.network.zero_grad()
        loss = self.backward(batch)
        if config.max_grad_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), config.max_grad_norm)
        self.optimizer.step(rate, config.beta2, config.weight_decay)
        self.step_count += 1
        update_average(self.ema, self.network, config.ema_decay, self.step_count)

        value = loss.item()
        self.smooth_loss += (min(value, 1e12) - self.smooth_loss) / min(self.step_count, 10)
        if not math.isfinite(value) or self.smooth_loss > DIVERGED:
            raise Diverged(
                f"Training diverged at step {self.step_count}: the loss is {value:.3g}; that of an untrained network "
                f"is about 1. The learning rate is {config.learning_rate:g}; 0.01 or less works here. Rewind or reset, "
                "then lower it."
            )
        return TrainStep(self.step_count, value, rate, time.perf_counter() - started)

    def backward(self, batch: Batch) -> Tensor:
        """The batch's loss; its gradients are in the network afterwards."""
        loss = batch.loss(self.network, self.config.prediction)
        loss.backward()
        return loss.detach()

    def blank_state(self) -> dict[str, Any]:
        """A `state_dict` with every entry present, to read a file into: before its first step an optimiser has no
        state, and so no shapes.
        """
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step(0.0, 0.0, 0.0)
        return self.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that the next step depends on, except config, data and schedule."""
        return copy.deepcopy(
            {
                "network": self.network.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": self._optimizer and self._optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "step_count": self.step_count,
                "smooth_loss": self.smooth_loss,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self._optimizer = None
        if state["optimizer"]:
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.generator.set_state(state["generator"])
        self.step_count, self.smooth_loss = state["step_count"], state["smooth_loss"]
