"""What a model can draw at once, and what to try when a device's memory was not enough."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from playground.settings import SETTINGS
from playground.stable_diffusion import schedulers
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError

MAX_SIDES = 4  # times the size a model was trained on: beyond, it repeats itself
MAX_PIXELS = 16  # times that size's pixels, over all images: a decoder keeps some hundred numbers for each pixel
PREVIEW_SIDE = 192  # pixels: a preview is shown small and for a moment; the picture itself comes whole
MAP_SIDE = 32  # of an attention map: the U-Net's own are 64 at most, and blurred by nature


def check(loaded: Loaded, request: Request, init_image: Tensor | None = None, mask: Tensor | None = None) -> None:
    """Raise RequestError or SamplerError for what this model cannot draw."""
    schedulers.check(request.scheduler, loaded.scheduler_config, request.steps)
    size, usual = (request.height, request.width), loaded.model.defaults.size
    if max(size) > MAX_SIDES * usual:
        raise RequestError(
            f"{loaded.model.title} was trained on {usual}×{usual} pixels: choose at most {MAX_SIDES * usual} a side."
        )
    if request.images * request.height * request.width > MAX_PIXELS * usual**2:
        raise RequestError(
            f"{request.images} images of {request.width}×{request.height} are too much at once: take fewer, or smaller."
        )
    if (size_in_bytes := request.steps * request.images * _shown_bytes(loaded, request)) > SETTINGS.max_run_bytes:
        raise RequestError(
            f"The {request.steps:,} steps of {request.images} images would take {size_in_bytes / 1e6:,.0f} MB to show, "
            f"the limit is {SETTINGS.max_run_bytes / 1e6:,.0f} MB: take fewer of either, or no previews and attention."
        )
    if init_image is not None:
        if init_image.shape != (3, *size):
            raise RequestError(
                f"The picture to start from must have {request.width}×{request.height} pixels in three colours; its "
                f"shape is {tuple(init_image.shape)}."
            )
        if int(request.steps * request.strength) < 1:
            raise RequestError(
                f"Strength {request.strength:g} of {request.steps} steps is less than one step: raise either."
            )
    if mask is not None:
        if init_image is None:
            raise RequestError("A mask needs a picture to paint on: choose one first.")
        if mask.shape != size:
            raise RequestError(f"The mask must have the picture's {request.width}×{request.height} pixels.")
        if not mask.any() or mask.all():
            raise RequestError("The mask covers everything or nothing: paint over a part of the picture.")


def _shown_bytes(loaded: Loaded, request: Request) -> int:
    """What one step of one image leaves on the page to be scrubbed, about: a byte for each number."""
    latent = request.height * request.width // loaded.pipeline.vae_scale_factor**2
    channels = loaded.pipeline.unet.config.in_channels
    preview = {
        "none": 0,
        "linear": latent,
        "decode": min(request.height, PREVIEW_SIDE) * min(request.width, PREVIEW_SIDE),
    }[request.preview]
    maps = loaded.pipeline.tokenizer.model_max_length * min(latent, MAP_SIDE**2) if request.attention else 0
    return 3 * channels * latent + 3 * preview + maps  # x_t, and the noise with and without the words


def smaller(loaded: Loaded, request: Request) -> tuple[str, Request | None]:
    """What to say when the memory did not suffice, and a request that needs about half, if there is one."""
    least = loaded.model.defaults.size // 2
    less = None
    if request.images > 1:
        less = dataclasses.replace(request, seeds=request.seeds[: request.images // 2])
    elif max(request.height, request.width) > least:
        height, width = (max(least, int(side * 0.75) // 8 * 8) for side in (request.height, request.width))
        less = dataclasses.replace(request, height=height, width=width)
    device = "this computer" if loaded.plan.device == "cpu" else "the GPU"
    said = f"The memory of {device} was not enough for {request.images} × {request.width}×{request.height} pixels."
    if less is None:
        return f"{said} It is free again. Close what else uses {device}.", None
    return f"{said} It is free again: try {less.images} × {less.width}×{less.height}.", less
