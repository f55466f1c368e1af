"""What the page trains from scratch while one watches: small images or small networks, so that digits come in time."""

from __future__ import annotations

from dataclasses import dataclass

from playground.diffusion.training import TrainingConfig
from playground.mnist.networks import NetworkConfig


@dataclass(frozen=True)
class LiveRecipe:
    """Images of `size` × `size` pixels, the network that learns them, and how."""

    size: int
    network: NetworkConfig
    training: TrainingConfig


TRAINING = TrainingConfig(
    noise_levels="angle",
    batch_size=64,
    optimizer="muon",
    learning_rate=2e-3,
    warmup_steps=20,
    decay="with_time",
    decay_steps=400,
    ema_decay=0.99,
)
LIVE_14 = LiveRecipe(14, NetworkConfig(channels=(32, 64), patch=1), TRAINING)
LIVE_28 = LiveRecipe(28, NetworkConfig(channels=(32, 64), patch=2), TRAINING)
