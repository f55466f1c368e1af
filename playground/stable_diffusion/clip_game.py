"""CLIP by itself: how well captions fit pictures, and a picture painted by nothing but CLIP's opinion.

Before Stable Diffusion there was CLIP+VQGAN (Crowson et al. 2022): no diffusion at all, just the latents of an
autoencoder, moved until CLIP finds that the picture fits the words. It shows what guidance alone can do, and why
a model of pictures is needed as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.refusal import Refusal
from playground.stable_diffusion.digits.clip import TinyClip, load_clip
from playground.stable_diffusion.digits.pipeline import FOLDER, LATENT_CHANNELS, LATENT_SIZE
from playground.stable_diffusion.digits.unet import load_parts

VIEWS = 8  # of the picture at each step, each moved and scaled a little: what fools one view seldom fools them all
PRIOR = 0.02  # weight of ‖z‖²/2: latents far from where pictures lie decode to nothing anyone has seen
SMOOTH = 0.7  # weight of the total variation: left alone, CLIP is content with coloured noise
START = 0.3  # standard deviation of the first latent: less than that of a picture's
VIEW_NOISE = 0.3  # added to each view, so that no fine pattern can please CLIP
RATE = 0.05
MAX_CAPTIONS, MAX_PICTURES, MAX_STEPS = 16, 16, 400


class ClipError(Refusal):
    """This cannot be compared or painted; the message says why."""


@dataclass(frozen=True)
class ClipStep:
    """`image` (3, 32, 32) in [0, 1]; `similarity`: the cosine between it and the caption, over all views."""

    step: int
    steps: int
    image: Tensor
    similarity: float


@lru_cache(maxsize=1)
def tiny_clip() -> TinyClip:
    """The CLIP that ships, loaded once; only read."""
    return load_clip(FOLDER)


@lru_cache(maxsize=1)
def _decoder() -> Any:
    vae, _, _ = load_parts(FOLDER)
    return vae


def similarity(pictures: Tensor, captions: Sequence[str]) -> Tensor:
    """(N, captions) cosines between `pictures` (N, 3, 32, 32) in [0, 1] and words. Raises ClipError."""
    if not captions:
        raise ClipError("Write a caption to compare with, one on each line, such as: a red seven.")
    if len(captions) > MAX_CAPTIONS or not 1 <= len(pictures) <= MAX_PICTURES:
        raise ClipError(f"The table takes 1 to {MAX_PICTURES} pictures and 1 to {MAX_CAPTIONS} captions.")
    clip = tiny_clip()  # loaded outside inference mode, or `paint_by_clip` could not take gradients through it
    with torch.inference_mode():
        return clip.similarity(pictures * 2 - 1, list(captions))


def paint_by_clip(caption: str, steps: int = 150, seed: int = 0) -> Iterator[ClipStep]:
    """Move a random latent uphill in CLIP's similarity to `caption`. Raises ClipError."""
    if not caption.strip():
        raise ClipError("Give CLIP some words to paint, such as: a red seven on a blue background.")
    if not 1 <= steps <= MAX_STEPS:
        raise ClipError(f"CLIP paints in 1 to {MAX_STEPS} steps.")
    generator = torch.Generator().manual_seed(seed)
    clip, vae = tiny_clip(), _decoder()
    with torch.no_grad():
        words = clip.read([caption])  # (1, 64)
    z = START * torch.randn(1, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=generator)
    momenta = torch.zeros_like(z), torch.zeros_like(z)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            picture = vae.decode(z).sample.clamp(-1, 1)
            cosine = (clip.look(_views(picture, generator)) @ words.T).mean()
            roughness = picture.diff(dim=2).abs().mean() + picture.diff(dim=3).abs().mean()
            (gradient,) = torch.autograd.grad(PRIOR * z.square().mean() / 2 + SMOOTH * roughness - cosine, z)
        z = _adam(z.detach(), gradient, momenta, step)
        yield ClipStep(step, steps, (picture.detach()[0] + 1) / 2, float(cosine.detach()))


def _views(picture: Tensor, generator: torch.Generator) -> Tensor:
    """(8, 3, 32, 32): `picture` (1, 3, 32, 32) moved by up to 2 pixels, scaled by up to a tenth, and noisy."""
    right, down, size = torch.rand(3, VIEWS, generator=generator) * 2 - 1
    size, zero = 1 + 0.1 * size, torch.zeros(VIEWS)
    matrix = torch.stack([size, zero, right / 8, zero, size, down / 8], 1).reshape(VIEWS, 2, 3)
    grid = F.affine_grid(matrix, [VIEWS, *picture.shape[1:]], align_corners=False)
    views = F.grid_sample(picture.expand(VIEWS, -1, -1, -1), grid, padding_mode="border", align_corners=False)
    return views + VIEW_NOISE * torch.randn(views.shape, generator=generator)


def _adam(z: Tensor, gradient: Tensor, momenta: tuple[Tensor, Tensor], step: int) -> Tensor:
    """Kingma & Ba 2015, algorithm 1. By hand, for one tensor: importing torch.optim takes seconds."""
    first, second = momenta
    first.lerp_(gradient, 1 - 0.9)
    second.lerp_(gradient.square(), 1 - 0.99)
    return z - RATE * (first / (1 - 0.9**step)) / ((second / (1 - 0.99**step)).sqrt() + 1e-8)
