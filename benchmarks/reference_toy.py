"""The yardstick: the recipe of F. Fleuret's minidiffusion (public domain, CC0), written anew from its facts.

It is Ho et al. 2020 on points in the plane: T = 1000, β linear 1e-4 → 0.02, a 3-256-256-256-2 ReLU perceptron that is
given t/(T-1) - ½ as a third coordinate, batches of 25 in the data's order, Adam at 1e-3 made anew every epoch, an
average of the weights with decay 0.9999 that takes their place at the end, ancestral sampling with noise of variance
β_t. It is meant to run at the speed of the published script, so nothing is fused, compiled, cached or left out.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

T = 1_000
WIDTH = 256
BATCH = 25
LEARNING_RATE = 1e-3
EMA_DECAY = 0.9999
PUBLISHED_EPOCHS = 100

BETA = torch.linspace(1e-4, 0.02, T)  # β_t
KEPT = 1 - BETA  # ᾱ_t / ᾱ_{t-1}, the α_t of Ho et al.
ALPHA_BAR = KEPT.log().cumsum(0).exp()  # ᾱ_t


def make_network() -> nn.Sequential:
    """(N, 3) → (N, 2): x_t and its time to ε̂. Weights from torch's global generator."""
    layers: list[nn.Module] = []
    for before, after in pairwise([3, WIDTH, WIDTH, WIDTH]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 2))


class Reference:
    """The recipe on `points` (N, 2). `raw` holds the last weights, `ema` the average the recipe ends with."""

    def __init__(self, points: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        self.points = points
        self.mean, self.std = points.mean(), points.std()  # scalars, over both axes together
        self.raw = make_network()
        self.ema = copy.deepcopy(self.raw).requires_grad_(False)

    def train(self, epochs: int) -> None:
        """`epochs` rounds through all the points."""
        averages = list(self.ema.parameters())
        for _ in range(epochs):
            optimizer = torch.optim.Adam(self.raw.parameters(), lr=LEARNING_RATE)
            total = 0.0
            for batch in self.points.split(BATCH):
                x0 = (batch - self.mean) / self.std  # (B, 2)
                t = torch.randint(T, (len(x0), 1))  # (B, 1)
                eps = torch.randn_like(x0)
                xt = ALPHA_BAR[t].sqrt() * x0 + (1 - ALPHA_BAR[t]).sqrt() * eps
                output = self.raw(torch.cat([xt, t / (T - 1) - 0.5], 1))
                loss = (eps - output).square().mean()
                total += loss.item() * len(x0)  # the script prints it; reading it out costs time there too
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    for average, weight in zip(averages, self.raw.parameters(), strict=True):
                        average.copy_(EMA_DECAY * average + (1 - EMA_DECAY) * weight)

    @torch.no_grad()
    def sample(self, n: int, seed: int, network: nn.Sequential) -> Tensor:
        """(n, 2) samples in the data's coordinates: all T steps of Ho et al. 2020, algorithm 2."""
        torch.manual_seed(seed)
        x = torch.randn(n, 2)
        for t in range(T - 1, -1, -1):
            eps = network(torch.cat([x, x.new_full((n, 1), t / (T - 1) - 0.5)], 1))
            z = torch.randn_like(x) if t else torch.zeros_like(x)
            x = (x - (1 - KEPT[t]) / (1 - ALPHA_BAR[t]).sqrt() * eps) / KEPT[t].sqrt() + BETA[t].sqrt() * z
        return x * self.std + self.mean
