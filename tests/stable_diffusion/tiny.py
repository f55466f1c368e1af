"""Stable Diffusion in small, weights at random: everything is tested on the real classes."""

from functools import lru_cache
from typing import Any

import torch

from benchmarks.random_stable_diffusion import random_pipeline
from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.stable_diffusion.digits.pipeline import (
    make_scheduler,
    make_text_encoder,
    make_unet,
    make_vae,
)
from playground.stable_diffusion.digits.words import make_tokenizer
from playground.stable_diffusion.models import Loaded

PROMPT = "a red seven on a blue background"


def make_pipeline(seed: int = 0) -> Any:
    """A StableDiffusionPipeline of these parts, weights as they are before training."""
    diffusers = import_diffusers("StableDiffusionPipeline")
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return diffusers.StableDiffusionPipeline(
            vae=make_vae(),
            text_encoder=make_text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=make_unet(),
            scheduler=make_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def new_pipeline(seed: int = 0) -> Any:
    """The tiny architecture with lively weights: as it is before training, half of its convolutions are 0."""
    pipeline = make_pipeline(seed)
    rng = torch.Generator().manual_seed(seed)
    for network in (pipeline.unet, pipeline.vae):
        for weight in network.parameters():
            if not weight.any():
                weight.data.normal_(0, 0.05, generator=rng)
    return as_loaded(pipeline)


def as_loaded(pipeline: Any) -> Any:
    """As from_pretrained leaves it: in training mode torch adds up in another order here and there."""
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        part.eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@lru_cache(maxsize=1)
def tiny() -> Loaded:
    """One for all tests, as it is one for all visitors."""
    return Loaded.of(new_pipeline())


@lru_cache(maxsize=1)
def reference() -> Any:
    """The same weights in a pipeline that nothing of ours has touched."""
    return new_pipeline()


def narrow_pipeline() -> Any:
    """Stable Diffusion 1.5's architecture block by block, a tenth as wide."""
    return random_pipeline((32, 64, 128, 128), 48, (32, 32, 64, 64), 128)
