"""Where a run begins: at noise, at a noised picture, or at noise with a part of a picture to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request


@dataclass(frozen=True, eq=False)
class Start:
    """`x` (N, C, h, w) on the scheduler's scale, before its call number `first`; and what to keep of a picture."""

    x: Tensor
    first: int = 0
    picture: Tensor | None = None  # latents (N, C, h, w)
    noise: Tensor | None = None
    mask: Tensor | None = None  # (1, 1, h, w), 1 where to paint anew

    def keep(self, x: Tensor, scheduler: Any, t: Tensor) -> Tensor:
        """`x` after a step, the known part replaced by the picture at the noise level of the next timestep `t` (1,), or
        by the picture itself if there is none: (0,).
        """
        if self.picture is None or self.mask is None or self.noise is None:
            return x
        known = scheduler.add_noise(self.picture, self.noise, t.cpu()) if len(t) else self.picture
        return (1 - self.mask) * known + self.mask * x


def begin(
    loaded: Loaded,
    request: Request,
    scheduler: Any,
    generators: list[torch.Generator],
    init_image: Tensor | None,
    mask: Tensor | None,
) -> Start:
    """The start of a run. `init_image` (3, H, W) in [0, 1], `mask` (H, W), both as in `generation.generate`.

    The generators draw in the order in which diffusers' pipelines draw: the pictures are to be theirs.
    """
    vae, unet, device = loaded.pipeline.vae, loaded.pipeline.unet, loaded.plan.device
    factor = loaded.pipeline.vae_scale_factor
    shape = (1, unet.config.in_channels, request.height // factor, request.width // factor)

    def noise() -> Tensor:
        return torch.cat([torch.randn(shape, generator=g, dtype=unet.dtype) for g in generators]).to(device)

    if init_image is None:
        return Start(noise() * scheduler.init_noise_sigma)

    def latents(generator: torch.Generator) -> Tensor:
        x = (2.0 * init_image[None] - 1.0).to(device, vae.dtype)
        return (vae.config.scaling_factor * _encoded(loaded, x).sample(generator)).to(vae.dtype)

    skipped = request.steps - int(request.steps * request.strength)
    first = skipped * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    timestep = scheduler.timesteps[first : first + 1].repeat(request.images)
    if mask is None:
        picture = torch.cat([latents(g) for g in generators])
        return Start(scheduler.add_noise(picture, noise(), timestep), first)

    picture = latents(generators[0]).repeat(request.images, 1, 1, 1)
    drawn = noise()
    # Rombach et al.'s inpainting network would be shown the masked picture too. A plain one is not, but the pipeline
    # encodes it all the same, and the generator has moved on.
    torch.randn(shape, generator=generators[0], dtype=vae.dtype)
    x = drawn * scheduler.init_noise_sigma if request.strength == 1 else scheduler.add_noise(picture, drawn, timestep)
    small = F.interpolate(mask[None, None].float(), shape[-2:]).to(device, unet.dtype)
    return Start(x, first, picture, drawn, small)


def _encoded(loaded: Loaded, x: Tensor) -> Any:
    """The VAE's Gaussian of latents for pictures (N, 3, H, W) in [-1, 1]; where half precision overflows, float32's."""
    vae = loaded.pipeline.vae
    found = vae.encode(x).latent_dist
    if vae.dtype == torch.float32 or found.parameters.isfinite().all():
        return found
    return loaded.float32_vae().encode(x.float()).latent_dist
