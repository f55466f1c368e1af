"""The loop against diffusers' own pipelines, bit for bit."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.diffusion.sampling_config import scheduled
from playground.stable_diffusion.digits.pipeline import make_scheduler
from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.models import Loaded
from tests.stable_diffusion.runs import corner, last, photo, picture, request, theirs
from tests.stable_diffusion.tiny import PROMPT, narrow_pipeline, reference, tiny

torch.set_num_threads(1)


def sibling(pipeline: Any, name: str) -> Any:
    """Another pipeline of diffusers around the same parts."""
    other = getattr(import_diffusers(name), name)(**pipeline.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


@pytest.mark.parametrize("scheduler", scheduled())
@pytest.mark.parametrize(
    "knobs",
    [
        {"guidance_scale": 3.0, "negative_prompt": "blue", "seeds": (5, 6)},
        {"guidance_scale": 1.0, "seeds": (7,)},
    ],
    ids=["guided", "unguided"],
)
def test_the_pipelines_image_bit_for_bit(scheduler: str, knobs: dict[str, Any]) -> None:
    asked = request(scheduler=scheduler, **knobs)
    assert torch.equal(picture(tiny(), asked), theirs(reference(), asked))


@settings(max_examples=8, deadline=None)
@given(
    scheduler=st.sampled_from(sorted(scheduled())),
    steps=st.integers(2, 6),
    guidance_scale=st.floats(0, 12),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3).map(tuple),
    size=st.tuples(st.sampled_from([16, 24, 40]), st.sampled_from([16, 32])),
    words=st.text(max_size=30),
)
def test_any_request_is_the_pipelines(
    scheduler: str, steps: int, guidance_scale: float, seeds: tuple[int, ...], size: tuple[int, int], words: str
) -> None:
    asked = request(
        scheduler=scheduler,
        steps=steps,
        guidance_scale=guidance_scale,
        seeds=seeds,
        height=size[0],
        width=size[1],
        negative_prompt=words,
    )
    assert torch.equal(picture(tiny(), asked), theirs(reference(), asked))


def test_previews_and_attention_leave_the_image_as_it_is() -> None:
    plain = picture(tiny(), request())
    for preview in ("decode", "linear"):
        assert torch.equal(picture(tiny(), request(preview=preview, attention=True)), plain)


def test_a_single_generator_gives_the_single_image() -> None:
    pipeline = reference()
    pipeline.scheduler = make_scheduler()
    image = pipeline(
        PROMPT,
        num_inference_steps=4,
        guidance_scale=3.0,
        height=32,
        width=32,
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).images
    assert torch.equal(picture(tiny(), request()), image)


@pytest.mark.parametrize("scheduler", scheduled())
def test_img2img_is_the_pipelines(scheduler: str) -> None:
    asked = request(scheduler=scheduler, steps=5, strength=0.6, seeds=(5, 6), negative_prompt="blue")
    expected = theirs(sibling(reference(), "StableDiffusionImg2ImgPipeline"), asked, image=photo()[None])
    assert torch.equal(picture(tiny(), asked, init_image=photo()), expected)


@pytest.fixture(scope="module")
def narrow() -> Loaded:
    return Loaded.of(narrow_pipeline())


@pytest.fixture(scope="module")
def narrow_reference() -> Any:
    return narrow_pipeline()


@pytest.mark.parametrize(
    ("scheduler", "strength"), [*((name, 0.7) for name in scheduled()), ("pndm", 1.0), ("ddpm", 1.0), ("euler_a", 1.0)]
)
def test_inpainting_is_the_pipelines(narrow: Loaded, narrow_reference: Any, scheduler: str, strength: float) -> None:
    # On the large architecture, for diffusers' pipeline wants four latent channels
    asked = request(scheduler=scheduler, steps=3, strength=strength, seeds=(5, 6), height=64, width=64)
    pipeline = sibling(narrow_reference, "StableDiffusionInpaintPipeline")
    expected = theirs(
        pipeline, asked, image=photo(64)[None], mask_image=corner(64)[None, None].float(), height=64, width=64
    )
    assert torch.equal(picture(narrow, asked, init_image=photo(64), mask=corner(64)), expected)


def test_the_large_architecture_runs_through_the_same_code(narrow: Loaded, narrow_reference: Any) -> None:
    asked = request(steps=2, height=64, width=128, seeds=(1, 2), preview="linear", attention=True)
    steps = list(generate(narrow, asked))
    assert torch.equal(picture(narrow, asked), theirs(narrow_reference, asked))
    assert steps[0].images is not None
    assert steps[0].attention is not None
    assert steps[0].images.shape == (2, 3, 8, 16)
    assert steps[0].attention.shape == (2, 77, 8, 16)
    assert steps[-1].images is not None
    assert steps[-1].images.shape == (2, 3, 64, 128)


def test_what_is_not_masked_stays() -> None:
    asked = request(steps=6, strength=1.0)
    kept = last(generate(tiny(), asked, photo(), corner())).latents
    other = last(generate(tiny(), dataclasses.replace(asked, prompt="a green two"), photo(), corner())).latents
    outside = ~corner()[::4, ::4]
    assert torch.equal(kept[:, :, outside], other[:, :, outside])
    assert not torch.equal(kept[:, :, ~outside], other[:, :, ~outside])
