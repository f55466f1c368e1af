"""The loop against diffusers' own pipelines, bit for bit; and what happens when a run fails."""

import dataclasses
import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.sampling import import_diffusers
from playground.settings import SETTINGS
from playground.stable_diffusion import generation
from playground.stable_diffusion.digits.pipeline import make_scheduler
from playground.stable_diffusion.generation import DenoisingStep, GenerationError, OutOfMemory, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError
from playground.stable_diffusion.schedulers import SCHEDULERS, SchedulerError, make
from tests.stable_diffusion.tiny import PROMPT, narrow_pipeline, new_pipeline, reference, tiny

torch.set_num_threads(1)


def request(**knobs: Any) -> Request:
    return Request(**{"prompt": PROMPT, "steps": 4, "preview": "none", "seeds": (5,), **knobs})


def last(steps: Iterator[DenoisingStep]) -> DenoisingStep:
    *_, step = steps
    return step


def picture(loaded: Loaded, asked: Request, **rest: Tensor) -> Tensor:
    images = last(generate(loaded, asked, **rest)).images
    assert images is not None
    return images


def theirs(pipeline: Any, asked: Request, **rest: Any) -> Tensor:
    """The pipeline's own images (N, 3, H, W) for the same request."""
    pipeline.scheduler = make(asked.scheduler, make_scheduler().config, asked.steps)
    if type(pipeline).__name__ == "StableDiffusionPipeline":
        rest |= {"height": asked.height, "width": asked.width}
    else:
        rest |= {"strength": asked.strength}
    images: Tensor = pipeline(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        num_images_per_prompt=asked.images,
        generator=[torch.Generator().manual_seed(seed) for seed in asked.seeds],
        output_type="pt",
        **rest,
    ).images
    return images


