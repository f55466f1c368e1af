"""Sessions and settings for the tests of jobs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from playground.mnist.data import ImageSet
from playground.mnist.jobs import (
    Job,
    collected,
)
from playground.mnist.session import MnistSession
from playground.mnist.settings import MnistSettings
from playground.mnist.weights import ImageModel

QUICK = MnistSettings(steps=2, resample=2)


class Blank(nn.Module):
    """A network that has learnt nothing; what is asked of it costs nothing."""

    def forward(self, x: torch.Tensor, *level: Any) -> torch.Tensor:
        return torch.zeros_like(x)


def model(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> ImageModel:
    return ImageModel("blank", Blank(), "v", shape, tuple(map(str, range(classes))), {})


@pytest.fixture
def session() -> MnistSession:
    session = MnistSession()
    session.lab.model = model()
    return session


def digit() -> torch.Tensor:
    drawn = torch.full((1, 28, 28), -1.0)
    drawn[:, 5:22, 13:16] = 1.0
    return drawn


def colour(labels: torch.Tensor | None = None, classes: tuple[str, ...] = (), size: int = 28) -> ImageSet:
    images = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet("mine", images, labels, classes)


def done(job: Job) -> list[Any]:
    *_, steps = collected(job)
    return steps
