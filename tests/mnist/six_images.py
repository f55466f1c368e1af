"""A network in closed form, the best possible one for six images: what it should draw is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.sampling import SAMPLERS, SamplePath, SampleStep, collect
from playground.mnist import generate
from playground.mnist.generate import Request
from playground.mnist.weights import ImageModel

SHAPE = (1, 4, 4)
CLASSES = ("a", "b", "c")
ARRIVING = [name for name, row in SAMPLERS.items() if row.arrives]


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Exact(nn.Module):
    """The v of the best possible network for six images, two of each class. Label 3 means unknown, as None does."""

    def __init__(self) -> None:
        super().__init__()
        self.points = torch.rand(6, *SHAPE, generator=rng(0)) * 1.8 - 0.9
        self.classes = torch.tensor([0, 0, 1, 1, 2, 2])
        self.exact = ExactDenoiser(self.points.flatten(1), self.classes)
        self.calls = 0

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        self.calls += 1
        known = None if labels is None else torch.where(labels == len(CLASSES), -1, labels)
        x0 = self.exact(x.flatten(1), alpha.squeeze(), sigma.squeeze(), known).reshape(x.shape)
        return (alpha * x - x0) / sigma


def drawn(steps: Iterator[SampleStep]) -> SamplePath:
    return collect(steps, None, 0)


def sampled(model: ImageModel, labels: Any = None, n: int = 4, **knobs: Any) -> SamplePath:
    return drawn(generate.generate(model, Request.of(labels, n, **knobs)))


def assert_consistent(path: SamplePath) -> None:
    """x = α x̂_0 + σ ε̂ at every state, to the rounding of its own size."""
    alpha, sigma = (level.reshape(-1, 1, 1, 1, 1) for level in (path.alpha, path.sigma))
    torch.testing.assert_close(path.x, alpha * path.x0 + sigma * path.eps, rtol=2e-5, atol=2e-5)
    furthest = path.x0[:-1].abs().max()
    assert furthest <= 1, furthest
