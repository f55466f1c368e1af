"""The network that ships: a small U-Net that is told how noisy its input is, and perhaps which digit it should be.

    28×28  ──fold 2×2 pixels into channels──►  14×14  block ─────────────────────── block ──unfold──►  prediction
                                                        └► 7×7 block, middle, block ┘

Every block reads the noise *angle* u = (2/π) atan2(σ, α) rather than a timestep: one set of weights serves every
schedule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVEL_FREQUENCIES = 16
EMBEDDING = 128
GROUPS = 8


class NoiseEmbedding(nn.Module):
    """(α, σ) and a class → (N, size), the condition that every block reads. Row `classes` of the table is "unknown"."""

    frequencies: Tensor  # (F,)

    def __init__(self, classes: int, size: int = EMBEDDING) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("frequencies", torch.linspace(0.5, LEVEL_FREQUENCIES / 2, LEVEL_FREQUENCIES) * math.pi)
        self.level = nn.Sequential(nn.Linear(2 * LEVEL_FREQUENCIES, size), nn.SiLU(), nn.Linear(size, size))
        self.label = nn.Embedding(classes + 1, size)
        nn.init.normal_(self.label.weight, std=0.5)

    def forward(self, n: int, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """`alpha`, `sigma`: n values each, in any shape, or one; `labels` (n,) or None."""
        u = torch.atan2(sigma, alpha).reshape(-1, 1) * (2 / math.pi)  # (n or 1, 1) in [0, 1]
        angles = u * self.frequencies  # (n or 1, F)
        level = self.level(torch.cat([angles.sin(), angles.cos()], 1))  # (n or 1, size)
        if labels is None:
            labels = torch.full((n,), self.classes, device=level.device)
        return F.silu(level + self.label(labels))


class Block(nn.Module):
    """Two convolutions and a way around them; the embedding scales and shifts in between (FiLM, Perez et al. 2018)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.film = nn.Linear(EMBEDDING, 2 * outputs)
        self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # a block begins as the way around it
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """`x` (N, inputs, H, W), `embedding` (N, EMBEDDING) → (N, outputs, H, W)."""
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.around(x) + h


class Attention(nn.Module):
    """Every place looks at every other (Vaswani et al. 2017); affordable at 7×7."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)  # (N, heads, H·W, C / heads)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, h, w)
        return x + self.out(mixed)


class SmallUNet(nn.Module):
    """x_t (N, C, H, W), its noise level and perhaps a class → a prediction of the same shape.

    H and W must be multiples of `patch` · 2^(levels - 1). `patch` 2 folds 2×2 pixels into channels first: a quarter of
    the places, and of the work.
    """

    def __init__(
        self, classes: int = 10, image_channels: int = 1, channels: Sequence[int] = (64, 128), patch: int = 2
    ) -> None:
        super().__init__()
        self.patch = patch
        self.embedding = NoiseEmbedding(classes)
        folded = image_channels * patch**2
        self.first = nn.Conv2d(folded, channels[0], 3, padding=1)
        pairs = list(itertools.pairwise(channels))
        self.down = nn.ModuleList(Block(c, c) for c in channels)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle, self.attention = Block(channels[-1], channels[-1]), Attention(channels[-1])
        self.up = nn.ModuleList(Block(2 * c, c) for c in channels)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.norm = nn.GroupNorm(GROUPS, channels[0])
        self.last = nn.Conv2d(channels[0], folded, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # the first prediction is 0, the mean of every target
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, C, H, W) with α² + σ² = 1; `alpha`, `sigma` (N, 1, 1, 1) or 0-d; `labels` (N,) or None = unknown."""
        embedding = self.embedding(len(x), alpha, sigma, labels)  # (N, EMBEDDING)
        h = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        skips = []
        for level, block in enumerate(self.down):
            h = block(h, embedding)
            skips.append(h)
            if level < len(self.shrink):
                h = self.shrink[level](h)
        h = self.attention(self.middle(h, embedding))
        for level in reversed(range(len(self.up))):
            h = self.up[level](torch.cat([h, skips[level]], 1), embedding)
            if level:
                h = self.grow[level - 1](h)
        return F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)
