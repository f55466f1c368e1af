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
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from playground.diffusion.knobs import check_types
from playground.diffusion.prediction import PREDICTIONS, Prediction, target
from playground.diffusion.schedules import NoiseSchedule

NoiseLevels = Literal["log_normal", "uniform"]
Decay = Literal["with_time", "cosine", "constant"]
NOISE_LEVELS: tuple[NoiseLevels, ...] = get_args(NoiseLevels)
DECAYS: tuple[Decay, ...] = get_args(Decay)

DIVERGED = 100.0  # an untrained network's loss is about 1 on standardised data (2 for the flow); see Trainer.step


class TrainingError(ValueError):
    """These settings cannot train; the message says which knob to turn."""


class Diverged(RuntimeError):
    """The loss left for infinity; the message says why, as far as it can be told."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; every field may change between two steps. The defaults are the Fast recipe."""

    prediction: Prediction = "v"  # its target has unit variance at every noise level, so weight 1 fits all of them
    noise_levels: NoiseLevels = "log_normal"  # of σ/α, Karras et al. 2022, §5; or t uniform, as Ho et al. 2020
    p_mean: float = -1.2  # mean and standard deviation of ln(σ/α)
    p_std: float = 1.2
    batch_size: int = 256
    learning_rate: float = 1e-2
    beta2: float = 0.99  # Adam's memory of squared gradients: short, since the run is
    warmup_steps: int = 20  # Adam's first steps know nothing of the gradient's scale
    decay: Decay = "with_time"  # ∝ 1/√step after `decay_steps`: needs no planned end. "cosine" falls to 0 at a set end
    decay_steps: int = 400
    ema_decay: float = 0.99  # exponential moving average of the weights; 0 is none
    label_dropout: float = 0.1  # share of labels hidden, so that one network also learns to do without (guidance)

    def __post_init__(self) -> None:
        check_types(self, TrainingError)
        if self.prediction not in PREDICTIONS or self.noise_levels not in NOISE_LEVELS or self.decay not in DECAYS:
            raise TrainingError(
                f"prediction is one of {', '.join(PREDICTIONS)}; noise levels one of {', '.join(NOISE_LEVELS)}; "
                f"decay one of {', '.join(DECAYS)}."
            )
        if not 1 <= self.batch_size <= 2_048:
            raise TrainingError(f"The batch size must lie in 1 … 2,048; it is {self.batch_size}.")
        if not 0 < self.learning_rate <= 100:
            raise TrainingError(f"The learning rate must lie in (0, 100]; it is {self.learning_rate}.")
        if not (abs(self.p_mean) <= 10 and 0 < self.p_std <= 5):  # beyond, (σ/α)² leaves float32
            raise TrainingError("The mean of ln σ must lie in -10 … 10, its spread in (0, 5].")
        if self.warmup_steps < 0 or self.decay_steps < 1:
            raise TrainingError("The warm-up takes at least 0 steps, the decay at least 1.")
        if not (0 <= self.ema_decay < 1 and 0 <= self.beta2 < 1 and 0 <= self.label_dropout <= 1):
            raise TrainingError("EMA, β₂ and label dropout are shares: they must lie in [0, 1).")


@dataclass(frozen=True)
class TrainStep:
    """One gradient step: its number (from 1), the batch's loss, the rate used, seconds spent on it."""

    step: int
    loss: float
    learning_rate: float
    seconds: float


