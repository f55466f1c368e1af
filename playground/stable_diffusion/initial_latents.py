"""Where a run starts: from noise, from a noised picture, or from a noised picture of which a part is repainted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request


@dataclass(frozen=True, eq=False)
class InitialLatents:
    """`x` (N, C, h, w) on the scheduler's scale, before its call number `first`; and, for inpainting, the picture."""

    x: Tensor
    first: int = 0
    picture: Tensor | None = None  # latents (N, C, h, w)
    noise: Tensor | None = None
    mask: Tensor | None = None  # (1, 1, h, w), 1 where to repaint

    def restore_known(self, x: Tensor, scheduler: Any, t: Tensor) -> Tensor:
        """`x` after a step, the known part replaced by the picture at the noise level of the next timestep `t` (1,), or
        by the picture itself if there is none: (0,).
        """
        if self.picture is None or self.mask is None or self.noise is None:
            return x
        known = scheduler.add_noise(self.picture, self.noise, t.cpu()) if len(t) else self.picture
        return (1 - self.mask) * known + self.mask * x


def initial_latents(
    loaded: Loaded,
    request: Request,
    scheduler: Any,
    generators: list[torch.Generator],
    init_image: Tensor | None,
    mask: Tensor | None,
) -> InitialLatents:
    """The first latents of a run. `init_image` (3, H, W) in [0, 1], `mask` (H, W), both as in `generation.generate`.

    The generators draw in the same order as in diffusers' pipelines, so that the pictures are the same.
    """
    vae, unet, device = loaded.pipeline.vae, loaded.pipeline.unet, loaded.plan.device
    factor = loaded.pipeline.vae_scale_factor
    shape = (1, unet.config.in_channels, request.height // factor, request.width // factor)

    def noise() -> Tensor:
        return torch.cat([torch.randn(shape, generator=g, dtype=unet.dtype) for g in generators]).to(device)

    if init_image is None:
        return InitialLatents(noise() * scheduler.init_noise_sigma)

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
        return InitialLatents(scheduler.add_noise(picture, noise(), timestep), first)

    picture = latents(generators[0]).repeat(request.images, 1, 1, 1)
    drawn = noise()
    # An inpainting network (Rombach et al. 2022) also sees the masked picture. A plain one does not, but diffusers'
    # pipeline encodes it all the same, which moves the generator on.
    torch.randn(shape, generator=generators[0], dtype=vae.dtype)
    x = drawn * scheduler.init_noise_sigma if request.strength == 1 else scheduler.add_noise(picture, drawn, timestep)
    small = F.interpolate(mask[None, None].float(), shape[-2:]).to(device, unet.dtype)
    return InitialLatents(x, first, picture, drawn, small)


def _encoded(loaded: Loaded, x: Tensor) -> Any:
    """The VAE's Gaussian of latents for pictures (N, 3, H, W) in [-1, 1]; where half precision overflows, float32's."""
    vae = loaded.pipeline.vae
    found = vae.encode(x).latent_dist
    if vae.dtype == torch.float32 or found.parameters.isfinite().all():
        return found
    return loaded.float32_vae().encode(x.float()).latent_dist
