"""How long a run will take on this machine, from U-Net calls that were timed."""

from __future__ import annotations

import math
import time
from weakref import WeakKeyDictionary

import torch

from playground.diffusion.samplers import SAMPLERS
from playground.stable_diffusion.devices import synchronize
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request

TIMED_SIDE = 128  # pixels: of a large model a second or two on a processor

# Seconds of one call for each pixel of one picture: of this machine, so the same for all visitors
_SECONDS: WeakKeyDictionary[Loaded, float] = WeakKeyDictionary()


def unet_calls(scheduler: str, steps: int, strength: float = 1.0) -> int:
    """U-Net calls of a run. One that starts from a picture skips the first steps, as diffusers does."""
    walked = int(steps * strength)
    return SAMPLERS[scheduler].calls(walked) if walked else 0


def known(loaded: Loaded) -> bool:
    """Whether a call was timed already."""
    return loaded in _SECONDS


def learn(loaded: Loaded, request: Request, calls: int, seconds: float) -> None:
    """`calls` U-Net calls of a run took so many `seconds`: the next estimate is made from them."""
    _SECONDS[loaded] = seconds / (calls * _pixels(request))


def expected_seconds(loaded: Loaded, request: Request) -> float:
    """About how long a run will take. A call costs in proportion to its pixels (attention somewhat more), and the
    decoder, a few per cent, is not counted. Where no call was timed yet, one is timed now.
    """
    if not known(loaded):
        _SECONDS[loaded] = _time_one_call(loaded)
    return _SECONDS[loaded] * unet_calls(request.scheduler, request.steps) * _pixels(request)


def duration(seconds: float) -> str:
    """A duration in words: "8 s", "about 3 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"about {math.ceil(seconds / 60)} min"


def _pixels(request: Request) -> int:
    """Of all pictures in one call; guidance doubles the batch."""
    return request.images * (2 if request.guided else 1) * request.height * request.width


def _time_one_call(loaded: Loaded) -> float:
    """Seconds for each pixel, on one small picture; of two calls the second, because the first warms up."""
    unet, side = loaded.pipeline.unet, min(loaded.model.defaults.size, TIMED_SIDE)
    latent = side // loaded.pipeline.vae_scale_factor
    x = torch.zeros(1, unet.config.in_channels, latent, latent, dtype=unet.dtype, device=loaded.plan.device)
    words = torch.zeros(1, 2, unet.config.cross_attention_dim, dtype=unet.dtype, device=loaded.plan.device)
    with torch.no_grad():
        for _ in range(2):
            begun = time.perf_counter()
            loaded.fast_unet(x, 1, encoder_hidden_states=words, return_dict=False)
            synchronize(loaded.plan.device)
    return (time.perf_counter() - begun) / side**2