def sibling(pipeline: Any, name: str) -> Any:
    """Another pipeline of diffusers around the same parts."""
    other = getattr(import_diffusers(name), name)(**pipeline.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def photo(side: int = 32) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def corner(side: int = 32) -> Tensor:
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[: side // 2, side // 4 :] = True
    return mask


# ---- The same images as diffusers, bit for bit


@pytest.mark.parametrize("scheduler", SCHEDULERS)
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
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
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


@pytest.mark.parametrize("scheduler", SCHEDULERS)
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
    ("scheduler", "strength"), [*((name, 0.7) for name in SCHEDULERS), ("pndm", 1.0), ("ddpm", 1.0), ("euler_a", 1.0)]
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


# ---- What the steps say


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_parts_of_a_step_fit_together(scheduler: str) -> None:
    steps = list(generate(tiny(), request(scheduler=scheduler, seeds=(3, 4), guidance_scale=2.5)))
    total = 5 if scheduler == "pndm" else 4
    assert [s.index for s in steps] == list(range(total + 1))
    assert {s.total for s in steps} == {total}
    assert steps[-1].calls == SCHEDULERS[scheduler].calls(4)
    for step in steps[:-1]:
        assert step.eps_uncond is not None
        assert step.guidance is not None
        assert step.alpha**2 + step.sigma**2 == pytest.approx(1)
        eps = step.eps_uncond + 2.5 * step.guidance
        mixed = step.alpha * step.x0 + step.sigma * eps
        torch.testing.assert_close(mixed, step.latents, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(step.guidance_norm, step.guidance.flatten(1).norm(dim=1))
    assert (steps[-1].t, steps[-1].alpha, steps[-1].sigma) == (-1.0, 1.0, 0.0)
    assert all(a.sigma >= b.sigma for a, b in itertools.pairwise(steps))
    assert set(steps[-1].parts) == {"text_encoder", "unet", "scheduler", "vae"}
    assert all(seconds > 0 for seconds in steps[-1].parts.values())
    assert steps[-1].seconds == pytest.approx(sum(steps[-1].parts.values()))


@pytest.mark.parametrize("scheduler", sorted(set(SCHEDULERS) - {"pndm"}))
def test_the_level_is_the_networks_own(scheduler: str) -> None:
    """σ/α of the step is the training schedule's at the timestep that the U-Net is told, interpolated in log σ."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    bar = (1 - betas).cumprod(0)
    log_ratio = ((1 - bar) / bar).sqrt().log()
    for step in list(generate(tiny(), request(scheduler=scheduler)))[:-1]:
        low = int(step.t)
        high = min(low + 1, 999)
        expected = torch.lerp(log_ratio[low], log_ratio[high], step.t - low).exp()
        assert step.sigma / step.alpha == pytest.approx(float(expected), rel=5e-3)


def test_the_first_step_is_the_noise_of_its_seed() -> None:
    first = next(generate(tiny(), request(seeds=(5, 9))))
    for row, seed in enumerate((5, 9)):
        noise = torch.randn((1, 8, 8, 8), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(first.latents[row : row + 1], noise)


def test_an_image_of_many_is_the_one_of_its_seed_alone() -> None:
    many, alone = picture(tiny(), request(seeds=(1, 2, 3))), picture(tiny(), request(seeds=(2,)))
    torch.testing.assert_close(many[1:2], alone, atol=1e-4, rtol=0)  # a larger batch adds up in another order


def test_guidance_off_asks_once_and_says_so() -> None:
    step = next(generate(tiny(), request(guidance_scale=1.0)))
    assert step.eps_uncond is None
    assert step.guidance is None
    assert step.guidance_norm.tolist() == [0.0]


def test_previews_become_the_picture() -> None:
    steps = list(generate(tiny(), request(preview="decode", steps=8)))
    images = [s.images for s in steps if s.images is not None]
    assert len(images) == len(steps)
    assert all(i.shape == (1, 3, 32, 32) and i.min() >= 0 and i.max() <= 1 for i in images)
    away = [float((i - images[-1]).abs().mean()) for i in images]
    assert away[-2] < away[0]


# ---- Several at once, on one copy of the weights


def test_two_runs_in_turn_do_not_mix() -> None:
    asked = [
        request(preview="decode"),
        request(prompt="a green two", scheduler="euler_a", guidance_scale=1.0, seeds=(8, 9), attention=True),
    ]
    alone = [list(generate(tiny(), a)) for a in asked]
    runs = [generate(tiny(), a) for a in asked]
    together: list[list[DenoisingStep]] = [[], []]
    for _ in range(6):
        for run, steps in zip(runs, together, strict=True):
            steps += [step for step in [next(run, None)] if step is not None]
    for a, b in zip(alone, together, strict=True):
        assert len(a) == len(b)
        assert a[-1].images is not None
        assert b[-1].images is not None
        assert torch.equal(a[-1].images, b[-1].images)
        assert all(torch.equal(s.x0, z.x0) for s, z in zip(a, b, strict=True))


def test_two_threads_do_not_mix() -> None:
    asked = [request(attention=k % 2 == 0, seeds=(k,), steps=6) for k in range(4)]
    alone = [list(generate(tiny(), a)) for a in asked]
    together: dict[int, list[DenoisingStep]] = {}

    def work(k: int) -> None:
        together[k] = list(generate(tiny(), asked[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, steps in enumerate(alone):
        for a, b in zip(steps, together[k], strict=True):
            assert torch.equal(a.latents, b.latents)
            assert (a.attention is None) == (b.attention is None)
            if a.attention is not None and b.attention is not None:
                assert torch.equal(a.attention, b.attention)


def test_a_stopped_run_keeps_nothing() -> None:
    run = generate(tiny(), request(steps=20))
    kept = weakref.ref(next(run).x0)
    run.close()  # type: ignore[attr-defined]
    gc.collect()
    assert kept() is None
    assert torch.equal(picture(tiny(), request()), theirs(reference(), request()))


# ---- Faults


@pytest.mark.parametrize(
    ("knobs", "error", "words"),
    [
        ({"steps": 1}, SchedulerError, "PNDM with 1 step"),
        ({"scheduler": "lms"}, SchedulerError, "Unknown scheduler"),
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
    monkeypatch.setattr(generation, "SETTINGS", dataclasses.replace(SETTINGS, max_run_bytes=1_000_000))
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
