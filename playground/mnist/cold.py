"""Cold diffusion (Bansal et al. 2022, arXiv 2208.09392): blur or coarse pixels in place of noise.

Forward   x_s = D(x_0, s), severity s = 0 … T: the same picture gives the same x_s, nothing is random
Training  a restorer R(x_s, s) → x̂_0 under ‖R(D(x_0, s), s) - x_0‖₁ (equation 1)
Reverse   x_{s-1} = x_s - D(x̂_0, s) + D(x̂_0, s - 1) with x̂_0 = R(x_s, s) (Algorithm 2)

`python -m playground.mnist.cold --kind blur --out FOLDER` trains the restorer that ships.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Batch, Trainer
from playground.mnist.data import MNIST, ImageSet, mnist
from playground.mnist.networks import NetworkConfig, make_network
from playground.mnist.recipes import PLANNED
from playground.mnist.weights import load_weights, make_card, write_card, write_weights
from playground.refusal import Refusal
from playground.training_run import progress

Kind = Literal["blur", "pixelate"]
Algorithm = Literal["naive", "improved"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIZE = 28
CHANNELS = (24, 32)
T = 20  # the highest severity
FIRST_BLUR, LAST_BLUR = 0.5, 16.0  # w_1 and w_T in pixels: after w_T a digit's pixels differ by less than a grey level
BLOCKS = (2, 4, 7, 14, 28)  # pixels: grids of 14, 7, 4, 2 and at last 1
FITTED_ON = 10_000  # digits that the start of a generation is fitted to
TRAINING = dataclasses.replace(PLANNED, prediction="x0")  # uniform in the angle: every severity is as likely


class ColdError(Refusal):
    """Cold diffusion cannot do this; the message says why and what it can."""


class Degradation:
    """D(x_0, s) = A_s x_0 A_sᵀ: rows and columns alike, linear in x_0, A_0 the identity.

    "blur": Gaussian blurs of growing width one after another, reflected at the borders; "pixelate": averages over
    growing blocks, blended between two sizes. `matrices` (T + 1, 28, 28). Raises ColdError for an unknown kind.
    """

    def __init__(self, kind: Kind) -> None:
        if kind not in KINDS:
            raise ColdError(f"{kind!r} is no degradation. Choose one of: {', '.join(KINDS)}.")
        self.kind = kind
        self.matrices = (_blurs() if kind == "blur" else _pixelations()).float()

    def __call__(self, x0: Tensor, severity: int | Tensor) -> Tensor:
        """x_s for `x0` (N, C, 28, 28) at one severity in 0 … T, or at one for each image, (N,) int64.

        Raises ColdError for a severity outside, or images of another size.
        """
        if x0.shape[-2:] != (SIZE, SIZE):
            raise ColdError(f"Cold diffusion works on {SIZE}×{SIZE} images, not on {tuple(x0.shape)}. Resize them.")
        severities = torch.as_tensor(severity)
        if severities.is_floating_point() or not ((severities >= 0) & (severities <= T)).all():
            raise ColdError(f"The severity must be a whole number in 0 … {T}; it is {severity}.")
        a = self.matrices[severities].reshape(-1, 1, SIZE, SIZE)  # one, or each image its own
        return a @ x0 @ a.mT


def _blurs() -> Tensor:
    """(T + 1, 28, 28): exp(-w²/2 · L), L the second difference, reflected at the borders. This is Gaussian blur for
    pixels (Lindeberg 1990): no weight is negative, and two blurs in a row are one with w² = w_a² + w_b².
    """
    difference = torch.eye(SIZE, dtype=torch.float64).diff(dim=0)  # (27, 28): none across a border
    laplacian = difference.T @ difference
    widths = torch.zeros(T + 1, dtype=torch.float64)
    widths[1:] = torch.logspace(math.log2(FIRST_BLUR), math.log2(LAST_BLUR), T, base=2)  # w_s, as in §5.2
    return torch.linalg.matrix_exp(-0.5 * widths.square()[:, None, None] * laplacian)


def _pixelations() -> Tensor:
    """(T + 1, 28, 28): averages over growing blocks, each taken of the averages before it, so that no state tells
    more than an earlier one although 4 does not divide 7; evenly blended in between.
    """
    table = [torch.eye(SIZE, dtype=torch.float64)]
    for block in BLOCKS:
        average = torch.full((block, block), 1 / block, dtype=torch.float64)
        table.append(torch.block_diag(*[average] * (SIZE // block)) @ table[-1])
    stages = torch.stack(table)
    place = torch.linspace(0, len(BLOCKS), T + 1, dtype=torch.float64)
    before = place.long().clamp_max(len(BLOCKS) - 1)
    return torch.lerp(stages[before], stages[before + 1], (place - before)[:, None, None])


class Restorer(nn.Module):
    """R(x_s, s) → x̂_0: the small U-Net, told the severity as the angle s/T · π/2; it predicts x_0 - x_s."""

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.network = make_network(NetworkConfig("small", CHANNELS), (1, SIZE, SIZE), classes, seed)

    def forward(self, x: Tensor, severity: int | Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, 1, 28, 28), `severity` a number or (N,), `labels` (N,) or None = unknown → (N, 1, 28, 28)."""
        angle = torch.as_tensor(severity).reshape(-1, 1, 1, 1) * (math.pi / 2 / T)
        return x + self.network(x, angle.cos(), angle.sin(), labels)


