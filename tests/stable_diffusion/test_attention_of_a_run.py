"""The attention that a run hands out is that of the step it comes with, and of nothing before."""

from typing import Any

import pytest
import torch

from playground.stable_diffusion.attention import Recorder, install, recording
from playground.stable_diffusion.generation import encode, generate
from playground.stable_diffusion.request import Request
from tests.stable_diffusion.tiny import PROMPT, narrow_pipeline, tiny

torch.set_num_threads(1)


@pytest.mark.parametrize("scheduler", ["pndm", "heun", "dpm2_a"])  # heun and dpm2_a make trial calls between two steps
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_each_step_brings_its_own_calls_attention(scheduler: str, guidance_scale: float) -> None:
    knobs: dict[str, Any] = {"scheduler": scheduler, "guidance_scale": guidance_scale}
    request = Request(PROMPT, steps=3, seeds=(1, 2), preview="none", attention=True, **knobs)
    unet = tiny().pipeline.unet
    with torch.no_grad():
        words = encode(tiny(), request)
    for step in list(generate(tiny(), request))[:-1]:
        recorder = Recorder(2, 8, 8)
        x = torch.cat([step.latents] * 2) if request.guided else step.latents
        with torch.no_grad(), recording(recorder):
            unet(x, torch.tensor(step.t), encoder_hidden_states=words)
        expected = recorder.maps()
        assert expected is not None
        assert step.attention is not None
        torch.testing.assert_close(step.attention, expected, atol=1e-5, rtol=0)


def test_other_words_are_other_keys() -> None:
    """One recorder that is shown another prompt: nothing of the first one stays."""
    unet = tiny().pipeline.unet
    x, generator = torch.randn(1, 8, 8, 8), torch.Generator().manual_seed(0)
    prompts = [torch.randn(1, 32, unet.config.cross_attention_dim, generator=generator) for _ in range(2)]

    def maps(recorder: Recorder, words: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), recording(recorder):
            unet(x, 500, encoder_hidden_states=words)
        found = recorder.maps()
        assert found is not None
        return found

    recorder = Recorder(1, 8, 8)
    first, second, again = (maps(recorder, prompts[k]) for k in (0, 1, 0))
    assert torch.equal(second, maps(Recorder(1, 8, 8), prompts[1]))
    assert torch.equal(first, again)
    assert not torch.allclose(first, second, atol=1e-3)
    assert recorder.maps() is None


def test_layers_of_every_resolution_have_the_same_weight() -> None:
    """The mean over layers, by hand: Stable Diffusion's U-Net has them at four resolutions."""
    unet = narrow_pipeline().unet
    unet.eval()
    install(unet)
    words = torch.randn(1, 77, unet.config.cross_attention_dim)
    alone: list[torch.Tensor] = []
    each = Recorder(1, 16, 8)

    def collect(*_: object) -> None:
        found = each.maps()
        assert found is not None
        alone.append(found)

    x, layers = torch.randn(1, 4, 16, 8), [m for n, m in unet.named_modules() if n.endswith("attn2")]
    hooks = [layer.register_forward_hook(collect) for layer in layers]
    with torch.no_grad(), recording(each):
        unet(x, 500, encoder_hidden_states=words)
    for hook in hooks:
        hook.remove()
    together = Recorder(1, 16, 8)
    with torch.no_grad(), recording(together):
        unet(x, 500, encoder_hidden_states=words)
    found = together.maps()
    assert found is not None
    assert len(alone) == len(layers) == 16
    torch.testing.assert_close(found, torch.stack(alone).mean(0), atol=1e-6, rtol=1e-5)
