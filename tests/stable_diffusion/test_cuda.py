"""On a GPU: half precision, offload, compiling and a memory that is full. Skipped where there is none."""

import dataclasses
from typing import Any

import pytest
import torch

from playground.diffusion.sampling_config import scheduled
from playground.stable_diffusion import models
from playground.stable_diffusion.devices import Plan, measure
from playground.stable_diffusion.generation import DenoisingStep, OutOfMemory, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request
from playground.stable_diffusion.schedulers import make
from tests.stable_diffusion.tiny import PROMPT, narrow_pipeline

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
REQUEST = Request(PROMPT, steps=3, seeds=(1, 2), height=64, width=64, preview="linear", scheduler="ddim")


def placed(**change: Any) -> Loaded:
    plan = Plan("cuda", torch.float16, True, False, False, False, "")
    plan = dataclasses.replace(plan, **change)
    pipeline = narrow_pipeline().to(dtype=plan.dtype)
    return models._place(pipeline, Loaded.of(pipeline).model, plan)


def last(loaded: Loaded, request: Request = REQUEST) -> DenoisingStep:
    *_, step = generate(loaded, request)
    return step


def images(loaded: Loaded, request: Request = REQUEST) -> torch.Tensor:
    found = last(loaded, request).images
    assert found is not None
    return found


def test_this_machine_is_a_gpu() -> None:
    found = measure()
    assert found.kind == "cuda"
    assert found.free_bytes > 0


@pytest.mark.parametrize("scheduler", scheduled())
def test_half_precision_gives_the_pipelines_image(scheduler: str) -> None:
    loaded, request = placed(), dataclasses.replace(REQUEST, scheduler=scheduler)
    ours, pipeline = images(loaded, request), loaded.pipeline
    base = pipeline.scheduler
    pipeline.scheduler = make(scheduler, base.config, request.steps)
    theirs = pipeline(
        request.prompt,
        negative_prompt="",
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=2,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(s) for s in request.seeds],
        output_type="pt",
    ).images
    torch.testing.assert_close(ours, theirs.float().cpu(), atol=2e-3, rtol=0)  # one bit of half precision in [0, 1]


def test_half_precision_is_near_full_precision() -> None:
    full = images(placed(dtype=torch.float32))
    torch.testing.assert_close(images(placed()), full, atol=0.05, rtol=0)


def test_offload_and_slicing_give_the_same_image_and_leave_the_gpu() -> None:
    plain = images(placed())
    before = torch.cuda.memory_allocated()
    loaded = placed(offload=True, vae_slicing=True)
    torch.testing.assert_close(images(loaded), plain, atol=5e-3, rtol=0)
    assert {p.device.type for p in loaded.pipeline.unet.parameters()} == {"cpu"}
    assert torch.cuda.memory_allocated() - before < 20_000_000


def test_an_offloaded_run_that_is_closed_in_the_middle_of_anothers_step() -> None:
    loaded = placed(offload=True)
    plain = images(loaded)
    stopped = generate(loaded, REQUEST)
    next(stopped)
    hook = loaded.pipeline.unet.mid_block.register_forward_pre_hook(lambda *_: stopped.close())  # type: ignore[attr-defined]
    assert torch.equal(images(loaded), plain)
    hook.remove()
    assert {p.device.type for p in loaded.pipeline.unet.parameters()} == {"cpu"}


def test_attention_and_previews_on_the_gpu() -> None:
    request = dataclasses.replace(REQUEST, attention=True, preview="decode")
    first = next(generate(placed(), request))
    assert first.attention is not None
    assert first.images is not None
    assert first.attention.device.type == first.images.device.type == "cpu"
    torch.testing.assert_close(first.attention.sum(1), torch.ones(2, 8, 8), atol=1e-3, rtol=0)


def test_compiling_changes_little() -> None:
    compiled = placed(compile=True)
    torch.testing.assert_close(images(compiled), images(placed()), atol=0.05, rtol=0)


def test_a_full_gpu_is_told_and_is_free_again() -> None:
    loaded = placed()
    want = dataclasses.replace(REQUEST, height=512, width=512, seeds=(1, 2), preview="none")
    well = images(loaded)
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    used = torch.cuda.memory_reserved()
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((used + 30_000_000) / total)
    try:
        with pytest.raises(OutOfMemory, match="It is free again") as raised:
            list(generate(loaded, want))
        assert raised.value.smaller is not None
        assert torch.cuda.memory_allocated() - before < 5_000_000
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert free > 0
    assert torch.equal(images(loaded), well)