@dataclass(frozen=True)
class ColdStep:
    """One state on the way back: x_s (N, 1, 28, 28), and x̂_0 as the restorer reads it. At s = 0, x is the result."""

    index: int  # k = 0 … start
    severity: int  # s
    x: Tensor
    x0: Tensor


@torch.no_grad()
def restore(
    restorer: Callable[[Tensor, int, Tensor | None], Tensor],
    degradation: Degradation,
    x: Tensor,
    start: int,
    algorithm: Algorithm = "improved",
    labels: Tensor | None = None,
) -> Iterator[ColdStep]:
    """From `x` (N, 1, 28, 28) at severity `start` back to 0: start + 1 states, the last one the result.

    "naive" is Algorithm 1 of Bansal et al. 2022, "improved" Algorithm 2: what the restorer gets wrong in the same way
    at s and s - 1 cancels (§3.3). `labels` (N,): the classes to restore to. Raises ColdError.
    """
    if algorithm not in get_args(Algorithm):
        raise ColdError(f"{algorithm!r} is no algorithm. Choose one of: {', '.join(get_args(Algorithm))}.")
    if not 1 <= start <= T:
        raise ColdError(f"Restoring starts from a severity in 1 … {T}; it is {start}.")
    for severity in range(start, 0, -1):
        x0 = restorer(x, severity, labels)
        yield ColdStep(start - severity, severity, x, x0)
        less = degradation(x0, severity - 1)
        x = less if algorithm == "naive" else x - degradation(x0, severity) + less
    yield ColdStep(start, 0, x, x)


