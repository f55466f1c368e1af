"""A lab at one moment, and all that can be asked of it: samples, score, loss, quality. Nothing here changes the lab.

The network works in standardised coordinates (mean 0, one common scale of variance 1); results are in the data's
coordinates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion import metrics
from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import error_in_x0, target, to_eps
from playground.diffusion.sampling import (
    Denoiser,
    SamplePath,
    SampleStep,
    SamplingConfig,
    collect,
    guide,
    network_denoiser,
    sample,
    start_noise,
)
from playground.settings import SETTINGS
from playground.toy.config import LabError, ToyConfig
from playground.toy.data import Cloud, make_cloud


@dataclass(frozen=True)
class LossByTimestep:
    """Mean squared error of the prediction at timesteps `t` (B,), and the least that any network could reach there."""

    t: Tensor
    loss: Tensor
    floor: Tensor


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Made by `ToyLab.now`. `network`: the averaged weights; `x0` (N, 2): the training points, standardised, and
    `labels` (N,) where the network was taught them; `box`: the corners (2,), (2,) of where x̂0 may lie.
    """

    run: int
    step: int
    config: ToyConfig
    cloud: Cloud
    schedule: NoiseSchedule
    mean: Tensor
    std: Tensor
    box: tuple[Tensor, Tensor]
    x0: Tensor
    labels: Tensor | None
    exact: ExactDenoiser
    network: nn.Module
    floors: dict[
        tuple[int, int], tuple[Tensor, Tensor]
    ]  # of `_floor`, shared by all snapshots of the same data and schedule

    def denoiser(self, labels: Tensor | None = None, guidance_scale: float = 1.0) -> Denoiser:
        """The network: (x, α, σ) → x̂0 in standardised coordinates, never outside the data's box.

        Without the box, one sample in thousands would run off to infinity. `labels` (N,): the class of each row.
        """
        prediction = self.config.training.prediction
        return network_denoiser(self.network, prediction, labels, guidance_scale, *self.box)

    def sampling(
        self,
        n: int,
        *,
        seed: int = 0,
        labels: int | list[int] | Tensor | None = None,
        guidance_scale: float | None = None,
        exact: bool = False,
        **knobs: Any,
    ) -> Iterator[SampleStep]:
        """From noise to data, one state at a time, in the data's coordinates. Arguments as for `sample`."""
        if not 1 <= n <= SETTINGS.max_samples:
            raise LabError(f"The number of samples must lie in 1 … {SETTINGS.max_samples:,}; it is {n:,}.")
        if not 0 <= seed < 2**32:
            raise LabError(f"The seed must be a whole number from 0 to 2³² - 1; it is {seed}.")
        if unknown := set(knobs) - SAMPLING_KNOBS:
            raise LabError(
                f"No such knob: {', '.join(sorted(unknown))}. There are {', '.join(sorted(SAMPLING_KNOBS))}."
            )
        config = dataclasses.replace(self.config.sampling, **knobs)
        classes = self._classes(n, labels, seed)
        scale = self.config.guidance_scale if guidance_scale is None else guidance_scale
        denoise = self._exactly(classes, scale) if exact else self.denoiser(classes, scale)
        rng = torch.Generator().manual_seed(seed + 1)
        for step in sample(denoise, self.schedule, start_noise(n, 2, seed), config, rng):
            yield dataclasses.replace(step, x=step.x * self.std + self.mean, x0=step.x0 * self.std + self.mean)

    def sample(self, n: int, **arguments: Any) -> SamplePath:
        """`n` samples and their paths. Knobs: sampler, steps, spacing, eta, variance …, as in SamplingConfig.

        `seed` fixes the start noise and all later noise. `labels` is one class, or one per sample; None draws classes
        as often as they occur in the data. `guidance_scale` s: 1 is none; the paper's w is s - 1. `exact=True` replaces
        the network by the closed-form denoiser of the training points.
        """
        knobs = {k: v for k, v in arguments.items() if k in SAMPLING_KNOBS}
        config = dataclasses.replace(self.config.sampling, **knobs)
        if n * (config.steps + 1) * 2 > SETTINGS.max_sampling_values:
            raise LabError(f"{n:,} samples × {config.steps:,} steps are too many to keep: take fewer of either.")
        steps = list(self.sampling(n, **arguments))
        seed = int(arguments.get("seed", 0))
        return collect(steps, self._classes(n, arguments.get("labels"), seed), seed)

    def _classes(self, n: int, labels: int | list[int] | Tensor | None, seed: int) -> Tensor | None:
        if not self.config.conditional or self.cloud.labels is None:
            if labels is not None:
                raise LabError("This network was not taught the classes: switch 'learn the classes' on and train.")
            return None
        if labels is None:
            labels = self.config.label
        if labels is None:
            rng = torch.Generator().manual_seed(seed)
            return self.cloud.labels[torch.randint(len(self.cloud.labels), (n,), generator=rng)]
        classes = torch.as_tensor(labels).expand(n) if isinstance(labels, int) else torch.as_tensor(labels)
        if classes.shape != (n,) or classes.is_floating_point():
            raise LabError(f"Give one class, or {n} of them.")
        if classes.min() < 0 or classes.max() >= len(self.cloud.classes):
            raise LabError(f"Classes run from 0 to {len(self.cloud.classes) - 1}.")
        return classes

    def _exactly(self, labels: Tensor | None, guidance_scale: float) -> Denoiser:
        exact = self.exact
        return guide(
            lambda x, alpha, sigma: exact(x, alpha, sigma, labels),
            exact,
            guidance_scale if labels is not None else 1.0,
        )

    @property
    def window(self) -> tuple[float, float, float]:
        """Centre x, centre y and half the side of the square that shows both the data and pure noise."""
        centre = (self.cloud.points.amin(0) + self.cloud.points.amax(0)) / 2
        reach = (self.cloud.points - centre).abs().max()
        return float(centre[0]), float(centre[1]), float(torch.maximum(1.12 * reach, 2.1 * self.std))

    def learned_fields(self, timesteps: list[int], grid: int = 21) -> Iterator[Tensor]:
        """(grid², 2) for each timestep: σ_t times the learned score on the lattice, for the class to draw, if any.

        It says where a noisy point is pulled, in units of the noise.
        """
        labels = self._asked_class(grid**2)
        return self._fields(self.denoiser(labels, self.config.guidance_scale), timesteps, grid)

    def exact_fields(self, timesteps: list[int], grid: int = 21) -> Iterator[Tensor]:
        """(grid², 2) for each timestep: σ_t times the exact score of the training points, as in `learned_fields`."""
        labels = self._asked_class(grid**2)
        return self._fields(self._exactly(labels, self.config.guidance_scale), timesteps, grid)

    def _asked_class(self, n: int) -> Tensor | None:
        return None if self.config.label is None else torch.full((n,), self.config.label)

    @torch.no_grad()
    def _fields(self, denoise: Denoiser, timesteps: list[int], grid: int) -> Iterator[Tensor]:
        """σ ∇ log p_t(x) = (α x̂0 - x)/σ = -ε̂ (Tweedie's formula) on the lattice, at the schedule's own scale."""
        lattice = (self.lattice(grid) - self.mean) / self.std
        for t in timesteps:
            alpha, sigma = self._level(t)
            x = lattice / float(self.schedule.scales[t])
            yield (alpha * denoise(x, alpha, sigma) - x) / sigma

    def lattice(self, grid: int) -> Tensor:
        """(grid², 2) points over the window, in the data's coordinates, row by row from the lower left."""
        if not 2 <= grid <= 64:
            raise LabError("The grid must have 2 … 64 points a side.")
        x, y, half = self.window
        side = torch.linspace(-half, half, grid)
        return torch.stack([(x + side).repeat(grid), (y + side).repeat_interleave(grid)], 1)

    def _level(self, t: int) -> tuple[Tensor, Tensor]:
        if not 0 <= t < len(self.schedule):
            raise LabError(f"t must lie in 0 … {len(self.schedule) - 1}.")
        alpha_cumprod = self.schedule.alphas_cumprod[t]  # float64: 1 - ᾱ cancels in float32
        return alpha_cumprod.sqrt().float(), (1 - alpha_cumprod).sqrt().float()

    @torch.no_grad()
    def loss_by_timestep(self, n: int = 256, bins: int = 20) -> LossByTimestep:
        """The loss at `bins` timesteps over `n` training points each, and its irreducible part.

        Even the best network errs: many x0 lead to the same x_t. The expected squared error is that of the exact
        denoiser, the floor, plus the network's squared distance from it (the two are orthogonal). Computed this way, a
        few draws suffice to show the difference. The floor is that of the finite training set, which at small t only a
        network that memorises it could reach.
        """
        t = torch.linspace(0, len(self.schedule) - 1, bins).round().long()  # (B,)
        floor, best = self._floor(n, bins)
        alpha, sigma, x0, eps, labels = self._probe(t, n)
        output = self.network(alpha * x0 + sigma * eps, alpha, sigma, labels)
        return LossByTimestep(t, floor + (output - best).square().mean(1).reshape(bins, n).mean(1), floor)

    @torch.no_grad()
    def _floor(self, n: int, bins: int) -> tuple[Tensor, Tensor]:
        """(bins,) the floor and (bins * n, 2) the best predictions for the same draws. Computed once and kept, as they
        depend on data, schedule and kind of prediction alone.
        """
        if (n, bins) not in self.floors:
            prediction = self.config.training.prediction
            t = torch.linspace(0, len(self.schedule) - 1, bins).round().long()
            alpha, sigma, x0, eps, labels = self._probe(t, n)
            x = alpha * x0 + sigma * eps  # (B*n, 2)
            variance = self.exact.posterior_variance(x, alpha[:, 0], sigma[:, 0], labels)  # (B*n,)
            weight = torch.as_tensor(error_in_x0(prediction, alpha, sigma))[:, 0]
            best = self.exact(x, alpha[:, 0], sigma[:, 0], labels)
            best = target(prediction, best, to_eps(best, x, alpha, sigma), alpha, sigma)
            self.floors[n, bins] = (weight * variance).reshape(bins, n).mean(1), best
        return self.floors[n, bins]

    def _probe(self, t: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """The same n points and noise at each of the timesteps `t`: α, σ (B*n, 1), x0, ε (B*n, 2), labels."""
        rng = torch.Generator().manual_seed(self.config.seed)
        index = torch.randint(len(self.x0), (n,), generator=rng).repeat(len(t))
        eps = torch.randn(n, 2, generator=rng).repeat(len(t), 1)
        alpha_cumprod = self.schedule.alphas_cumprod[t].repeat_interleave(n)[:, None]
        labels = None if self.labels is None else self.labels[index]
        return alpha_cumprod.sqrt().float(), (1 - alpha_cumprod).sqrt().float(), self.x0[index], eps, labels

    def fresh(self, n: int, seed: int) -> Tensor:
        """(n, 2) data that training did not see; of the visitor's own points a draw with replacement."""
        if self.config.points is None:
            return make_cloud(self.config.dataset, n, (self.config.seed + 1 + seed) % 2**32).points
        rng = torch.Generator().manual_seed(seed)
        return self.cloud.points[torch.randint(len(self.cloud.points), (n,), generator=rng)]

    def quality(self, n: int = 2_000, *, seed: int = 0, **knobs: Any) -> metrics.Quality:
        """How far `n` samples are from `n` fresh data points, and how far two draws of data are from each other."""
        for step in self.sampling(n, seed=seed, **knobs):
            samples = step.x
        return self.judge(samples, seed)

    def judge(self, samples: Tensor, seed: int = 0) -> metrics.Quality:
        """The quality of `samples` (n, 2), however they were drawn."""
        n = len(samples)
        return metrics.quality(samples, self.fresh(n, 2 * seed), self.fresh(n, 2 * seed + 1), self.cloud.support)


SAMPLING_KNOBS = {field.name for field in dataclasses.fields(SamplingConfig)}
