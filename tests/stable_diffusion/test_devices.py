"""Every branch of what is decided by device, on any machine."""

from typing import Any

import pytest
import torch

from playground.stable_diffusion.devices import Machine, Plan, measure, plan
from playground.stable_diffusion.models import CATALOGUE, default_model

SD15 = CATALOGUE["sd15"].bytes
GB = 1_000_000_000


def machine(kind: Any, free: float) -> Machine:
    return Machine(kind, f"a {kind}", int(free * GB))


@pytest.mark.parametrize(
    ("free", "images", "slicing", "offload", "words"),
    [
        (24, 4, False, False, "all of the model stays there"),
        (8, 4, False, False, "all of the model stays there"),
        (5, 4, True, False, "VAE slicing"),
        (3.5, 4, True, True, "model offload"),
        (1, 1, True, True, "Even so it may not fit"),
    ],
)
def test_cuda_does_the_least_that_fits(free: float, images: int, slicing: bool, offload: bool, words: str) -> None:
    found = plan(machine("cuda", free), SD15, 512, images)
    assert (found.device, found.dtype, found.channels_last) == ("cuda", torch.float16, True)
    assert (found.vae_slicing, found.offload) == (slicing, offload)
    assert words in found.words
    assert f"{free:.1f} GB of a cuda" in found.words


def test_compiling_is_asked_for_and_never_with_offload() -> None:
    for free in (24, 5):
        asked = plan(machine("cuda", free), SD15, 512, 4, compile=True)
        assert asked.compile
        assert "compiled at its first step" in asked.words
    assert not plan(machine("cuda", 24), SD15, 512).compile
    assert "compiled" not in plan(machine("cuda", 24), SD15, 512).words
    assert not plan(machine("cuda", 2), SD15, 512, compile=True).compile
    assert not plan(machine("cpu", 24), SD15, 512, compile=True).compile
    assert not plan(machine("cuda", 24), 8_000_000, 32, compile=True).compile


@pytest.mark.parametrize("kind", ["mps", "cpu"])
def test_elsewhere_float32(kind: Any) -> None:
    found = plan(machine(kind, 32), SD15, 512, 4)
    assert found == Plan(kind, torch.float32, kind == "cpu", True, False, False, f"float32 on a {kind}.")
    tight = plan(machine(kind, 2), SD15, 512, 4)
    assert "are wanted and 2.0 GB are free" in tight.words
    assert "wanted" not in plan(machine(kind, 0), SD15, 512, 4).words  # the system does not say


@pytest.mark.parametrize("kind", ["cuda", "mps", "cpu"])
def test_the_tiny_model_stays_in_float32(kind: Any) -> None:
    found = plan(machine(kind, 0.5), CATALOGUE["tiny"].bytes, 32, 4)
    assert (found.device, found.dtype, found.vae_slicing, found.offload) == (kind, torch.float32, False, False)


def test_more_memory_is_never_worse() -> None:
    plans = [plan(machine("cuda", free / 10), SD15, 512, 4) for free in range(5, 120)]
    costs = [p.vae_slicing + 2 * p.offload for p in plans]
    assert costs == sorted(costs, reverse=True)
    assert set(costs) == {0, 1, 3}


def test_this_machine_is_measured() -> None:
    found = measure()
    assert found.kind in ("cuda", "mps", "cpu")
    assert found.name
    assert found.free_bytes >= 0


@pytest.mark.parametrize(
    ("kind", "free", "name"), [("cuda", 24, "sd15"), ("cuda", 3, "tiny"), ("cpu", 64, "tiny"), ("mps", 64, "tiny")]
)
def test_the_page_opens_with_what_runs_well(kind: Any, free: float, name: str) -> None:
    assert default_model(machine(kind, free)) == name