def draw_degraded(
    degradation: Degradation, severity: int, images: ImageSet, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """Where a generation starts: x_s (N, 1, 28, 28) of no picture, one for each of `labels` (N,).

    From the Gaussian with the mean and covariance of D(x_0, s) over `images` of that class. What little differs between
    pixels counts: one brightness and some noise, as in §5.2, gives hardly any digits here (blur). Raises ColdError.
    """
    known = torch.empty(0) if images.labels is None else images.labels[:FITTED_ON]
    if not torch.isin(labels, known).all():
        raise ColdError("There are no images of all these classes to start from.")
    x = torch.empty(len(labels), 1, SIZE, SIZE)
    for label in labels.unique():
        degraded = degradation(images[(known == label).nonzero()[:, 0]], severity)  # (M, 1, 28, 28)
        mean, rows = degraded.mean(0), labels == label
        # Their deviations in a random mixture have their own covariance: no matrix root is needed.
        mixture = torch.randn(int(rows.sum()), len(degraded), generator=generator) / math.sqrt(len(degraded))
        x[rows] = mean + torch.tensordot(mixture, degraded - mean, 1)
    return x


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio of images (N, …) in [-1, 1], in dB, the mean over images."""
    return (10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))).mean().item()


class ColdTrainer(Trainer):
    """The playground's own training loop, with a degraded picture in place of a noisy one and the paper's L1 loss."""

    def __init__(self, degradation: Degradation, images: ImageSet, seed: int) -> None:
        self.degradation, classes, schedule = degradation, len(images.classes), ScheduleConfig("cosine", 1000).make()
        super().__init__(Restorer(classes, seed), images, schedule, TRAINING, seed, images.labels, classes)

    def backward(self, batch: Batch) -> Tensor:
        """‖R(D(x_0, s), s) - x_0‖₁, equation 1, at the severity s whose angle the batch's noise level has."""
        angle = torch.atan2(batch.sigma, batch.alpha).flatten()
        severity = (angle / (math.pi / 2) * T).long().clamp_max(T - 1) + 1  # each of 1 … T
        loss = F.l1_loss(self.network(self.degradation(batch.x0, severity), severity, batch.labels), batch.x0)
        loss.backward()
        return loss.detach()


@torch.no_grad()
def measure(restorer: Restorer, degradation: Degradation, x0: Tensor) -> list[dict[str, float]]:
    """PSNR in dB on `x0` (N, 1, 28, 28), classes unknown: degraded, restored at once, and by each algorithm."""
    rows = []
    for severity in (T * k // 4 for k in (1, 2, 3, 4)):
        x = degradation(x0, severity)
        results = {"degraded": x, "at_once": restorer(x, severity)}
        for algorithm in get_args(Algorithm):
            *_, last = restore(restorer, degradation, x, severity, algorithm)
            results[algorithm] = last.x
        rows.append({"severity": severity} | {name: round(psnr(result, x0), 2) for name, result in results.items()})
    return rows


def load_restorer(kind: Kind, folder: Path = MNIST) -> tuple[Restorer, Degradation]:
    """The restorer that ships for `kind`, and what it restores from. Raises ColdError for an unknown kind, WeightsError
    for a damaged or foreign file.
    """
    restorer, degradation = Restorer(), Degradation(kind)
    load_weights(restorer, folder / f"restorer-{kind}.safetensors")
    return restorer.requires_grad_(False).eval(), degradation


def main(arguments: list[str]) -> None:
    """Train, write the weights, read them back as they will be used, and write what they reach into the card."""
    parser = argparse.ArgumentParser(prog="python -m playground.mnist.cold", description="Train a restorer of digits.")
    parser.add_argument("--out", type=Path, required=True, help="folder for restorer-KIND.safetensors and its card")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    kind, images, path = options.kind, mnist(), options.out / f"restorer-{options.kind}.safetensors"

    torch.set_num_threads(1)  # sums in one order: the same seed gives the same weights
    started = time.process_time()
    trainer = ColdTrainer(Degradation(kind), images, options.seed)
    for _ in progress(trainer.steps(options.steps), options.steps):
        pass
    seconds = time.process_time() - started
    write_weights(trainer.ema, path)
    restorer, degradation = load_restorer(kind, options.out)  # rounded to half precision
    recipe = {"kind": kind, "channels": CHANNELS, "loss": "l1", "steps": options.steps, "seed": options.seed}
    card = make_card(
        path,
        restorer,
        images,
        recipe | dataclasses.asdict(TRAINING),
        training_cpu_seconds=round(seconds),
        psnr_of_500_test_digits=measure(restorer, degradation, mnist("test")[:500]),
    )
    write_card(path, card)


if __name__ == "__main__":
    main(sys.argv[1:])
