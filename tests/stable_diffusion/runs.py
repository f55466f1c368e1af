"""Requests of the tests, and their pictures, from our loop and from diffusers' own pipelines."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from playground.stable_diffusion.digits.pipeline import make_scheduler
from playground.stable_diffusion.generation import DenoisingStep, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request
from playground.stable_diffusion.schedulers import make
from tests.stable_diffusion.tiny import PROMPT


def request(**knobs: Any) -> Request:
    return Request(**{"prompt": PROMPT, "steps": 4, "preview": "none", "seeds": (5,), **knobs})


def last(steps: Iterator[DenoisingStep]) -> DenoisingStep:
    *_, step = steps
    return step


def picture(loaded: Loaded, asked: Request, **rest: Tensor) -> Tensor:
    images = last(generate(loaded, asked, **rest)).images
    assert images is not None
    return images


def theirs(pipeline: Any, asked: Request, **rest: Any) -> Tensor:
    """The pipeline's own images (N, 3, H, W) for the same request."""
    pipeline.scheduler = make(asked.scheduler, make_scheduler().config, asked.steps)
    if type(pipeline).__name__ == "StableDiffusionPipeline":
        rest |= {"height": asked.height, "width": asked.width}
    else:
        rest |= {"strength": asked.strength}
    images: Tensor = pipeline(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        num_images_per_prompt=asked.images,
        generator=[torch.Generator().manual_seed(seed) for seed in asked.seeds],
        output_type="pt",
        **rest,
    ).images
    return images


def photo(side: int = 32) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def corner(side: int = 32) -> Tensor:
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[: side // 2, side // 4 :] = True
    return mask
