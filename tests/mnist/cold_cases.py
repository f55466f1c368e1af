"""What the tests of cold diffusion share."""

from functools import cache

import pytest
import torch
from torch import Tensor

from playground.mnist.cold import (
    KINDS,
    SIZE,
    Degradation,
    Kind,
)
from playground.mnist.data import mnist

both = pytest.mark.parametrize("kind", KINDS)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, seed: int) -> Tensor:
    return torch.randn(n, 1, SIZE, SIZE, generator=rng(seed))


@cache
def digits(n: int = 200) -> Tensor:
    return mnist("test")[slice(n)]


@cache
def degradation(kind: Kind) -> Degradation:
    return Degradation(kind)
