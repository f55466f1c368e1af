"""Cross-attention maps: a distribution over the words at each place, and nothing left on the shared U-Net."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from playground.stable_diffusion.attention import Recorder, RecordingProcessor, install, recording
from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.request import Request
from tests.stable_diffusion.tiny import PROMPT, tiny

torch.set_num_threads(1)


def maps(**knobs: Any) -> list[Tensor]:
    request = Request(**{"prompt": PROMPT, "steps": 3, "preview": "none", "attention": True, **knobs})
    return [s.attention for s in generate(tiny(), request) if s.attention is not None]


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_every_step_but_the_last_has_a_share_for_each_token(size: tuple[int, int]) -> None:
    found = maps(seeds=(1, 2), height=size[0], width=size[1])
    tokens = tiny().pipeline.tokenizer.model_max_length
    assert len(found) == 4
    for each in found:
        assert each.shape == (2, tokens, size[0] // 4, size[1] // 4)
        assert each.min() >= 0
        torch.testing.assert_close(each.sum(1), torch.ones(2, size[0] // 4, size[1] // 4))


def test_the_maps_are_softmax_of_queries_and_keys() -> None:
    """One layer recomputed by hand, from what goes into it."""
    unet = tiny().pipeline.unet
    layer = next(m for n, m in unet.named_modules() if n.endswith("mid_block.attentions.0.transformer_blocks.0.attn2"))
    seen: dict[str, Tensor] = {}

    def note(_: object, args: tuple[Tensor, ...], options: dict[str, Tensor]) -> None:
        seen["x"] = args[0]
        seen["words"] = options["encoder_hidden_states"]

    hook = layer.register_forward_pre_hook(note, with_kwargs=True)
    recorder = Recorder(2, 4, 4)
    x, words = torch.randn(4, 8, 8, 8), torch.randn(4, 32, unet.config.cross_attention_dim)
    with torch.no_grad(), recording(recorder):
        unet(x, 500, words)
    hook.remove()
    q = seen["x"] @ layer.to_q.weight.T
    k = seen["words"] @ layer.to_k.weight.T
    heads, width = layer.heads, q.shape[-1] // layer.heads
    parts = [slice(h * width, (h + 1) * width) for h in range(heads)]
    by_hand = torch.stack([(q[2:, :, p] @ k[2:, :, p].mT / width**0.5).softmax(-1) for p in parts]).mean(0)
    alone = Recorder(2, 4, 4)
    with torch.no_grad(), recording(alone):
        layer(seen["x"], encoder_hidden_states=seen["words"])
    found = alone.maps()
    assert found is not None
    assert torch.allclose(found, by_hand.mT.reshape(2, 32, 4, 4), atol=1e-6)


def test_the_conditional_half_is_what_is_recorded() -> None:
    first = maps(guidance_scale=3.0, negative_prompt="a green two")[0]
    other = maps(guidance_scale=3.0, negative_prompt="blue")[0]
    unguided = maps(guidance_scale=1.0)[0]
    assert torch.equal(first, other)
    torch.testing.assert_close(first, unguided, atol=1e-5, rtol=0)


def test_the_processor_changes_no_bit() -> None:
    unet = tiny().pipeline.unet
    bare = copy.deepcopy(unet)
    for module in bare.modules():
        if isinstance(getattr(module, "processor", None), RecordingProcessor):
            module.set_processor(module.processor.inner)
    x, words = torch.randn(2, 8, 8, 8), torch.randn(2, 32, unet.config.cross_attention_dim)
    with torch.no_grad():
        plain = bare(x, 10, words).sample
        assert torch.equal(unet(x, 10, words).sample, plain)
        with recording(Recorder(1, 8, 8)):
            assert torch.equal(unet(x, 10, words).sample, plain)


def test_installing_twice_is_installing_once() -> None:
    unet = tiny().pipeline.unet
    install(unet)
    found = [m.processor for n, m in unet.named_modules() if n.endswith("attn2")]
    assert found
    assert all(isinstance(p, RecordingProcessor) and not isinstance(p.inner, RecordingProcessor) for p in found)
    own = [m.processor for n, m in unet.named_modules() if n.endswith("attn1")]
    assert not any(isinstance(p, RecordingProcessor) for p in own)


def test_nothing_is_recorded_after_a_call_that_failed() -> None:
    recorder = Recorder(1, 8, 8)
    with pytest.raises(ZeroDivisionError), recording(recorder):
        raise ZeroDivisionError
    with torch.no_grad():
        tiny().pipeline.unet(torch.zeros(1, 8, 8, 8), 1, torch.zeros(1, 32, 96))
    assert recorder.maps() is None
