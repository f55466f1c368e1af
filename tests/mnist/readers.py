"""What the tests of the reader and the judge share."""

import torch
from torch import Tensor

from playground.mnist.data import mnist
from playground.mnist.networks import NetworkConfig

TINY = NetworkConfig(channels=(8, 8), patch=2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits(n: int, seed: int = 1, split: str = "train") -> tuple[Tensor, Tensor]:
    """Real digits in [-1, 1], and what they are. Not those of seed 0, which the floors are of."""
    images = mnist("train" if split == "train" else "test")
    assert images.labels is not None
    index = torch.randperm(len(images), generator=rng(seed))[:n]
    return images[index], images.labels[index]
