"""The yardstick: the network and the sampler of the Imperial College course notebook, written anew from their facts.

A U-Net with batch norm on digits of 32×32 pixels, 31.8 million weights in five levels from 64 to 1,024 channels; T =
1000, β linear 1e-4 → 0.02; ancestral sampling (Ho et al. 2020, algorithm 2) with x_t clamped to [-1, 1] at every step.
Its weights are random here: only its time is taken, and that does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from playground.mnist.classic import ClassicUNet

T = 1_000
SIDE = 32
CHANNELS = (64, 128, 256, 512, 1024)

BETA = torch.linspace(1e-4, 0.02, T)  # β_t
KEPT = 1 - BETA  # ᾱ_t / ᾱ_{t-1}, the α_t of Ho et al.
ALPHA_BAR = KEPT.cumprod(0)  # ᾱ_t


def make_network() -> ClassicUNet:
    """(N, 1, 32, 32) and its noise level to ε̂, without classes."""
    return ClassicUNet(0, 1, CHANNELS, norm="batch", residual=False, attention=False).eval()


@torch.no_grad()
def sample(network: ClassicUNet, n: int, steps: int, generator: torch.Generator) -> Tensor:
    """(n, 1, 32, 32): x_t after the first `steps` of the T steps; every one costs the same."""
    x = torch.randn(n, 1, SIDE, SIDE, generator=generator)
    for t in range(T - 1, T - 1 - steps, -1):
        eps = network(x, ALPHA_BAR[t].sqrt(), (1 - ALPHA_BAR[t]).sqrt())
        z = torch.randn(x.shape, generator=generator) if t else torch.zeros_like(x)
        x = (x - BETA[t] / (1 - ALPHA_BAR[t]).sqrt() * eps) / KEPT[t].sqrt() + BETA[t].sqrt() * z
        x = x.clamp(-1, 1)
    return x
