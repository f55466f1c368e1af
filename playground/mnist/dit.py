"""A small diffusion transformer (DiT, Peebles & Xie 2023): no convolutions, no levels; patches that look at each other.

image ──► patches + positions ──► block ──► block … ──► norm, linear ──► patches ──► prediction
                                    ▲         ▲            ▲
level and class ────────────────────┴─────────┴────────────┘ scale, shift and gate (adaLN-Zero)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.mnist.unet import NoiseEmbedding

HEADS = 4


def positions(rows: int, columns: int, width: int) -> Tensor:
    """(rows · columns, width), fixed: half the width for the column, half for the row, each sines then cosines.

    Frequencies as in Vaswani et al. 2017, §3.5, in the order of diffusers' get_2d_sincos_pos_embed.
    """
    frequencies = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def waves(places: Tensor) -> Tensor:
        angles = places.reshape(-1, 1).double() * frequencies
        return torch.cat([angles.sin(), angles.cos()], 1)  # (rows · columns, width / 2)

    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.cat([waves(column), waves(row)], 1).float()


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """adaLN: a layer norm whose scale and shift (N, 1, width) the condition brings; `x` (N, T, width)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class DiTBlock(nn.Module):
    """Attention, then a perceptron on each token; the condition scales, shifts and gates both (their figure 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        nn.init.zeros_(self.modulation.weight)  # adaLN-Zero: the gates begin shut, a block as the identity
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """`x` (N, T, width), `embedding` (N, width) → (N, T, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(embedding)[:, None].chunk(6, -1)
        x = x + gate1 * self.attend(layer_norm(x, scale1, shift1))
        return x + gate2 * self.mlp(layer_norm(x, scale2, shift2))

    def attend(self, x: Tensor) -> Tensor:
        """Every token looks at every other (Vaswani et al. 2017): (N, T, width) → (N, T, width)."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (N, heads, T, width / heads) each
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class DiT(nn.Module):
    """x_t (N, C, H, W), its noise level and perhaps a class → a prediction of the same shape.

    `shape` (C, H, W), H and W multiples of `patch`; `width` a multiple of 4; `depth` blocks.
    """

    positions: Tensor  # (T, width)

    def __init__(self, classes: int, shape: tuple[int, int, int], width: int, depth: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        channels, rows, columns = shape[0] * patch**2, shape[1] // patch, shape[2] // patch
        self.embedding = NoiseEmbedding(classes, width)
        self.first = nn.Linear(channels, width)
        self.register_buffer("positions", positions(rows, columns, width), persistent=False)
        self.blocks = nn.ModuleList(DiTBlock(width) for _ in range(depth))
        self.modulation, self.last = nn.Linear(width, 2 * width), nn.Linear(width, channels)
        for layer in (self.modulation, self.last):  # the first prediction is 0, the mean of every target
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, C, H, W) with α² + σ² = 1; `alpha`, `sigma` (N, 1, 1, 1) or 0-d; `labels` (N,) or None = unknown."""
        embedding = self.embedding(len(x), alpha, sigma, labels)  # (N, width)
        patches = F.pixel_unshuffle(x, self.patch)  # (N, C · patch², rows, columns)
        h = self.first(patches.flatten(2).transpose(1, 2)) + self.positions  # (N, T, width)
        for block in self.blocks:
            h = block(h, embedding)
        shift, scale = self.modulation(embedding)[:, None].chunk(2, -1)
        h = self.last(layer_norm(h, scale, shift))  # (N, T, C · patch²)
        return F.pixel_shuffle(h.transpose(1, 2).reshape(patches.shape), self.patch)
