"""Everything that depends on the machine: where a model runs, in which precision, and what is done to make it fit."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

Kind = Literal["cuda", "mps", "cpu"]
PARTS = ("text_encoder", "unet", "scheduler", "vae")  # of a pipeline: those that take time

SMALL = 100_000_000  # bytes of weights in half precision: below, nothing is gained by halving or moving them
# Bytes that the VAE's decoder needs at its widest, for each pixel of a picture, in half precision: some six feature
# maps of 256 channels at full size. It is the peak of a run; the U-Net works on 64 times fewer pixels.
DECODER_BYTES = 3_000
# Of Stable Diffusion 1.x's weights, what must fit together with model offload: 860 of 1370 million are the U-Net, 304
# the safety checker, which diffusers leaves on the GPU
UNET_SHARE = 0.85
ROOM = 1.15  # for the allocator's fragments and cuDNN's workspace
FULL = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "can't allocate memory")  # in the words of an error


@dataclass(frozen=True)
class Machine:
    """What there is to compute with; `free_bytes` of the GPU's memory, or of the computer's."""

    kind: Kind
    name: str
    free_bytes: int  # 0: the system does not say


@dataclass(frozen=True)
class Plan:
    """How to run a model on a machine; `words` say why, for the page."""

    device: str
    dtype: torch.dtype
    channels_last: bool
    vae_slicing: bool
    offload: bool
    compile: bool
    words: str


def measure() -> Machine:
    """This machine, its memory measured now."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return Machine("cuda", torch.cuda.get_device_name(), free)
    if torch.backends.mps.is_available():
        return Machine("mps", "Apple GPU", torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return Machine("cpu", f"{os.cpu_count() or 1} processor cores", _free_main_memory())


def plan(machine: Machine, weights_bytes: int, image_size: int, images: int = 1, compile: bool = False) -> Plan:
    """The plan for a model of `weights_bytes` in half precision, making `images` at a time of `image_size`² pixels.

    CUDA: float16 and the least that makes it fit: nothing, the VAE one image at a time, or each part on the GPU only
    while it works. MPS and CPU: float32, the one precision that is right and quick everywhere.
    """
    if machine.kind != "cuda" or weights_bytes < SMALL:
        needed = ROOM * 2 * (weights_bytes + DECODER_BYTES * image_size**2 * images)
        slicing = weights_bytes >= SMALL and images > 1
        words = f"float32 on {machine.name}"
        if machine.kind != "cuda" and weights_bytes >= SMALL and 0 < machine.free_bytes < needed:
            words += f"; about {needed / 1e9:.1f} GB are wanted and {machine.free_bytes / 1e9:.1f} GB are free"
        return Plan(machine.kind, torch.float32, machine.kind != "mps", slicing, False, False, words + ".")
    one = DECODER_BYTES * image_size**2
    compiled = " The U-Net is compiled at its first step, which takes a minute." if compile else ""
    free = machine.free_bytes / ROOM
    gigabytes = f"{machine.free_bytes / 1e9:.1f} GB of {machine.name} are free"
    if free >= weights_bytes + one * images:
        words = f"Half precision; {gigabytes}, all of the model stays there.{compiled}"
        return Plan("cuda", torch.float16, True, False, False, compile, words)
    if free >= weights_bytes + one:
        words = f"Half precision; {gigabytes}, so pictures are decoded one at a time (VAE slicing).{compiled}"
        return Plan("cuda", torch.float16, True, True, False, compile, words)
    words = f"Half precision; {gigabytes}, so each part is there only while it works (model offload): slower."
    if free < UNET_SHARE * weights_bytes + one:
        words += " Even so it may not fit: close what else uses the GPU, or make smaller pictures."
    # A compiled U-Net cannot have the hooks that move it.
    return Plan("cuda", torch.float16, True, True, True, False, words)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether the device was full. torch's own allocator has a class for it; the driver, cuBLAS, cuDNN and the
    processor's allocator, which torch asks too, only say so.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in FULL)


def free_memory(device: str) -> None:
    """Give back what a failed run, or a model that is no longer used, had reserved."""
    gc.collect()  # an offloaded part and its hook hold each other
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def synchronize(device: str) -> None:
    """Wait until the device has done its work: otherwise a clock measures only how long it took to ask for it."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


@dataclass
class Clock:
    """Seconds by part of the pipeline."""

    device: str
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Add the seconds that the block takes, until the device is done with it."""
        begun = time.perf_counter()
        yield
        synchronize(self.device)
        self.parts[part] += time.perf_counter() - begun


def _free_main_memory() -> int:
    """Free bytes, 0 where the system does not say: macOS knows the total only, Windows has no sysconf."""
    known = "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if known else 0
