"""Model offload on the processor: accelerate's own hooks, whose device is the one where everything is already. That the
parts were brought back shows all the same: diffusers then gives them new hooks.
"""

import dataclasses
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from playground.stable_diffusion.devices import Plan, free_memory, out_of_memory
from playground.stable_diffusion.generation import DenoisingStep, OutOfMemory, generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request
from tests.stable_diffusion.tiny import PROMPT, new_pipeline, tiny

torch.set_num_threads(1)
REQUEST = Request(PROMPT, steps=3, seeds=(5,), preview="none", scheduler="ddim")


def offloaded() -> Loaded:
    pipeline = new_pipeline()
    pipeline.enable_model_cpu_offload(device="cpu")
    return Loaded.of(pipeline, plan=Plan("cpu", torch.float32, False, False, True, False, ""))


def pictures(steps: Iterator[DenoisingStep]) -> torch.Tensor:
    *_, step = steps
    assert step.images is not None
    return step.images


@contextmanager
def inside_the_unet(loaded: Loaded, act: Callable[[], None]) -> Iterator[None]:
    """`act` in the middle of every step."""
    hook = loaded.pipeline.unet.mid_block.register_forward_pre_hook(lambda *_: act())
    try:
        yield
    finally:
        hook.remove()


def test_the_pictures_are_the_same_and_the_parts_are_brought_back() -> None:
    loaded = offloaded()
    before = loaded.pipeline.unet._hf_hook
    assert torch.equal(pictures(generate(loaded, REQUEST)), pictures(generate(tiny(), REQUEST)))
    assert loaded.pipeline.unet._hf_hook is not before


def test_a_closed_run_moves_nothing_from_under_anothers_step() -> None:
    loaded = offloaded()
    stopped = generate(loaded, REQUEST)
    next(stopped)
    hook = loaded.pipeline.unet._hf_hook
    inside, go_on, found = threading.Event(), threading.Event(), []

    def stay() -> None:
        inside.set()
        assert go_on.wait(30)

    other = generate(loaded, dataclasses.replace(REQUEST, prompt="a green two"))
    with inside_the_unet(loaded, stay):
        thread = threading.Thread(target=lambda: found.append(next(other)))
        thread.start()
        assert inside.wait(30)
        stopped.close()  # type: ignore[attr-defined]  # at once: it does not wait for the step
        assert loaded.pipeline.unet._hf_hook is hook
        go_on.set()
        thread.join()
    assert loaded.pipeline.unet._hf_hook is not hook  # now they are back
    expected = pictures(generate(tiny(), dataclasses.replace(REQUEST, prompt="a green two")))
    assert found[0].index == 0
    assert torch.equal(pictures(other), expected)


def test_a_run_that_is_closed_in_the_middle_of_a_step_by_the_same_thread() -> None:
    """As the garbage collector may do; a lock that waits would wait forever."""
    loaded, hooks = offloaded(), []
    forgotten = generate(loaded, REQUEST)
    next(forgotten)

    def close() -> None:
        forgotten.close()  # type: ignore[attr-defined]
        hooks.append(loaded.pipeline.unet._hf_hook)

    before = loaded.pipeline.unet._hf_hook
    other = generate(loaded, REQUEST)
    with inside_the_unet(loaded, close):
        next(other)
    assert hooks == [before]
    assert loaded.pipeline.unet._hf_hook is not before


def test_runs_side_by_side_never_compute_at_once() -> None:
    loaded, most, count, lock = offloaded(), 0, 0, threading.Lock()

    def enter(*_: object) -> None:
        nonlocal most, count
        with lock:
            count += 1
            most = max(most, count)

    def leave(*_: object) -> None:
        nonlocal count
        with lock:
            count -= 1

    loaded.pipeline.unet.down_blocks[0].register_forward_pre_hook(enter)
    loaded.pipeline.unet.up_blocks[-1].register_forward_hook(leave)
    asked = [dataclasses.replace(REQUEST, seeds=(seed,)) for seed in range(4)]
    found: dict[int, torch.Tensor] = {}

    def work(k: int) -> None:
        found[k] = pictures(generate(loaded, asked[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    for k, request in enumerate(asked):
        assert torch.equal(found[k], pictures(generate(tiny(), request)))


def test_a_run_that_fails_brings_the_parts_back() -> None:
    loaded = offloaded()
    before = loaded.pipeline.unet._hf_hook

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with inside_the_unet(loaded, full), pytest.raises(OutOfMemory):
        next(generate(loaded, REQUEST))
    assert loaded.pipeline.unet._hf_hook is not before


def test_the_float32_decoder_brings_no_other_part_along() -> None:
    loaded = offloaded()
    loaded.pipeline.vae.half()
    copied = loaded.float32_vae()
    assert copied is loaded.float32_vae()
    assert copied.dtype == torch.float32
    assert not hasattr(copied, "_hf_hook")  # it holds the hook of the U-Net, and through that the U-Net
    for name, weight in loaded.pipeline.vae.state_dict().items():
        assert torch.equal(copied.state_dict()[name], weight.float())
    assert not any(weight.requires_grad for weight in copied.parameters())


def test_a_model_that_is_let_go_is_gone_when_memory_is_freed() -> None:
    loaded = offloaded()
    held = weakref.ref(loaded.pipeline.unet)
    gc.disable()
    try:
        del loaded
        free_memory("cpu")
        assert held() is None
    finally:
        gc.enable()


# ---- Memory that is full, in the words of each allocator


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other call"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to …"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_full_memory_is_recognised_in_any_words(error: RuntimeError) -> None:
    assert out_of_memory(error)
    loaded = Loaded.of(new_pipeline())

    def full() -> None:
        raise error

    with inside_the_unet(loaded, full), pytest.raises(OutOfMemory, match="The memory of this computer was not enough"):
        next(generate(loaded, REQUEST))


def test_a_processor_that_really_is_asked_for_too_much() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(raised.value)


def test_another_fault_is_not_taken_for_it() -> None:
    loaded = Loaded.of(new_pipeline())

    def broken() -> Any:
        torch.zeros(2) @ torch.zeros(3)

    with inside_the_unet(loaded, broken), pytest.raises(RuntimeError, match="tensor size"):
        next(generate(loaded, REQUEST))
