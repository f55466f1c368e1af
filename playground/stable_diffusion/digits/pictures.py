"""Coloured digits: handwriting from MNIST, made thick or thin, turned a little and set in colour on a colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.mnist.data import mnist
from playground.stable_diffusion.digits.words import COLOURS, Scene

SIZE = 32
FINE = 56  # strokes are made thicker and thinner at twice MNIST's resolution
TRAINING_DIGITS = 45_000  # of MNIST's 60,000: the rest teach the judge, so that it judges by other pictures
PALETTE = torch.tensor(list(COLOURS.values())) / 127.5 - 1  # (10, 3) in [-1, 1]
COLOUR_JITTER = 0.06  # standard deviation of each channel, of a range of 2


@dataclass(frozen=True)
class Pictures:
    """`x0` (N, 3, 32, 32) in [-1, 1]; `ink` (N, 1, 32, 32) in [0, 1]: how much digit there is."""

    x0: Tensor
    ink: Tensor


class Writer:
    """Draws scenes with digits of one part of MNIST: "train", "judge" or "test"."""

    def __init__(self, part: str) -> None:
        whole = mnist("test" if part == "test" else "train")
        assert whole.labels is not None
        rows = {"train": slice(0, TRAINING_DIGITS), "judge": slice(TRAINING_DIGITS, None), "test": slice(None)}[part]
        self.images, labels = whole.images[rows], whole.labels[rows]
        self.of_digit = [torch.nonzero(labels == digit).flatten() for digit in range(10)]

    def draw(self, scenes: list[Scene], generator: torch.Generator) -> Pictures:
        """A picture of each scene."""
        ink = self._ink(scenes, generator)  # (N, 2, 32, 32): the left or only digit, and the right one
        n = len(scenes)
        first = torch.tensor([s.colours[0] for s in scenes])
        last = torch.tensor([s.colours[-1] for s in scenes])
        ground = torch.tensor([s.background for s in scenes])
        colours = PALETTE[torch.stack([ground, first, last])]  # (3, N, 3)
        colours = (colours + COLOUR_JITTER * torch.randn(3, n, 3, generator=generator)).clamp(-1, 1)[..., None, None]
        x0 = colours[0] + ink[:, :1] * (colours[1] - colours[0])
        x0 = x0 + ink[:, 1:] * (colours[2] - x0)
        return Pictures(x0, 1 - (1 - ink).prod(1, keepdim=True))

    def _ink(self, scenes: list[Scene], generator: torch.Generator) -> Tensor:
        n = len(scenes)
        rows = torch.zeros(n, 2, dtype=torch.long)
        for k, scene in enumerate(scenes):
            for side, digit in enumerate(scene.digits):
                choices = self.of_digit[digit]
                rows[k, side] = choices[torch.randint(len(choices), (1,), generator=generator)]
        fine = F.interpolate(self.images[rows.flatten()] / 255.0, size=(FINE, FINE), mode="bilinear")
        stroke = torch.tensor([("thin", "", "thick").index(s.stroke) for s in scenes]).repeat_interleave(2)
        fine[stroke == 2] = _bolder(fine[stroke == 2])
        fine[stroke == 0] = -F.max_pool2d(-fine[stroke == 0], 3, 1, 1)
        ink = F.grid_sample(fine, self._places(scenes, generator), padding_mode="zeros", align_corners=False)
        ink = ink.reshape(n, 2, SIZE, SIZE)
        alone = torch.tensor([len(s.digits) == 1 for s in scenes])
        ink[alone, 1] = 0
        # A thin stroke keeps its depth: what erosion took from the peak is given back.
        peak = ink.amax((2, 3), keepdim=True).clamp_min(1e-3)
        return (ink / peak * 1.15).clamp(0, 1) * (peak > 0.05)

    @staticmethod
    def _places(scenes: list[Scene], generator: torch.Generator) -> Tensor:
        """(2N, 32, 32, 2) sampling grid: where each digit stands, how large, how much turned."""
        n = len(scenes)
        jitter = torch.rand(4, 2 * n, generator=generator) * 2 - 1
        two = torch.tensor([len(s.digits) == 2 for s in scenes]).repeat_interleave(2)
        side = torch.tensor([-1.0, 1.0]).repeat(n)
        size = torch.where(two, 0.60 + 0.04 * jitter[0], 0.92 + 0.08 * jitter[0])  # of the picture's side
        right = torch.where(two, 0.46 * side + 0.03 * jitter[1], 0.10 * jitter[1])
        down = torch.where(two, 0.16, 0.10) * jitter[2]
        angle = jitter[3] * (8 * math.pi / 180)
        cos, sin = angle.cos() / size, angle.sin() / size
        matrix = torch.stack([cos, -sin, -cos * right + sin * down, sin, cos, -sin * right - cos * down], 1).reshape(
            -1, 2, 3
        )
        return F.affine_grid(matrix, [2 * n, 1, SIZE, SIZE], align_corners=False)


def _bolder(ink: Tensor) -> Tensor:
    """Grey dilation by one and a half fine pixels: by two, the loops of a 6 fill up."""
    return (F.max_pool2d(ink, 3, 1, 1) + F.max_pool2d(ink, 5, 1, 2)) / 2
