"""What the Stable Diffusion tab sends to the browser, and the scripts that read it there."""

import dataclasses

import numpy as np
import pytest
import torch

from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.lab import Token
from playground.ui.shared.component import ROOMS
from playground.ui.stable_diffusion import stage as diffusion
from playground.ui.stable_diffusion.stage import pack_model, pack_step, tokens_meta
from tests.stable_diffusion.tiny import PROMPT, tiny
from tests.ui.stable_diffusion.messages import unpack


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_a_step_crosses_within_half_a_step_of_eight_bits(guidance_scale: float) -> None:
    lab = StableDiffusionLab(tiny())
    run = lab.generate(PROMPT, steps=2, guidance_scale=guidance_scale, images=2, attention=True)
    step, words = next(run), sum(not token.cut for token in lab.tokens(PROMPT))
    meta, found = unpack(pack_step(step, 7, 1, guidance_scale, words))
    assert (meta["run"], meta["slot"], meta["index"], meta["total"]) == (7, 1, 0, step.total)
    assert meta["norms"] == pytest.approx(step.guidance_norm.tolist())
    assert meta["parts"].keys() == {"text_encoder", "unet", "scheduler", "vae"}
    wanted = {"latents": step.latents, "x0": step.x0, "cond": step.eps_cond}
    if guidance_scale > 1:
        assert step.eps_uncond is not None
        wanted["uncond"] = step.eps_uncond
    else:
        assert "uncond" not in found
    assert step.images is not None
    for name, tensor in (wanted | {"images": step.images * 2 - 1}).items():
        expected = tensor.numpy() if name in ("latents", "x0", "images") else tensor.clamp(-6, 6).numpy()
        np.testing.assert_allclose(found[name], expected, atol=np.abs(expected).max() / 127 / 2 + 1e-6)
    assert found["attention"].shape == (2, words + 2, 8, 8)
    np.testing.assert_allclose(found["attention"].max((2, 3)), 1, atol=1e-6)


def test_large_previews_are_sent_small_and_the_picture_whole() -> None:
    lab = StableDiffusionLab(tiny())
    first, *_, last = lab.generate(PROMPT, steps=2, height=8, width=8)
    large = torch.rand(1, 3, 512, 512)
    _, found = unpack(pack_step(dataclasses.replace(first, images=large), 1, 0, 3.0, 7))
    assert found["images"].shape == (1, 3, 192, 192)
    _, found = unpack(pack_step(dataclasses.replace(last, images=large), 1, 0, 3.0, 7))
    assert found["images"].shape == (1, 3, 512, 512)


def test_the_model_tells_its_shapes() -> None:
    loaded = tiny()
    meta, found = unpack(pack_model(loaded, "here"))
    assert (meta["tokens"], meta["width"], meta["words"], meta["small"]) == (32, 96, "here", True)
    np.testing.assert_allclose(found["map"], loaded.linear_map.numpy(), atol=1e-6)


def test_cut_tokens_come_after_the_end_mark() -> None:
    tokens = [Token("a", 1, False), Token("red", 2, False), Token("dog", 3, True)]
    assert tokens_meta(tokens) == [
        {"text": "<start>"},
        {"text": "a"},
        {"text": "red"},
        {"text": "<end>"},
        {"text": "dog", "cut": True},
    ]


@pytest.mark.parametrize("name", [*diffusion.SCRIPTS, "stable_diffusion/clip"])
def test_the_scripts_are_there(name: str) -> None:
    assert (ROOMS / f"{name}.js").is_file()