class Trainer:
    """A network in training, its moving average, its optimiser and its random numbers.

    `network(x, alpha, sigma, labels)` takes x (B, D) with α² + σ² = 1, levels (B, 1) and labels (B,) or None, where the
    label `classes` means unknown. `x0` (N, D) standardised; `labels` (N,). `config` and `schedule` may be replaced
    between steps.
    """

    def __init__(
        self,
        network: nn.Module,
        x0: Tensor,
        schedule: NoiseSchedule,
        config: TrainingConfig,
        seed: int,
        labels: Tensor | None = None,
        classes: int = 0,
    ) -> None:
        self.network, self.x0, self.labels, self.classes = network, x0, labels, classes
        self.schedule, self.config = schedule, config
        self.ema = copy.deepcopy(network).requires_grad_(False)
        self.generator = torch.Generator().manual_seed(seed)
        self._optimizer: torch.optim.Optimizer | None = None
        self.step_count = 0
        self.planned_steps: int | None = None  # the end that "cosine" decays towards
        self.smooth_loss = 1.0

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Made at the first step: torch.optim takes seconds to import, and a page should be up before."""
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)
        return self._optimizer

    def steps(self, n: int | None = None) -> Iterator[TrainStep]:
        """`n` more steps, or as many as are pulled. Raises Diverged."""
        self.planned_steps = None if n is None else self.step_count + n
        while self.planned_steps is None or self.step_count < self.planned_steps:
            yield self.step()

    def step(self) -> TrainStep:
        """One round of Algorithm 1. Raises Diverged when the loss is no number, or a hundred times its start."""
        started, config, rng = time.perf_counter(), self.config, self.generator
        index = torch.randint(len(self.x0), (config.batch_size,), generator=rng)
        x0 = self.x0[index]  # (B, D)
        alpha, sigma = self.draw_levels(config.batch_size)  # (B, 1), (B, 1)
        eps = torch.randn(x0.shape, generator=rng)  # ε ~ N(0, I)
        labels = self._draw_labels(index)

        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = rate, (0.9, config.beta2)
        output = self.network(alpha * x0 + sigma * eps, alpha, sigma, labels)
        loss = (output - target(config.prediction, x0, eps, alpha, sigma)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step_count += 1
        self._update_ema()

        value = loss.item()
        self.smooth_loss += (min(value, 1e12) - self.smooth_loss) / min(self.step_count, 10)
        if not math.isfinite(value) or self.smooth_loss > DIVERGED:
            raise Diverged(
                f"Training diverged at step {self.step_count}: the loss is {value:.3g}, where an untrained network has "
                f"about 1. The learning rate is {config.learning_rate:g}; 0.01 or less works here. Rewind or reset, "
                "then lower it."
            )
        return TrainStep(self.step_count, value, rate, time.perf_counter() - started)

    def draw_levels(self, n: int) -> tuple[Tensor, Tensor]:
        """(α, σ), each (n, 1) with α² + σ² = 1; stratified, so that every batch sees the whole range."""
        strata = (torch.arange(n) + torch.rand(n, generator=self.generator)) / n  # (n,) one in each n-th of [0, 1)
        if self.config.noise_levels == "uniform":
            t = (strata * len(self.schedule)).long().clamp_max(len(self.schedule) - 1)  # float32 may round up to T
            alpha = self.schedule.alphas_cumprod[t].sqrt().float()[:, None]
            return alpha, (1 - self.schedule.alphas_cumprod[t]).sqrt().float()[:, None]
        normal = torch.special.ndtri(strata.clamp(1e-6, 1 - 1e-6))
        ratio = torch.exp(self.config.p_mean + self.config.p_std * normal)[:, None]  # σ/α
        alpha = (1 + ratio.square()).rsqrt()
        return alpha, ratio * alpha

    def learning_rate(self) -> float:
        """The rate of the coming step."""
        step, config = self.step_count + 1, self.config
        rate = config.learning_rate * min(1.0, step / (config.warmup_steps + 1))
        if config.decay == "with_time":
            return rate / math.sqrt(max(1.0, step / config.decay_steps))
        if config.decay == "cosine" and self.planned_steps:
            return rate * (1 + math.cos(math.pi * min(1.0, step / self.planned_steps))) / 2
        return rate

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as copies; config, data and schedule apart."""
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

    def _draw_labels(self, index: Tensor) -> Tensor | None:
        if self.labels is None:
            return None
        hidden = torch.rand(len(index), generator=self.generator) < self.config.label_dropout
        return torch.where(hidden, self.classes, self.labels[index])

    @torch.no_grad()
    def _update_ema(self) -> None:
        # Early on the average must forget its random start: (1 + n)/(10 + n) is below any usual decay for a while.
        decay = min(self.config.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        for average, parameter in zip(self.ema.parameters(), self.network.parameters(), strict=True):
            average.lerp_(parameter, 1 - decay)
