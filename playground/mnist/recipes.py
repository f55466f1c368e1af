"""How this lab's networks are trained: for a few minutes while a visitor watches, or once, outside the page, to ship.

On one core, the live recipes' samples at guidance 2 were read as the class asked for (chance is .1): 14×14 .86, .94 and
.98 after 20, 40 and 60 s; 28×28 .88, .94 and .96 (N = 200). Batches of 32 and a rate of 4e-3 did no better, channels
(48, 96) worse: .71 after 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from playground.diffusion.training import TrainingConfig
from playground.mnist.networks import NetworkConfig


@dataclass(frozen=True)
class LiveRecipe:
    """Images of `size` × `size` pixels, the network that learns them, and how: small, so that digits come in time."""

    size: int
    network: NetworkConfig
    training: TrainingConfig


LIVE = TrainingConfig(  # no planned end: it trains for as long as one watches
    noise_levels="angle",
    batch_size=64,
    optimizer="muon",
    learning_rate=2e-3,
    warmup_steps=20,
    decay="with_time",
    decay_steps=400,
    ema_decay=0.99,
)
LIVE_14 = LiveRecipe(14, NetworkConfig(channels=(32, 64), patch=1), LIVE)
LIVE_28 = LiveRecipe(28, NetworkConfig(channels=(32, 64), patch=2), LIVE)
PLANNED = replace(  # thousands of steps towards a planned end: the networks that ship
    LIVE, warmup_steps=100, decay="late_cosine", ema_decay=0.999, weight_decay=0.01, max_grad_norm=1.0
)
