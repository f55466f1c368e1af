"""An MNIST lab in a file: it comes back as it was, and hostile files are refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.mnist import MnistLab
from playground.mnist.cold import load_restorer, restore
from playground.mnist.data import ImageSet, mnist
from playground.mnist.generate import GenerateError
from playground.mnist.lab import FORMAT
from playground.mnist.live import LiveConfig
from playground.storage import decode, encode
from tests.mnist.lab_cases import FEW, config, trained


def own_images(labelled: bool) -> ImageSet:
    images = mnist("test").images[:12].repeat(1, 3, 1, 1)
    if labelled:
        return ImageSet("mine", images, torch.arange(12) % 2, ("even", "odd"))
    return ImageSet("mine", images)


def drawn_digits() -> LiveConfig:
    """Two digits to be taught to a small network: the one that ships takes a second a step on a slow machine."""
    drawn = torch.full((2, 1, 28, 28), -1.0)
    drawn[:, :, 5:20, 12:15] = 1.0
    return dataclasses.replace(config(28), drawn=drawn, drawn_labels=torch.tensor([1, 7]))


# Keeping it


@pytest.mark.parametrize("config", [config(), config(28), drawn_digits()], ids=["14", "28", "drawn"])
def test_a_round_trip_changes_no_bit(config: LiveConfig) -> None:
    assert_same(trained(config))


@pytest.mark.parametrize("labelled", [True, False])
def test_own_images_travel_along(labelled: bool, tmp_path: Path) -> None:
    lab = trained(config(data=own_images(labelled)))
    lab.save(tmp_path / "lab.safetensors")
    again = MnistLab.load(tmp_path / "lab.safetensors")
    assert again.run is not None
    assert again.run.config.data is not None
    assert torch.equal(again.run.config.data.images, own_images(labelled).images)
    assert again.model.classes == (("even", "odd") if labelled else ())
    assert_same(lab)


def test_adamw_too_and_before_the_first_step() -> None:
    adamw = dataclasses.replace(config(), training=dataclasses.replace(config().training, optimizer="adamw"))
    assert_same(trained(adamw))
    lab = MnistLab()
    lab.begin(adamw)
    assert_same(lab)


def test_a_lab_without_a_run() -> None:
    lab = MnistLab()
    again = MnistLab.from_bytes(lab.to_bytes())
    assert again.run is None
    assert torch.equal(again.sample(**FEW).x, lab.sample(**FEW).x)


def assert_same(lab: MnistLab) -> None:
    """`lab`, kept and read again, draws the same and trains on as if nothing had happened."""
    again = MnistLab.from_bytes(lab.to_bytes())
    assert again.model.name == lab.model.name
    assert torch.equal(again.sample(**FEW).x, lab.sample(**FEW).x)
    assert lab.run is not None
    assert again.run is not None
    assert again.run.step == lab.run.step
    assert not again.run.config.differs(dataclasses.replace(lab.run.config, data=again.run.config.data))
    losses = [[step.loss for step in one.train(3)] for one in (again, lab)]
    assert losses[0] == losses[1]
    for a, b in zip(again.run.trainer.ema.parameters(), lab.run.trainer.ema.parameters(), strict=True):
        assert torch.equal(a, b)


# Hostile files


@cache
def saved() -> bytes:
    return trained(config(data=own_images(True)), 2).to_bytes()


@given(st.binary(max_size=300))
def test_no_file_of_ours(data: bytes) -> None:
    with pytest.raises(GenerateError, match="safetensors"):
        MnistLab.from_bytes(data)


@given(st.floats(0, 1, exclude_max=True))
@settings(max_examples=20)
def test_a_file_cut_short(share: float) -> None:
    with pytest.raises(GenerateError, match="cut short"):
        MnistLab.from_bytes(saved()[: int(share * len(saved()))])


@given(st.integers(8, 3_000), st.integers(1, 255))
@settings(max_examples=60)
def test_a_damaged_header(place: int, change: int) -> None:
    """Whatever is wrong in it: words, or a lab that draws."""
    data = bytearray(saved())
    data[place] ^= change
    try:
        lab = MnistLab.from_bytes(bytes(data))
    except GenerateError as error:
        refused = str(error)
    else:
        refused = ""
        lab.sample(**FEW)
    assert not refused or " " in refused


def test_another_format() -> None:
    config, tensors, rest = decode(saved(), FORMAT, "")
    with pytest.raises(GenerateError, match="not an MNIST lab"):
        MnistLab.from_bytes(encode("another/1", config, tensors, rest))


def put(*path: str, value: Any) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], None]:
    """One value of the header replaced."""

    def change(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    return change


def tensor(name: str, value: torch.Tensor) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], None]:
    return lambda config, tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        put("shape", value=[3, 28]),
        put("shape", value=[3, 28_000_000, 28_000_000]),
        put("shape", value=[0, 28, 28]),
        put("shape", value=[3, -28, 28]),
        put("shape", value="large"),
        put("classes", value=7),
        put("classes", value=["a"] * 3),
        put("network", value="small"),
        put("network", "channels", value=[1024] * 5),
        put("network", "channels", value=[16]),
        put("network", "colour", value=1),
        put("training", "prediction", value="everything"),
        put("training", "batch_size", value=10**9),
        put("run", value=[]),
        put("run", "size", value=10**6),
        put("run", "start", value="nowhere"),
        put("run", "seed", value=-1),
        put("run", "training", "learning_rate", value=float("nan")),
        put("run", "data", value=None),
        put("run", "data", "classes", value=["only one"]),
        tensor("images", torch.zeros(4)),
        tensor("images", torch.zeros(12, 3, 28, 28)),
        tensor("images", torch.zeros(0, 3, 28, 28, dtype=torch.uint8)),
        tensor("labels", torch.full((12,), 2)),
        tensor("labels", torch.zeros(11, dtype=torch.int64)),
        tensor("labels", torch.zeros(12)),
        tensor("model/first.weight", torch.zeros(3)),
        tensor("run/network/first.weight", torch.zeros(3)),
        tensor("run/generator", torch.zeros(10, dtype=torch.uint8)),
        lambda config, tensors: tensors.pop("images"),
        lambda config, tensors: tensors.pop("run/generator"),
        lambda config, tensors: tensors.pop("model/first.weight"),
        lambda config, tensors: config.pop("training"),
    ],
)
def test_a_file_that_does_not_fit_itself(change: Callable[..., object]) -> None:
    config, tensors, rest = decode(saved(), FORMAT, "")
    change(config, tensors)
    json.dumps(config)
    with pytest.raises(GenerateError, match="do not fit"):
        MnistLab.from_bytes(encode(FORMAT, config, tensors, rest))


def test_cold_diffusion_of_real_digits() -> None:
    x0, _ = MnistLab().real(0, 4)
    restorer, degradation = load_restorer("blur")
    steps = list(restore(restorer, degradation, degradation(x0, 8), 8, "improved"))
    assert [step.severity for step in steps] == list(range(8, -1, -1))
    blurred, restored = ((steps[k].x - x0).square().mean() for k in (0, -1))
    assert restored < blurred / 4
