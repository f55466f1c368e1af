"""What cannot be drawn is refused in words, and a run that fails leaves nothing behind."""

import dataclasses
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.diffusion.sampling import SamplerError
from playground.settings import SETTINGS
from playground.stable_diffusion import limits
from playground.stable_diffusion.generation import GenerationError, OutOfMemory, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import RequestError
from tests.stable_diffusion.runs import corner, last, photo, picture, request, theirs
from tests.stable_diffusion.tiny import new_pipeline, reference, tiny

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("knobs", "error", "words"),
    [
        ({"steps": 1}, SamplerError, "PNDM with 1 step"),
        ({"scheduler": "lms"}, SamplerError, "Unknown sampler"),
        ({"height": 136}, RequestError, "trained on 32×32"),
        ({"height": 128, "seeds": (1, 2, 3, 4, 5)}, RequestError, "too much at once"),
    ],
)
def test_what_a_model_cannot_draw_is_refused_at_once(
    knobs: dict[str, Any], error: type[ValueError], words: str
) -> None:
    with pytest.raises(error, match=words):
        generate(tiny(), request(**{"width": 128 if "seeds" in knobs else 32, **knobs}))


def test_more_steps_than_a_page_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SETTINGS", dataclasses.replace(SETTINGS, max_run_bytes=1_000_000))
    generate(tiny(), request(steps=500, preview="none"))
    with pytest.raises(RequestError, match="MB to show"):
        generate(tiny(), request(steps=500, preview="decode"))


@pytest.mark.parametrize(
    ("image", "mask", "knobs", "words"),
    [
        (photo(40), None, {}, "must have 32×32 pixels"),
        (None, corner(), {}, "needs a picture"),
        (photo(), corner(16), {}, "mask must have"),
        (photo(), torch.ones(32, 32, dtype=torch.bool), {}, "everything or nothing"),
        (photo(), None, {"strength": 0.1}, "less than one step"),
    ],
)
def test_pictures_and_masks_that_do_not_fit(
    image: Tensor | None, mask: Tensor | None, knobs: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        generate(tiny(), request(**knobs), image, mask)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_out_of_memory_in_the_middle() -> None:
    """The device cannot be filled here, so a hook says what CUDA would; tests/…/test_cuda.py fills a real one."""
    loaded = Loaded.of(new_pipeline())
    calls, held = 0, []

    def full(_: object, inputs: tuple[Any, ...]) -> None:
        nonlocal calls
        calls += 1
        held.append(weakref.ref(inputs[0]))
        if calls == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = loaded.pipeline.unet.register_forward_pre_hook(full)
    asked = request(seeds=(1, 2, 3, 4))
    with pytest.raises(OutOfMemory, match="It is free again: try 2 × 32×32") as raised:
        list(generate(loaded, asked))
    assert raised.value.smaller == dataclasses.replace(asked, seeds=(1, 2))
    assert raised.value.__context__ is None  # else its traceback would hold the run's tensors
    gc.collect()
    assert not any(ref() is not None for ref in held)
    hook.remove()
    assert torch.equal(picture(loaded, request()), theirs(reference(), request()))  # and the next run is well


def test_a_vae_that_overflows_in_half_precision_is_helped() -> None:
    pipeline = new_pipeline()
    with torch.no_grad():  # GroupNorm takes the factor out again: in float32 nothing changes but for rounding
        pipeline.vae.decoder.conv_in.weight *= 3e4
        pipeline.vae.decoder.conv_in.bias *= 3e4
    well = picture(Loaded.of(pipeline), request())
    pipeline.vae.half()
    step = last(generate(Loaded.of(pipeline), request()))
    assert step.images is not None
    assert "float32" in step.words
    assert step.images.isfinite().all()
    assert pipeline.vae.dtype == torch.float16  # the shared one is left as it was
    torch.testing.assert_close(step.images, well, atol=0.05, rtol=0)  # its weights were rounded to half precision


def test_latents_that_are_no_numbers_end_the_run_in_words() -> None:
    pipeline = new_pipeline()
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(torch.nan)
    with pytest.raises(GenerationError, match="At step 1 of 5 the latents were no numbers"):
        list(generate(Loaded.of(pipeline), request()))


def test_a_tripped_safety_checker_is_told() -> None:
    import transformers

    diffusers = import_diffusers("StableDiffusionPipeline")
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = transformers.CLIPConfig(vision_config=vision, projection_dim=16)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-2.0)  # every picture is nearer than that to every concept
    parts = reference().components | {
        "safety_checker": checker,
        "feature_extractor": transformers.CLIPImageProcessor(size=32, crop_size=32),
    }
    pipeline = diffusers.StableDiffusionPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    step = last(generate(Loaded.of(pipeline), request(seeds=(1, 2))))
    assert step.images is not None
    assert step.flagged == (True, True)
    assert not step.images.any()
    assert "safety checker" in step.words
    checker.concept_embeds_weights.data.fill_(2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    step = last(generate(Loaded.of(pipeline), request()))
    assert step.images is not None
    assert step.flagged == (False,)
    assert torch.equal(step.images, theirs(pipeline, request()))
