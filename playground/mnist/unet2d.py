"""diffusers' own U-Net behind the playground's interface: the network of its tutorials, beside ours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.mnist.unet import GROUPS

TIMESTEPS = 1000  # UNet2DModel's sinusoids are made for t in 0 … 1000


class DiffusersUNet(nn.Module):
    """UNet2DModel (diffusers, models/unets/unet_2d.py), class-conditional. Where a scheduler would send a timestep t,
    it gets the noise angle, 1000 · (2/π) atan2(σ, α): one set of weights serves every schedule.

    `shape` (C, H, W); H and W must be multiples of 2^(levels - 1). `attention`: in the middle, the lowest resolution.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int], channels: Sequence[int], attention: bool) -> None:
        super().__init__()
        self.classes = classes
        self.unet = import_diffusers("UNet2DModel").UNet2DModel(
            sample_size=shape[1:],
            in_channels=shape[0],
            out_channels=shape[0],
            block_out_channels=tuple(channels),
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=GROUPS,
            add_attention=attention,
            num_class_embeds=classes + 1,  # the last is "unknown"
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, C, H, W) with α² + σ² = 1; `alpha`, `sigma` (N, 1, 1, 1) or 0-d; `labels` (N,) or None = unknown."""
        t = torch.atan2(sigma, alpha).reshape(-1) * (TIMESTEPS * 2 / math.pi)  # (N,) or (1,)
        if labels is None:
            labels = torch.full((len(x),), self.classes, device=x.device)
        return self.unet(x.contiguous(memory_format=torch.channels_last), t, labels).sample
