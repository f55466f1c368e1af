"""Clouds for the tests of distances."""

import math

import torch
from torch import Tensor


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normal_quantiles(n: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """A normal as its own quantiles, (n, 1): a sample without sampling noise."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (mean + std * math.sqrt(2) * torch.erfinv(2 * levels - 1))[:, None]


# Off the support


def in_unit_disc(points: Tensor) -> Tensor:
    return points.norm(dim=1) <= 1
