"""Labs for the tests of MnistLab."""

from __future__ import annotations

import dataclasses
from typing import Any

from playground.mnist import MnistLab
from playground.mnist.data import ImageSet
from playground.mnist.live import LiveConfig
from playground.mnist.networks import NetworkConfig

TINY = NetworkConfig(channels=(8,), patch=2)
FEW: dict[str, Any] = {"steps": 2, "n": 3}


def config(size: int = 14, seed: int = 0, data: ImageSet | None = None) -> LiveConfig:
    return dataclasses.replace(LiveConfig.scratch(size, seed, data, batch_size=8), network=TINY)


def trained(config: LiveConfig, steps: int = 4) -> MnistLab:
    lab = MnistLab()
    lab.begin(config)
    list(lab.train(steps))
    lab.use_trained()
    return lab
