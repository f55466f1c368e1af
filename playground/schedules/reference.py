"""The exact path from noise to data, to measure samplers against.

The probability-flow ODE (Song et al. 2021, "Score-based generative modeling", equation 13) leads every noise to one
sample. Where the optimal denoiser is known in closed form the equation can be solved as accurately as one likes. The
distance from its end to a sampler's is then the sampler's own error: no network and no chance contributes to it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from playground.diffusion.exact import GaussianMixture
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import start_noise
from playground.schedules.cache import Cache
from playground.toy.data import make_cloud

# 128 centres and 1,000 points: half a millisecond a call. A finite set of points (no blur) is no use here: its paths
# bend ever more sharply towards the end, and no sampler shows its order.
CENTRES = 128
ODE_STEPS = 200  # leaves 1e-8 at blur 0.1, where a sampler's own float32 leaves 1e-6
ENDS: Cache[tuple[str, float, int, int, float], Tensor] = Cache(200)


@dataclass(frozen=True, eq=False)
class BlurredCloud:
    """The distribution that the exact denoiser belongs to: 128 points of a toy cloud, each blurred by a Gaussian.

    `mixture`: in standardised coordinates; `scale`: one of its units in the cloud's own.
    """

    mixture: GaussianMixture
    scale: float


@lru_cache(maxsize=32)
def blurred_cloud(cloud: str, blur: float, seed: int) -> BlurredCloud:
    """`CENTRES` points of `cloud`, each a Gaussian of standard deviation `blur`, standardised: mean 0, variance 1.

    `blur` is in units of the cloud's own standard deviation. Raises DataError for no such cloud.
    """
    points = make_cloud(cloud, CENTRES, seed).points.double()
    points = points - points.mean(0)
    spread = points.square().mean().sqrt()
    size = math.sqrt(1 + blur**2)  # the variance of points and blur together is 1
    weights = torch.full((CENTRES,), 1 / CENTRES, dtype=torch.float64)
    return BlurredCloud(GaussianMixture(points / (spread * size), blur / size, weights), float(spread) * size)


def solve(law: GaussianMixture, x: Tensor, angle: float, steps: int = ODE_STEPS) -> Generator[None, None, Tensor]:
    """The end (N, D), float64, of the paths from `x` (N, D) at the noise level `angle` = atan2(σ, α), in `steps` steps.

    With x = cos φ · x_0 + sin φ · ε the flow is dx/dφ = v = (cos φ · x - x̂_0) / sin φ (Salimans & Ho 2022, appendix D):
    finite from pure noise, φ = π/2, down to 0. Classical Runge-Kutta of order 4, in steps that shrink like φ² towards
    the data, where the paths bend. Yields between steps.
    """
    x = x.double()

    def v(x: Tensor, phi: float) -> Tensor:
        if phi == 0:
            return torch.zeros_like(x)  # -tan φ · (x + score) at φ = 0
        return (math.cos(phi) * x - law(x, math.cos(phi), math.sin(phi))) / math.sin(phi)

    for k in range(steps):
        phi, last = angle * (1 - k / steps) ** 2, angle * (1 - (k + 1) / steps) ** 2
        h = last - phi  # < 0
        k1 = v(x, phi)
        k2 = v(x + h / 2 * k1, phi + h / 2)
        k3 = v(x + h / 2 * k2, phi + h / 2)
        k4 = v(x + h * k3, last)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield
    return x


def ends(cloud: str, blur: float, seed: int, rows: int, angle: float) -> Generator[None, None, Tensor]:
    """`solve` from the first `rows` of the seed's start noise, cached: (rows, 2), standardised."""
    key = (cloud, blur, seed, rows, angle)
    end = ENDS.get(key)
    if end is None:
        noise = start_noise(rows, 2, seed)
        end = ENDS.put(key, (yield from solve(blurred_cloud(cloud, blur, seed).mixture, noise, angle)))
    return end


def terminal_angle(schedule: NoiseSchedule) -> float:
    """atan2(σ, α) at the schedule's last timestep; π/2 is pure noise."""
    return float(torch.atan2(schedule.sigmas[-1], schedule.alphas[-1]))
