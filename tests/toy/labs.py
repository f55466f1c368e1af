"""Small experiments for the tests of the lab, and what they ask of one."""

from typing import Any

from torch import Tensor

from playground.toy import ToyConfig, ToyLab
from playground.toy.network import NetworkConfig

SMALL = ToyConfig(n_points=300, network=NetworkConfig(width=16, depth=2, fourier_features=8))
TRIANGLE = [[0.0, 0.9], [-0.8, -0.5], [0.8, -0.4]]


def losses(lab: ToyLab, steps: int) -> list[float]:
    return [step.loss for step in lab.train(steps=steps)]


def samples(lab: ToyLab, n: int = 50, **knobs: Any) -> Tensor:
    return lab.sample(n, **knobs).x[-1]


def standard(lab: ToyLab) -> Tensor:
    """The training points with mean 0 and one common scale of variance 1, (N, 2) float64, worked out anew."""
    points = lab.cloud.points.double()
    centred = points - points.mean(0)
    return centred / centred.square().mean().sqrt()
