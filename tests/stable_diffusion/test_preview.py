"""The linear preview: published for Stable Diffusion's VAE, the best in least squares for others."""

import torch

from playground.stable_diffusion.preview import RGB_OF_LATENTS, fit_linear, linear, linear_map, to_rgb
from tests.stable_diffusion.tiny import narrow_pipeline, tiny

torch.set_num_threads(1)


def test_four_channels_have_the_published_map() -> None:
    found = linear_map(narrow_pipeline().vae, 64)
    assert torch.equal(found[:-1], RGB_OF_LATENTS)
    assert not found[-1].any()


def test_a_map_is_applied_at_each_place() -> None:
    matrix, latents = torch.randn(9, 3), torch.randn(2, 8, 3, 5)
    expected = torch.stack([latents[1, :, 2, 4] @ matrix[:-1] + matrix[-1]])
    torch.testing.assert_close(linear(matrix, latents)[1, :, 2, 4], to_rgb(expected)[0], atol=1e-6, rtol=0)


class LinearCodec(torch.nn.Module):
    """An autoencoder whose latents are a linear map of the pixels' means: a fit must find its inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.config = type("Config", (), {"latent_channels": 5, "scaling_factor": 0.5})

    def encode(self, x: torch.Tensor) -> "LinearCodec":
        self.latents = torch.einsum("nrhw,cr->nchw", torch.nn.functional.avg_pool2d(x, 4), self.mix) + 1
        return self

    @property
    def latent_dist(self) -> "LinearCodec":
        return self

    def mode(self) -> torch.Tensor:
        return self.latents


def test_the_fit_inverts_what_is_linear() -> None:
    codec = LinearCodec()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    found = linear(fit_linear(codec, 32), 0.5 * codec.encode(x).mode())
    torch.testing.assert_close(found, to_rgb(torch.nn.functional.avg_pool2d(x, 4)), atol=1e-4, rtol=0)


def test_the_tiny_models_map_is_made_once() -> None:
    assert tiny().linear_map is tiny().linear_map
    assert tiny().linear_map.shape == (9, 3)
