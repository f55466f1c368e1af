"""The autoencoder: 32×32×3 pictures to 8×8×8 latents and back. Rombach et al. 2022, §3.1, without the adversary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.training import TrainStep
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import LATENT_CHANNELS, make_vae
from playground.stable_diffusion.digits.run import Chance, Recipe, Training, run
from playground.stable_diffusion.digits.words import draw_scene

RECIPE = Recipe(steps=9_000, batch_size=16, learning_rate=2.5e-3, optimizer="muon")
LATENT_NOISE = 0.06  # of the latents' standard deviation: the decoder learns to tolerate the U-Net's errors
KL_WEIGHT = 2e-6
INK_WEIGHT = 6.0  # most of a picture is background
L1_WEIGHT = 0.1
WHITENING = 4_096  # pictures whose latents are brought to mean 0 and variance 1
PAIRS = 0.25  # of the pictures have two digits: the smaller strokes are the harder ones


def train_vae(folder: Path, recipe: Recipe = RECIPE) -> Iterator[TrainStep]:
    """Train, or go on; at the end `folder`/vae holds the whitened autoencoder as diffusers saves it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        vae: Any = make_vae()
    writer = Writer("train")

    def loss(chance: Chance) -> Tensor:
        scenes = [draw_scene(chance.words, PAIRS) for _ in range(recipe.batch_size)]
        pictures = writer.draw(scenes, chance.torch)
        x0 = pictures.x0.contiguous(memory_format=torch.channels_last)
        latents = vae.encode(x0).latent_dist.mean  # (N, 8, 8, 8)
        spread = latents.detach().std((0, 2, 3), keepdim=True)
        noisy = latents + LATENT_NOISE * spread * torch.randn(latents.shape, generator=chance.torch)
        error = vae.decode(noisy).sample - x0
        weight = 1 + INK_WEIGHT * pictures.ink
        return (
            weight * (error.square() + L1_WEIGHT * error.abs())
        ).mean() / weight.mean() + KL_WEIGHT * latents.square().mean()

    training = Training("vae", vae, loss, recipe, folder)
    yield from run(training)
    finished: Any = training.average
    whiten(finished, writer, WHITENING)
    finished.half().save_pretrained(folder / "vae")


@torch.no_grad()
def whiten(vae: Any, writer: Writer, n: int) -> None:
    """Fold a shift and a scale of each latent channel into the 1×1 convolutions beside the latents: mean 0, variance 1,
    which is what a diffusion model expects; and let the encoder's own standard deviation be the noise it was trained
    with, which img2img adds.
    """
    chance = Chance.of(1, 0)
    scenes = [draw_scene(chance.words, PAIRS) for _ in range(n)]
    latents = torch.cat(
        [vae.encode(writer.draw(scenes[k : k + 64], chance.torch).x0).latent_dist.mean for k in range(0, n, 64)]
    )
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    out, back, c = vae.quant_conv, vae.post_quant_conv, LATENT_CHANNELS
    out.weight[:c] /= std.reshape(-1, 1, 1, 1)
    out.bias[:c] = (out.bias[:c] - mean) / std
    out.weight[c:] = 0
    out.bias[c:] = 2 * torch.tensor(LATENT_NOISE).log()
    back.bias += (back.weight[:, :, 0, 0] * mean).sum(1)
    back.weight *= std.reshape(1, -1, 1, 1)
