"""A small network that reads digits: it judges samples, and says in the tab what it reads at every t.

    python -m playground.mnist.classifier --out assets/mnist

trains the one that ships, on one core in a few minutes. It has seen nothing but digits and must answer with one: pure
noise it calls a digit with full confidence. What it reads says which digit it may be, never whether it is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from playground.mnist.data import MNIST, ImageSet, mnist
from playground.mnist.weights import load_weights, make_card, write_card, write_weights

FEATURES = 64
READ_AT_ONCE = 500  # images: what passes between two layers stays within the processor's cache


def _convolution(inputs: int, outputs: int, side: int, stride: int, padding: int) -> nn.Sequential:
    weights = nn.Conv2d(inputs, outputs, side, stride, padding, bias=False)  # the norm has a bias of its own
    return nn.Sequential(weights, nn.BatchNorm2d(outputs), nn.ReLU())


class DigitReader(nn.Module):
    """(N, 1, 28, 28) in [-1, 1] → (N, 10) logits, through 64 features on which Fréchet distances are measured."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            _convolution(1, 32, 5, stride=2, padding=2),  # 14×14
            _convolution(32, 32, 3, stride=1, padding=1),
            _convolution(32, 64, 3, stride=2, padding=1),  # 7×7
            _convolution(64, 64, 3, stride=1, padding=1),
            _convolution(64, 64, 3, stride=2, padding=0),  # 3×3
        )
        self.penultimate = nn.Linear(64 * 3 * 3, FEATURES)
        self.last = nn.Linear(FEATURES, 10)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def features(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) → (N, 64), none below 0; their variances over the training digits average 1."""
        return F.relu(self.penultimate(self.convolutions(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) → (N, 10)."""
        return self.last(self.features(x))


@dataclass(frozen=True)
class ReaderRecipe:
    """How the reader is trained: AdamW on the one-cycle schedule of Smith & Topin 2018."""

    epochs: int = 18
    batch_size: int = 100
    learning_rate: float = 5e-3  # at the top of the cycle
    weight_decay: float = 0.05
    degrees: float = 12.0  # every digit is turned by up to this, either way,
    pixels: float = 2.0  # moved by up to this along either axis,
    scale: float = 0.1  # and made larger or smaller by up to this share
    seed: int = 0


def augment(x: Tensor, recipe: ReaderRecipe, generator: torch.Generator) -> Tensor:
    """Digits `x` (N, 1, H, W) in [-1, 1], each turned, moved and scaled a little; what comes in is background."""
    n, _, _, width = x.shape
    degrees, right, down, scale = torch.rand(4, n, generator=generator) * 2 - 1  # each (n,) in [-1, 1)
    angle = degrees * recipe.degrees * (math.pi / 180)
    scale = 1 + scale * recipe.scale
    cos, sin = angle.cos() / scale, angle.sin() / scale
    move = recipe.pixels * 2 / width  # affine_grid's coordinates span 2 over the width
    matrix = torch.stack([cos, -sin, right * move, sin, cos, down * move], 1).reshape(n, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, padding_mode="zeros", align_corners=False) - 1


def train_reader(recipe: ReaderRecipe, images: ImageSet) -> DigitReader:
    """A reader trained from scratch on labelled digits, ready to read."""
    assert images.labels is not None
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        reader = DigitReader()
    batches = len(images) // recipe.batch_size
    optimizer = torch.optim.AdamW(
        reader.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.epochs * batches)
    with tqdm(total=recipe.epochs * batches) as bar:
        for _ in range(recipe.epochs):
            order = torch.randperm(len(images), generator=generator)[: batches * recipe.batch_size]
            for index in order.split(recipe.batch_size):
                loss = F.cross_entropy(reader(augment(images[index], recipe, generator)), images.labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}")
    reader.requires_grad_(False).eval()
    _standardise(reader, images)
    return reader


@torch.inference_mode()
def _standardise(reader: DigitReader, images: ImageSet) -> None:
    """Give the features a unit, in which Fréchet distances are measured: on average their variance is 1.

    What is read stays the same: relu(c z) = c relu(z) for c > 0.
    """
    features = torch.cat([reader.features(images[index]) for index in torch.arange(len(images)).split(READ_AT_ONCE)])
    std = features.var(0).mean().sqrt()
    for tensor in (reader.penultimate.weight, reader.penultimate.bias):
        tensor /= std
    reader.last.weight *= std


@torch.inference_mode()
def accuracy(reader: DigitReader, x: Tensor, labels: Tensor) -> float:
    """The share of digits `x` (N, 1, 28, 28) that is read as `labels` (N,)."""
    read = torch.cat([reader(part).argmax(1) for part in x.split(READ_AT_ONCE)])
    return (read == labels).double().mean().item()


def open_reader(folder: Path = MNIST) -> DigitReader:
    """The reader in `folder`/classifier.safetensors. Raises WeightsError for a damaged or foreign file."""
    reader = DigitReader()
    load_weights(reader, folder / "classifier.safetensors")
    return reader.requires_grad_(False).eval()


@lru_cache(maxsize=1)
def load_reader() -> DigitReader:
    """The reader that ships, read from its file once. Raises WeightsError."""
    return open_reader()


def main(arguments: list[str]) -> None:
    """Train, write the weights, read them back as they will be used, and write their accuracy into the card."""
    parser = argparse.ArgumentParser(prog="python -m playground.mnist.classifier", description=train_reader.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for classifier.safetensors and its card")
    for knob in dataclasses.fields(ReaderRecipe):
        parser.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), default=knob.default)
    options = vars(parser.parse_args(arguments))
    path: Path = options.pop("out") / "classifier.safetensors"
    recipe = ReaderRecipe(**options)

    torch.set_num_threads(1)  # sums in one order: the same seed gives the same weights
    train, test = mnist("train"), mnist("test")
    assert test.labels is not None
    started = time.process_time()
    trained = train_reader(recipe, train)
    seconds = time.process_time() - started
    write_weights(trained, path)
    reader = open_reader(path.parent)  # rounded to half precision
    card = make_card(
        path,
        reader,
        train,
        dataclasses.asdict(recipe),
        training_cpu_seconds=round(seconds),
        test_accuracy=accuracy(reader, test[:], test.labels),
    )
    write_card(path, card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
