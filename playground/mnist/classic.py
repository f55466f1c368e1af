"""The classic U-Net of teaching notebooks (Ronneberger et al. 2015), told the noise level as in Ho et al. 2020.

    32×32  two convolutions ─────────── join ──────────► two convolutions ──► prediction
             └► max-pool 16×16  two convolutions ─ join ─► two … ┘ transposed convolution
                  └► …                   lowest level (and attention) … ┘

Its switches are the notebooks' exercises: batch or group norm, residual blocks, self-attention. Of the two, batch norm
makes a prediction depend on the other images of the batch while it trains; read it in eval mode.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.mnist.unet import GROUPS, Attention, NoiseEmbedding

Norm = Literal["group", "batch"]
EMBEDDING = 256


class DoubleConv(nn.Module):
    """Twice: convolution, norm, ReLU. The embedding of level and class is added to every place in between."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, residual: bool) -> None:
        super().__init__()

        def make_norm() -> nn.Module:
            return nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(GROUPS, outputs)

        # No biases: the norms have their own, and would subtract these.
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), make_norm()
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), make_norm()
        self.add = nn.Linear(EMBEDDING, outputs)
        self.around: nn.Module | None = None
        if residual:  # He et al. 2016, figure 2
            self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `embedding` (N, EMBEDDING) → (N, outputs, H, W)."""
        # After the norm, which would take a shift of a whole channel out again, and before the ReLU.
        h = F.relu(self.norm1(self.conv1(x)) + self.add(embedding)[:, :, None, None])
        h = self.norm2(self.conv2(h))
        return F.relu(h if self.around is None else h + self.around(x))


class ClassicUNet(nn.Module):
    """x_t (N, C, H, W), its noise level and perhaps a class → a prediction of the same shape.

    H and W must be multiples of 2^(levels - 1).
    """

    def __init__(
        self,
        classes: int,
        image_channels: int,
        channels: Sequence[int],
        norm: Norm,
        residual: bool,
        attention: bool,
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(channels))
        self.embedding = NoiseEmbedding(classes, EMBEDDING)
        self.down = nn.ModuleList(
            DoubleConv(a, b, norm, residual) for a, b in itertools.pairwise([image_channels, *channels])
        )
        self.attention = Attention(channels[-1]) if attention else nn.Identity()
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(DoubleConv(2 * a, a, norm, residual) for a, _ in pairs)
        self.last = nn.Conv2d(channels[0], image_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, C, H, W) with α² + σ² = 1; `alpha`, `sigma` (N, 1, 1, 1) or 0-d; `labels` (N,) or None = unknown."""
        embedding = self.embedding(len(x), alpha, sigma, labels)  # (N, EMBEDDING)
        h = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for level, block in enumerate(self.down):
            h = block(F.max_pool2d(h, 2) if level else h, embedding)
            skips.append(h)
        h = self.attention(skips.pop())
        for level in reversed(range(len(self.up))):
            h = self.up[level](torch.cat([self.grow[level](h), skips.pop()], 1), embedding)
        return self.last(h)
