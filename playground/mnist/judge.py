"""How good are generated digits? Right class, Fréchet distance and copies, each beside its floor.

    python -m playground.mnist.judge assets/mnist/model.safetensors [--n 2000] [--guidance 1 2] [--json] [--write]

samples from a model (its card lies beside it) and prints the figures; --write puts them into the card.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from playground.diffusion.metrics import frechet_distance
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import SAMPLERS, SamplingConfig, sample, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.mnist.classifier import READ_AT_ONCE, load_reader
from playground.mnist.data import mnist
from playground.mnist.generate import MODEL_SCHEDULE
from playground.mnist.weights import ImageModel, load_model, write_card
from playground.refusal import Refusal

SAMPLED_AT_ONCE = 100
MAX_NEIGHBOURS = 20
DIGIT = (1, 28, 28)
ROWS, COLUMNS = 500, 10_000  # one block of distances: 20 MB, beside 30 MB of training images


class JudgeError(Refusal):
    """These images cannot be judged; the message says why."""


@dataclass(frozen=True)
class ImageQuality:
    """Samples against MNIST. A floor is what as many real digits get."""

    right: float  # share that is read as the class asked for
    frechet: float  # Fréchet distance of 64 features to those of the 10,000 test digits (Heusel et al. 2017)
    frechet_floor: float  # of real training digits
    nearest: float  # median distance to the nearest training digit: root mean square over the pixels, in [-1, 1]
    nearest_floor: float  # of real test digits, which no network has seen: a copy of a training digit lies far below
    n: int


@torch.inference_mode()
def reads(x: Tensor) -> Tensor:
    """(N, 1, 28, 28) in [-1, 1] → (N, 10) probabilities, as the reader that ships sees it.

    It knows digits only, and calls pure noise one with full confidence: never use the confidence alone. Raises
    JudgeError for other shapes.
    """
    _check(x)
    return torch.cat([load_reader()(part) for part in x.split(READ_AT_ONCE)]).softmax(1)


@torch.inference_mode()
def features(x: Tensor) -> Tensor:
    """(N, 1, 28, 28) in [-1, 1] → the reader's (N, 64) features. Raises JudgeError for other shapes."""
    _check(x)
    return torch.cat([load_reader().features(part) for part in x.split(READ_AT_ONCE)])


@lru_cache(maxsize=1)
def _test_features() -> Tensor:
    return features(mnist("test")[:])


