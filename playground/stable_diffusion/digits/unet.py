"""The U-Net: ε of a noisy latent, given the words. Rombach et al. 2022, equation 3; the VAE and CLIP's text encoder are
there already and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainStep
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import make_scheduler, make_unet
from playground.stable_diffusion.digits.run import Chance, Recipe, Training, run
from playground.stable_diffusion.digits.words import draw_caption, draw_scene
from playground.training_run import RunError

RECIPE = Recipe(steps=22_000, batch_size=32, learning_rate=1.5e-3, optimizer="muon", ema_decay=0.9995)
UNSAID = 0.1  # of the captions are empty, so that guidance has something to lead away from
MIN_SNR = 5.0  # Hang et al. 2023: an easy level, SNR above this, weighs no more than this


def level_weights(schedule: NoiseSchedule) -> Tensor:
    """(T,) min(SNR, 5) / SNR: what min-SNR-5 gives to the squared error of ε. Hang et al. 2023, §3.4."""
    return (schedule.snr.clamp_max(MIN_SNR) / schedule.snr).float()


def train_unet(folder: Path, recipe: Recipe = RECIPE) -> Iterator[TrainStep]:
    """Train, or go on; `folder` holds vae, text_encoder and tokenizer, and at the end a whole StableDiffusionPipeline.

    Raises RunError where a part is missing.
    """
    vae, text_encoder, tokenizer = load_parts(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        unet = make_unet()
    writer, schedule = Writer("train"), ScheduleConfig("scaled_linear").make()
    weights = level_weights(schedule)

    def loss(chance: Chance) -> Tensor:
        n = recipe.batch_size
        scenes = [draw_scene(chance.words) for _ in range(n)]
        captions = ["" if chance.words.random() < UNSAID else draw_caption(scene, chance.words) for scene in scenes]
        with torch.no_grad():
            x0 = vae.encode(writer.draw(scenes, chance.torch).x0).latent_dist.mean  # (N, 8, 8, 8)
            words = read(text_encoder, tokenizer, captions)
        strata = (torch.arange(n) + torch.rand(n, generator=chance.torch)) / n
        t = (strata * len(schedule)).long()
        eps = torch.randn(x0.shape, generator=chance.torch)
        x_t = schedule.add_noise(x0, eps, t).contiguous(memory_format=torch.channels_last)
        error = (unet(x_t, t, words).sample - eps).square().mean((1, 2, 3))
        return (weights[t] * error).mean()

    training = Training("unet", unet, loss, recipe, folder)
    yield from run(training)
    assemble(training.average, vae, text_encoder, tokenizer, folder)


def read(text_encoder: Any, tokenizer: Any, captions: list[str]) -> Tensor:
    """(N, 32, 96): the text encoder's states, padded with end tokens as the pipeline pads them."""
    ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return text_encoder(ids).last_hidden_state


def load_parts(folder: Path) -> tuple[Any, Any, Any]:
    """(vae, text_encoder, tokenizer) of `folder`, in float32 and frozen. Raises RunError where one is missing."""
    import transformers

    for part in ("vae", "text_encoder", "tokenizer"):
        if not (folder / part).is_dir():
            raise RunError(f"{folder} has no {part} yet: train the vae and clip first, with the same --out.")
    local: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    vae = import_diffusers("AutoencoderKL").AutoencoderKL.from_pretrained(folder / "vae", dtype=torch.float32, **local)
    text_encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, **local)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    vae.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    return vae, text_encoder.requires_grad_(False).eval(), tokenizer


def assemble(unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, folder: Path) -> None:
    """The parts as one StableDiffusionPipeline in half precision, as diffusers saves it."""
    pipeline = import_diffusers("StableDiffusionPipeline").StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
