"""MnistLab as its documentation shows it; kept and read again; hostile files; labs side by side."""

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

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist import MnistLab, generate
from playground.mnist.cold import load_restorer, restore
from playground.mnist.data import ImageSet, mnist
from playground.mnist.generate import GenerateError, Request
from playground.mnist.lab import FORMAT
from playground.mnist.live import LiveConfig
from playground.mnist.networks import NetworkConfig
from playground.storage import decode, encode

TINY = NetworkConfig(channels=(8,), patch=2)
FEW: dict[str, Any] = {"steps": 2, "n": 3}


def config(size: int = 14, seed: int = 0, data: ImageSet | None = None) -> LiveConfig:
    return dataclasses.replace(LiveConfig.scratch(size, seed, data, batch_size=8), network=TINY)


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


def trained(config: LiveConfig, steps: int = 4) -> MnistLab:
    lab = MnistLab()
    lab.begin(config)
    list(lab.train(steps))
    lab.use_trained()
    return lab


# As the documentation shows it


def test_the_example_works_as_written() -> None:
    lab = MnistLab()
    path = lab.sample(labels=[7] * 16, sampler="dpm++", steps=20, guidance_scale=2.0, seed=0)
    assert path.x.shape == path.x0.shape == path.eps.shape == (21, 16, 1, 28, 28)
    assert path.x[-1].abs().max() <= 1 + 1e-5
    assert path.x.isfinite().all()
    assert path.labels is not None
    assert path.labels.tolist() == [7] * 16
    assert (path.calls, path.seed) == (40, 0)
    alpha, sigma = (level.reshape(-1, 1, 1, 1, 1) for level in (path.alpha, path.sigma))
    torch.testing.assert_close(path.x, alpha * path.x0 + sigma * path.eps, rtol=0, atol=1e-5)
    # black paper, white ink: most of a digit is paper, and no two are alike
    assert (path.x[-1] < -0.9).float().mean() > 0.5
    assert (path.x[-1].flatten(1).max(1).values > 0.5).all()
    assert len(path.x[-1].flatten(1).unique(dim=0)) == 16


def test_every_other_way_to_draw() -> None:
    lab = MnistLab()
    x0, _ = lab.real(n=1)
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[:, 14:] = True
    model = lab.model
    edited = generate.edit(model, Request.of(None, 2, steps=3), x0[0], 0.3)
    assert collect(list(edited), None, 0).x.shape == (4, 2, 1, 28, 28)
    inpainted = generate.inpaint(model, Request.of([3], steps=3), x0[0], mask, 1)
    assert collect(list(inpainted), None, 0).x.shape == (4, 1, 1, 28, 28)
    for between in (
        generate.between_noises(model, Request.of([3] * 2, 2, steps=2), 1),
        generate.between_classes(model, Request.of([0] * 2, steps=2), 0, 8),
    ):
        assert collect(list(between), None, 0).x.shape == (3, 2, 1, 28, 28)
    with pytest.raises(GenerateError, match="No such knob: colour"):
        lab.sample(colour=1)


# Forward


def test_the_forward_table_has_one_noise_for_all_t() -> None:
    table = MnistLab().forward(seed=3, n=5, schedule="linear", timesteps=200)
    schedule = ScheduleConfig("linear", 200).make()
    assert table.x0.shape == table.eps.shape == (5, 1, 28, 28)
    for t in (0, 57, 199):
        expected = schedule.alphas[t] * table.x0 + schedule.sigmas[t] * table.eps
        torch.testing.assert_close(table.at(t), expected.float(), rtol=0, atol=1e-6)
    assert float(table.eps.std()) == pytest.approx(1, abs=0.05)


def test_real_digits_are_test_digits_with_their_labels() -> None:
    x0, labels = MnistLab().real(seed=5, n=30)
    digits = mnist("test")
    assert digits.labels is not None
    assert x0.abs().max() == 1
    for image, label in zip(x0[:5], labels, strict=False):
        (index,) = (digits[:] == image).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert digits.labels[index] == label
    again, other = MnistLab().real(seed=5, n=30)[0], MnistLab().real(seed=6, n=30)[0]
    assert torch.equal(x0, again)
    assert not torch.equal(x0, other)


def test_what_the_forward_table_refuses() -> None:
    lab = MnistLab()
    for t in (-1, 1_000):
        with pytest.raises(GenerateError, match="0 to 999"):
            lab.forward().at(t)
    with pytest.raises(ScheduleError, match="no such knob"):
        lab.forward(colour=1)


# Training and who draws


def test_the_trained_network_draws_when_asked() -> None:
    lab = MnistLab()
    with pytest.raises(GenerateError, match="press Train"):
        lab.use_trained()
    lab.begin(config())
    with pytest.raises(GenerateError, match="press Train"):
        lab.use_trained()
    before = lab.sample(**FEW).x
    assert len(list(lab.train(3))) == 3
    assert lab.draws_shipped
    assert torch.equal(lab.sample(**FEW).x, before), "training alone changes nothing that is drawn"
    lab.use_trained()
    assert lab.model is not lab.shipped
    mine = lab.sample(**FEW).x
    assert mine.shape == (3, 3, 1, 14, 14)
    list(lab.train(2))
    assert torch.equal(lab.sample(**FEW).x, mine), "apart from further training"
    lab.use_shipped()
    assert lab.draws_shipped
    assert torch.equal(lab.sample(**FEW).x, before)


def test_interleaved_labs_do_not_disturb_each_other() -> None:
    configs = [config(seed=0), config(seed=1), config(28)]
    alone = [[step.loss for step in trained(one, 6).run.train(2)] for one in configs]  # type: ignore[union-attr]
    labs = [MnistLab() for _ in configs]
    for lab, one in zip(labs, configs, strict=True):
        lab.begin(one)
    runs = [lab.train() for lab in labs]
    losses: list[list[float]] = [[], [], []]
    for k in range(8):
        for which in (k % 3, (k + 1) % 3, (k + 2) % 3):
            losses[which].append(next(runs[which]).loss)
            torch.manual_seed(k)  # nobody draws from the generator that all of torch shares
    assert [each[6:] for each in losses] == alone
    assert torch.equal(labs[0].sample(**FEW).x, MnistLab().sample(**FEW).x)


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
