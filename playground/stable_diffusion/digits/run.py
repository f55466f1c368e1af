"""The training loop that the VAE, CLIP and the U-Net share: steps, a running average, checkpoints, a card.

Every step's random numbers follow from the recipe's seed and the step alone, so a run killed at any moment goes on from
its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion.optimizer import Optimizer, OptimizerName
from playground.diffusion.training import TrainStep, update_average
from playground.storage import unflatten
from playground.training_run import progress, read_checkpoint, write_checkpoint

FORMAT = "diffusion-playground/tiny-run/1"
CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of one part's training."""

    steps: int
    batch_size: int
    learning_rate: float
    optimizer: OptimizerName = "adamw"
    beta2: float = 0.99
    warmup_steps: int = 200
    flat: float = 0.4  # share of the run at the full rate; a cosine to 0 follows
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0

    def learning_rate_at(self, step: int) -> float:
        """The rate of step 0, 1, …"""
        late = max(0.0, (step / self.steps - self.flat) / (1 - self.flat))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup_steps) * (1 + math.cos(math.pi * late)) / 2


@dataclass(frozen=True)
class Chance:
    """The random numbers of one step, for torch and for words."""

    torch: torch.Generator
    words: random.Random

    @classmethod
    def of(cls, seed: int, step: int) -> Chance:
        """Of step `step` in a run from `seed`."""
        number = seed * 1_000_003 + step
        return cls(torch.Generator().manual_seed(number), random.Random(number))


class Training:
    """`network` under a recipe, `average` its running average; `loss(chance)` says how wrong it is on a new batch."""

    def __init__(
        self, name: str, network: nn.Module, loss: Callable[[Chance], Tensor], recipe: Recipe, folder: Path
    ) -> None:
        self.name, self.network, self.loss, self.recipe = name, network, loss, recipe
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.optimizer = Optimizer(network, recipe.optimizer)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / f"{name}-checkpoint.safetensors"
        if self.checkpoint.exists():
            self._resume()

    def steps(self) -> Iterator[TrainStep]:
        """The steps that are left, a checkpoint now and then and at the end."""
        while self.step < self.recipe.steps:
            step = self._one_step()
            self.seconds += step.seconds
            if self.step % CHECKPOINT_EVERY == 0 or self.step == self.recipe.steps:
                self.save()
            yield step

    def _one_step(self) -> TrainStep:
        started, recipe = time.perf_counter(), self.recipe
        rate = recipe.learning_rate_at(self.step)
        loss = self.loss(Chance.of(recipe.seed, self.step))
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.max_grad_norm)
        self.optimizer.step(rate, recipe.beta2, recipe.weight_decay)
        self.step += 1
        update_average(self.average, self.network, recipe.ema_decay, self.step)
        return TrainStep(self.step, loss.item(), rate, time.perf_counter() - started)

    @property
    def _config(self) -> dict[str, Any]:
        return {"name": self.name, **dataclasses.asdict(self.recipe)}

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def save(self) -> None:
        """Write the checkpoint, wholly or not at all."""
        write_checkpoint(self.checkpoint, FORMAT, self._config, self._state())

    def _resume(self) -> None:
        tensors, rest = read_checkpoint(self.checkpoint, FORMAT, "a checkpoint of the tiny model", self._config)
        if int(rest["step"]) == 0:
            return
        blank = self._blank()
        state = unflatten(blank, tensors, rest)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _blank(self) -> dict[str, Any]:
        """A state of the right shape: momenta come with the first step, which at rate 0 moves nothing."""
        for weight in self.network.parameters():
            weight.grad = torch.zeros_like(weight)
        self.optimizer.step(0.0, self.recipe.beta2, 0.0)
        return self._state()


def run(training: Training) -> Iterator[TrainStep]:
    """The steps left, with a progress bar that shows the loss."""
    return progress(training.steps(), training.recipe.steps, training.step)
