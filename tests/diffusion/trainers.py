"""Small trainers for the tests of training."""

from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import (
    Trainer,
    TrainingConfig,
)

SCHEDULE = ScheduleConfig("cosine", 100).make()


class Line(nn.Module):
    """w x, recording its inputs: one weight, so that a gradient step can be done by hand."""

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.asked: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "Line":
        return Line(self.weight.item())

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((x.detach(), alpha, sigma, labels))
        return self.weight * x


def cloud(n: int = 1000, std: float = 1.0, seed: int = 0) -> Tensor:
    return std * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def trainer(config: TrainingConfig | None = None, network: nn.Module | None = None, **arguments: Any) -> Trainer:
    settings: dict[str, Any] = {"x0": cloud(), "schedule": SCHEDULE, "seed": 0} | arguments
    return Trainer(network or Line(), config=config or TrainingConfig(), **settings)
