"""A noise schedule learned from data, as Variational Diffusion Models do (Kingma et al. 2021, §5 and appendices H, I).

In continuous time the variational bound ½ ∫ E‖ε - ε̂‖² dγ, γ = -λ = -ln SNR, is the same for every schedule between the
same two ends. What the schedule changes is the noise of its estimate ℓ = ½ γ'(t) ‖ε - ε̂‖² at a random t: a monotone
network γ(t) is fitted to make Var ℓ small. The denoiser here is the exact one, so nothing but the data decides, and the
fourth moment that the variance needs is one table over λ.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.knot_schedules import Knots
from playground.diffusion.noise_schedule import ScheduleError
from playground.toy.data import make_cloud

MOST, LEAST = 10.0, -10.0  # λ at t = 0 and t = 1: σ/α from 0.007 to 150
POINTS, DRAWS = 2000, 512  # of the cloud, and pairs (x0, ε) that the moments are means over
LEVELS = 121  # λ at which they are tabulated, evenly spaced
WIDTH = 32  # of the monotone network; the paper's 1024 serve 32×32 pictures
BATCH = 1024
EVERY = 10  # steps between two that are shown
KNOTS = 101
MAX_STEPS = 5000


@dataclass(frozen=True)
class Moments:
    """`levels` λ (L,), rising; `second`, `fourth` (L,): E‖ε - ε̂‖² and E‖ε - ε̂‖⁴ there. float64."""

    levels: Tensor
    second: Tensor
    fourth: Tensor

    @property
    def bound(self) -> float:
        """E ℓ = ½ ∫ E‖ε - ε̂‖² dλ in nats, whatever the schedule between the ends (VDM, §5)."""
        return float(torch.trapezoid(self.second, self.levels)) / 2

    @property
    def least_variance(self) -> float:
        """The lowest Var ℓ that any schedule has, in nats².

        E ℓ² = ¼ ∫ γ' E‖ε - ε̂‖⁴ dλ is least where γ' √E‖ε - ε̂‖⁴ is constant (Cauchy and Schwarz): p(λ) = 1/γ' ∝ √.
        """
        return float(torch.trapezoid(self.fourth.sqrt(), self.levels)) ** 2 / 4 - self.bound**2

    def variance(self, knots: Knots) -> float:
        """Var ℓ in nats² under the schedule with straight lines through `knots` (u, λ): γ' is constant on each."""
        u, level = torch.tensor(knots, dtype=torch.float64).unbind(1)
        below = torch.cat([torch.zeros(1).double(), torch.cumulative_trapezoid(self.fourth, self.levels)])  # ∫ up to λ
        slope = -level.diff() / u.diff()
        return float((slope * -_at(below, level).diff()).sum()) / 4 - self.bound**2


@dataclass(frozen=True)
class LearnStep:
    """`variance` Var ℓ in nats² of the schedule so far, `least` the lowest there is; `knots` (u, λ), KNOTS of them."""

    step: int
    steps: int
    variance: float
    least: float
    knots: Knots


def learn(cloud_name: str, seed: int = 0, steps: int = 300) -> Iterator[LearnStep]:
    """Fit γ(t) to the cloud, from a straight line on; the last step's knots are the schedule.

    Raises DataError for an unknown cloud, ScheduleError for a number of steps outside 1 … 5,000.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ScheduleError(f"Learn for 1 … {MAX_STEPS:,} steps; not {steps:,}.", knob="steps")
    moments, rng = moments_of(cloud_name, seed), torch.Generator().manual_seed(seed)
    network = MonotoneNetwork(rng)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    log_fourth = moments.fourth.clamp_min(1e-300).log().float()
    for step in range(steps + 1):
        if step % EVERY == 0 or step == steps:
            knots = network.knots()
            yield LearnStep(step, steps, moments.variance(knots), moments.least_variance, knots)
        t = (torch.arange(BATCH) + torch.rand(1, generator=rng)) / BATCH  # VDM, appendix I.1: one draw, evenly spread
        level, slope = network(t)
        # ln E ℓ²: E ℓ is the same for all, and with the logarithm one learning rate serves every cloud.
        loss = torch.logsumexp(2 * slope.log() + _at(log_fourth, level), dim=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()


class MonotoneNetwork(nn.Module):
    """λ(t), falling from MOST at t = 0 to LEAST at t = 1: t + a hidden layer of sigmoids, all weights positive.

    VDM, appendix H. It starts as the straight line, its sigmoids' centres spread over [0, 1].
    """

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.steepness = nn.Parameter(2 + torch.rand(WIDTH, generator=rng))  # log of it
        self.centres = nn.Parameter((torch.arange(WIDTH) + torch.rand(WIDTH, generator=rng)) / WIDTH)
        self.heights = nn.Parameter(torch.full((WIDTH,), -8.0))  # before the softplus that keeps them positive

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """λ(t) and γ'(t) = -λ'(t), each like `t` (n,)."""
        steepness, heights = self.steepness.exp(), F.softplus(self.heights)
        ends = torch.tensor([[0.0], [1.0]])
        hidden = torch.sigmoid(steepness * (torch.cat([ends, t[:, None]]) - self.centres))  # (2 + n, WIDTH)
        risen = torch.cat([ends[:, 0], t]) + hidden @ heights
        whole = risen[1] - risen[0]
        slope = 1 + (hidden[2:] * (1 - hidden[2:])) @ (heights * steepness)
        return MOST + (LEAST - MOST) * (risen[2:] - risen[0]) / whole, (MOST - LEAST) * slope / whole

    @torch.no_grad()
    def knots(self) -> Knots:
        """(u, λ) at evenly spaced u."""
        u = torch.linspace(0, 1, KNOTS, dtype=torch.float64)
        level = self(u.float())[0].tolist()
        return tuple((round(a, 2), round(b, 4)) for a, b in zip(u.tolist(), level, strict=True))


@functools.lru_cache(maxsize=32)
def moments_of(cloud_name: str, seed: int) -> Moments:
    """The exact denoiser's errors on the cloud, the same DRAWS of (x0, ε) at every λ. Raises DataError."""
    points = make_cloud(cloud_name, POINTS, seed).points
    points = points - points.mean(0)  # as the networks have them: a schedule learned in other units would not be theirs
    points = points / points.square().mean().sqrt()
    denoise, rng = ExactDenoiser(points), torch.Generator().manual_seed(seed)
    x0 = points[torch.randperm(POINTS, generator=rng)[:DRAWS]].double()
    eps = torch.randn(x0.shape, generator=rng, dtype=torch.float64)
    levels = torch.linspace(LEAST, MOST, LEVELS, dtype=torch.float64)
    errors = torch.empty(LEVELS, DRAWS, dtype=torch.float64)
    for k, level in enumerate(levels):
        alpha, sigma = torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()
        x0_hat = denoise(alpha * x0 + sigma * eps, alpha, sigma)
        errors[k] = (level.exp() * (x0 - x0_hat).square()).sum(1)  # ‖ε - ε̂‖² = SNR ‖x0 - x̂0‖²
    return Moments(levels, errors.mean(1), errors.square().mean(1))


def _at(table: Tensor, level: Tensor) -> Tensor:
    """`table` (LEVELS,) at λ `level` (n,), by straight lines."""
    place = ((level - LEAST) / (MOST - LEAST) * (LEVELS - 1)).clamp(0, LEVELS - 1)
    low = place.long().clamp_max(LEVELS - 2)
    return table[low] + (place - low) * (table[low + 1] - table[low])
