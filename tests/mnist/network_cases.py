"""The networks that the tests try."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from playground.mnist.networks import NetworkConfig, make_network

CONFIGS = {
    "small": NetworkConfig("small", (16, 32), patch=1),
    "small, one level of patches": NetworkConfig("small", (16,), patch=2),
    "classic": NetworkConfig("classic", (16, 32)),
    "classic, batch norm": NetworkConfig("classic", (16, 32), norm="batch", residual=False, attention=False),
    "unet2d": NetworkConfig("unet2d", (16, 32)),
    "unet2d, no attention": NetworkConfig("unet2d", (16,), attention=False),
    "dit": NetworkConfig("dit", (32,), depth=2),
}
CLASSES = 10
LEVEL = (torch.tensor(0.6), torch.tensor(0.8))  # α, σ

every_kind = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(config: NetworkConfig, shape: tuple[int, int, int] = (1, 14, 14), classes: int = CLASSES) -> nn.Module:
    """One whose every weight counts: what begins at 0 is moved away from there."""
    net = make_network(config, shape, classes, seed=0).eval()
    with torch.no_grad():
        for k, parameter in enumerate(net.parameters()):
            parameter.add_(randn(*parameter.shape, seed=k), alpha=0.1)
    return net
