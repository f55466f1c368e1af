"""A VAE that overflows in half precision, on the way in; tests/stable_diffusion/test_generation*.py has the way out."""

import pytest
import torch

from playground.stable_diffusion.generation import DenoisingStep, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request
from tests.stable_diffusion.tiny import PROMPT, new_pipeline

torch.set_num_threads(1)
REQUEST = Request(PROMPT, steps=4, seeds=(5, 6), preview="none", strength=0.5)


def first(loaded: Loaded, mask: torch.Tensor | None) -> DenoisingStep:
    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    return next(generate(loaded, REQUEST, picture, mask))


@pytest.mark.parametrize("painted", [False, True], ids=["img2img", "inpaint"])
def test_a_picture_to_start_from_is_encoded_in_float32(painted: bool) -> None:
    mask = torch.arange(32)[:, None].expand(32, 32) < 16 if painted else None
    pipeline = new_pipeline()
    with torch.no_grad():
        pipeline.vae.encoder.conv_in.weight *= 3e5
        pipeline.vae.encoder.conv_in.bias *= 3e5
    pipeline.vae.half()
    x = torch.ones(1, 3, 32, 32, dtype=torch.float16)
    with torch.no_grad():
        assert not pipeline.vae.encode(x).latent_dist.mean.isfinite().all()
    loaded = Loaded.of(pipeline)
    step = first(loaded, mask)
    assert pipeline.vae.dtype == torch.float16  # the shared one is left as it was
    full = new_pipeline()
    full.vae.load_state_dict(loaded.float32_vae().state_dict())
    torch.testing.assert_close(step.latents, first(Loaded.of(full), mask).latents, atol=5e-3, rtol=1e-2)