@torch.inference_mode()
def nearest_training(x: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The `k` nearest of the 60,000 training digits to each of `x` (N, 1, 28, 28) in [-1, 1], nearest first.

    Distances (N, k), the root of the mean squared difference of a pixel, and indices (N, k). Raises JudgeError for
    other shapes, or k outside 1 … 20.
    """
    _check(x)
    if not 1 <= k <= MAX_NEIGHBOURS:
        raise JudgeError(f"Ask for 1 … {MAX_NEIGHBOURS} neighbours; it was {k}.")
    parts = [_nearest(part, k) for part in x.flatten(1).split(ROWS)]
    return torch.cat([distances for distances, _ in parts]), torch.cat([indices for _, indices in parts])


def _nearest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`nearest_training` of so few `x` (n, 784) that their distances to a block of training digits fit into memory."""
    images = mnist("train")
    found, where = [], []
    for begin in range(0, len(images), COLUMNS):
        block = images[begin : begin + COLUMNS].flatten(1)
        partly = block.square().sum(1) - 2 * x @ block.T  # |a - b|² but for |a|², which is the same for all b
        smallest, index = partly.topk(k, largest=False)
        found.append(smallest)
        where.append(index + begin)
    best = torch.cat(found, 1).topk(k, largest=False).indices
    indices = torch.cat(where, 1).gather(1, best)
    # the sum above cancels for close images: those it found are measured again
    rms = (images[indices.flatten()].reshape(len(x), k, -1) - x[:, None]).square().mean(2).sqrt()
    distances, order = rms.sort(1)
    return distances, indices.gather(1, order)


def judge(samples: Tensor, labels: Tensor, seed: int = 0) -> ImageQuality:
    """Judge `samples` (N, 1, 28, 28), as shown: held within [-1, 1]. `labels` (N,): the classes they should be.

    The floors are of N real digits drawn with `seed`. Compare Fréchet distances at one N only: few samples are further
    away. Raises JudgeError for fewer than 2 samples, more than 10,000, other shapes or numbers that are not finite.
    """
    _check(samples)
    n = len(samples)
    train, test = mnist("train"), mnist("test")
    if not 2 <= n <= len(test) or labels.shape != (n,):
        raise JudgeError(f"Judge 2 … {len(test):,} samples, each with its class; there are {n} and {len(labels)}.")
    samples = samples.clamp(-1, 1)
    generator = torch.Generator().manual_seed(seed)
    seen = train[torch.randperm(len(train), generator=generator)[:n]]
    unseen = test[torch.randperm(len(test), generator=generator)[:n]]
    real = _test_features()
    return ImageQuality(
        right=(reads(samples).argmax(1) == labels).double().mean().item(),
        frechet=frechet_distance(features(samples), real),
        frechet_floor=frechet_distance(features(seen), real),
        nearest=nearest_training(samples)[0].median().item(),
        nearest_floor=nearest_training(unseen)[0].median().item(),
        n=n,
    )


def _check(x: Tensor) -> None:
    if x.shape[1:] != DIGIT or not len(x):
        raise JudgeError(f"The judge knows 28×28 digits only, (N, 1, 28, 28); these are {tuple(x.shape)}.")
    if not x.isfinite().all():
        raise JudgeError("Some of these pixels are not finite: the network, or the sampler, has diverged.")


def draw_samples(
    model: ImageModel,
    labels: Tensor,
    schedule: NoiseSchedule,
    config: SamplingConfig,
    guidance_scale: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """One image of each of the classes `labels` (N,), in batches: (N, C, H, W). Raises SamplerError."""
    noise = start_noise(len(labels), math.prod(model.shape), seed).reshape(-1, *model.shape)
    generator = torch.Generator().manual_seed(seed + 1)  # of the samplers that draw on the way
    batches = list(zip(noise.split(SAMPLED_AT_ONCE), labels.split(SAMPLED_AT_ONCE), strict=True))
    images = []
    for x, classes in tqdm(batches, f"guidance {guidance_scale:g}", leave=False):
        for step in sample(model.denoiser(classes, guidance_scale), schedule, x, config, generator):
            x = step.x
        images.append(x)
    return torch.cat(images)


def main(arguments: list[str]) -> None:
    """Sample, judge, print; perhaps write it into the card."""
    parser = argparse.ArgumentParser(prog="python -m playground.mnist.judge", description="Judge a model of digits.")
    default = SamplingConfig()
    parser.add_argument("model", type=Path, metavar="MODEL.safetensors", help="its card, MODEL.json, lies beside it")
    parser.add_argument("--n", type=int, default=2_000, help="samples, as many of each class")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0], metavar="SCALE", help="1 is none")
    parser.add_argument("--sampler", choices=SAMPLERS, default=default.sampler)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--spacing", default=default.spacing, help="where the steps fall; see diffusion/sampling.py")
    parser.add_argument("--eta", type=float, default=default.eta, help="DDIM only")
    parser.add_argument("--variance", default=default.variance, help="DDPM only: fixed_small or fixed_large")
    parser.add_argument("--schedule", choices=SCHEDULES, default=MODEL_SCHEDULE.name)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to torch")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="write the figures into the model's card")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)

    model, schedule = load_model(options.model), ScheduleConfig(options.schedule, 1000).make()
    if model.shape != DIGIT:
        raise JudgeError(f"The judge knows 28×28 digits only; this model makes images of {model.shape}.")
    config = SamplingConfig(options.sampler, options.steps, options.spacing, options.eta, options.variance)
    labels = torch.arange(options.n) % len(model.classes)
    report = []
    for scale in options.guidance:
        samples = draw_samples(model, labels, schedule, config, scale, options.seed)
        figures = dataclasses.asdict(judge(samples, labels, options.seed))
        report.append(
            {
                "guidance_scale": scale,
                "schedule": schedule.name,
                "sampler": config.sampler,
                "steps": config.steps,
                "spacing": config.spacing,
                "seed": options.seed,
                **{name: round(value, 4) for name, value in figures.items()},
            }
        )
        if not options.json:
            print(describe(report[-1]), flush=True)
    if options.json:
        print(json.dumps(report, indent=2))
    if options.write:
        write_card(options.model, model.card | {"quality": report})


def describe(figures: dict[str, Any]) -> str:
    """One line of the report in words."""
    return (
        "guidance {guidance_scale:g}, {sampler} {steps} {spacing}, {schedule}, N = {n:,}: "
        "right class {right:.4f}; Fréchet distance {frechet:.3f} (floor {frechet_floor:.3f}); "
        "nearest training digit at {nearest:.3f} (floor {nearest_floor:.3f})"
    ).format(**figures)


if __name__ == "__main__":
    main(sys.argv[1:])
