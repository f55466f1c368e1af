"""Where samples stand on their way from noise to data: one state, and all states of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, α, σ) → x̂_0, where x = α x_0 + σ ε and α² + σ² = 1
Start = Callable[[Tensor, Tensor], Tensor]  # (α, σ) of a run's first call → the x there


@dataclass(frozen=True)
class SampleStep:
    """Where the samples stand, and what the model makes of them.

    `x`, `x0`, `eps` (N, D): x_t on the schedule's own scale, and the x̂_0 and ε̂ read from it. The last step has
    arrived: its x is the sample. `t`: timesteps, fractional where a sampler stands between two; -1 at the end.
    """

    index: int  # k = 0 … K
    t: float
    alpha: float
    sigma: float
    x: Tensor
    x0: Tensor
    eps: Tensor
    calls: int  # network evaluations so far, this one included


@dataclass(frozen=True)
class SamplePath:
    """A sampled trajectory, first state noise, last state the samples.

    `x`, `x0`, `eps` (K+1, N, …): x_t, x̂0 and ε̂, with x = α x0 + σ ε; `t`, `alpha`, `sigma` (K+1,), t = -1 at the end;
    `labels` (N,) or None; `calls` network evaluations; `seed` the one that was used.
    """

    x: Tensor
    x0: Tensor
    eps: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    labels: Tensor | None
    calls: int
    seed: int


def collect(steps: Iterable[SampleStep], labels: Tensor | None, seed: int) -> SamplePath:
    """All states of a run as one path."""
    steps = list(steps)
    return SamplePath(
        x=torch.stack([s.x for s in steps]),
        x0=torch.stack([s.x0 for s in steps]),
        eps=torch.stack([s.eps for s in steps]),
        t=torch.tensor([s.t for s in steps]),
        alpha=torch.tensor([s.alpha for s in steps]),
        sigma=torch.tensor([s.sigma for s in steps]),
        labels=labels,
        calls=steps[-1].calls,
        seed=seed,
    )


def under_way(
    schedule: NoiseSchedule, index: int, alpha: Tensor, sigma: Tensor, z: Tensor, x0: Tensor, eps: Tensor, calls: int
) -> SampleStep:
    """The state `z` (N, D) at the level (α, σ), α² + σ² = 1, told on the schedule's own scale."""
    t = float(schedule.nearest_timestep(alpha, sigma))
    scale = float(_at(schedule.scales, t))
    return SampleStep(index, t, float(alpha) * scale, float(sigma) * scale, z * scale, x0, eps, calls)


def arrived(index: int, x: Tensor, eps: Tensor, calls: int) -> SampleStep:
    """The end of a run: `x` (N, D) is the sample."""
    return SampleStep(index, -1.0, 1.0, 0.0, x, x, eps, calls)


def _at(table: Tensor, t: float) -> Tensor:
    """`table` (T,) at the fractional index t, by linear interpolation."""
    low = min(int(t), len(table) - 1)
    high = min(low + 1, len(table) - 1)
    return table[low] + (t - low) * (table[high] - table[low])
