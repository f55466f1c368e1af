"""From latents to pictures: the VAE, and the linear map that costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# RGB of each of the four latent channels of Stable Diffusion 1.x, fitted to its VAE by Kevin Turner (keturn), 2022:
# "Decoding latents to RGB without upscaling", Hugging Face forum, topic 23204.
RGB_OF_LATENTS = torch.tensor(
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
)


def decode(vae: Any, latents: Tensor, float32_vae: Callable[[], Any]) -> tuple[Tensor, str]:
    """Pictures (N, 3, H, W) in about [-1, 1] for `latents` (N, C, h, w), and a note where float32 had to help.

    In half precision a VAE can overflow, and the picture would be black: then `float32_vae()` decodes.
    """
    dtype = next(vae.parameters()).dtype  # `vae.dtype` walks over all of them, a millisecond each time
    images = vae.decode(latents.to(dtype) / vae.config.scaling_factor, return_dict=False)[0]
    if dtype == torch.float32 or images.isfinite().all():
        return images, ""
    images = float32_vae().decode(latents.float() / vae.config.scaling_factor, return_dict=False)[0]
    return images, "In half precision the VAE overflowed (the picture would be black), so float32 decoded it."


def to_rgb(images: Tensor) -> Tensor:
    """From [-1, 1] on any device to [0, 1], float32, in main memory."""
    return (images * 0.5 + 0.5).clamp(0, 1).float().cpu()


def linear(matrix: Tensor, latents: Tensor) -> Tensor:
    """A rough picture (N, 3, h, w) in [0, 1] at the resolution of `latents` (N, C, h, w): `matrix` at each place."""
    matrix = matrix.to(latents)
    return to_rgb(torch.einsum("nchw,cr->nrhw", latents, matrix[:-1]) + matrix[-1].reshape(1, 3, 1, 1))


def linear_map(vae: Any, side: int) -> Tensor:
    """(C + 1, 3): RGB in [-1, 1] of each latent channel and, last, a constant. Published for Stable Diffusion's
    four channels; for a VAE with others, fitted on pictures of `side`.
    """
    if vae.config.latent_channels == len(RGB_OF_LATENTS):
        return torch.cat([RGB_OF_LATENTS, torch.zeros(1, 3)])
    return fit_linear(vae, side)


@torch.no_grad()
def fit_linear(vae: Any, side: int, pictures: int = 64) -> Tensor:
    """The map (C + 1, 3) with the least squared error on `pictures` of two colours each."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(2, pictures, 3, 1, 1, generator=generator) * 2 - 1
    mask = F.interpolate(torch.rand(pictures, 1, 4, 4, generator=generator), (side, side), mode="bicubic")
    mask = (8 * (mask - 0.5)).sigmoid()
    x = mask * colours[0] + (1 - mask) * colours[1]
    latents = vae.encode(x.to(vae.device, vae.dtype)).latent_dist.mode() * vae.config.scaling_factor
    rgb = F.adaptive_avg_pool2d(x, latents.shape[-2:]).movedim(1, -1).flatten(0, -2)
    rows = latents.float().cpu().movedim(1, -1).flatten(0, -2)
    return torch.linalg.lstsq(torch.cat([rows, torch.ones(len(rows), 1)], 1), rgb).solution
