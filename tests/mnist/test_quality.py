"""What the judge says of digits: classes, Fréchet distance, the nearest training digit."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig
from playground.mnist.classifier import open_reader
from playground.mnist.data import DIGITS, MNIST, mnist
from playground.mnist.judge import (
    ImageQuality,
    JudgeError,
    draw_samples,
    features,
    judge,
    main,
    nearest_training,
    reads,
)
from playground.mnist.networks import NetworkConfig, make_network
from playground.mnist.weights import WeightsError, encode_weights, load_model
from tests.mnist.readers import TINY, digits, rng


def write_model(folder: Path, config: NetworkConfig = TINY, size: int = 28) -> Path:
    """A random network and its card, as a training run leaves them."""
    network = make_network(config, (1, size, size), 10, seed=0)
    for parameter in network.parameters():
        if not parameter.any():  # a fresh network ends in zeros, and answers 0 to everything
            nn.init.normal_(parameter, std=0.2, generator=rng())
    recipe = {"network": dataclasses.asdict(config), "training": dataclasses.asdict(TrainingConfig())}
    card = {"data": {"name": "MNIST", "shape": [1, size, size]}, "classes": DIGITS, "recipe": recipe, "steps": 7}
    (folder / "model.safetensors").write_bytes(encode_weights(network))
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder / "model.safetensors"


# Quality


@pytest.fixture(scope="module")
def of_real() -> ImageQuality:
    return judge(*digits(300))


def test_real_digits_are_at_their_floor(of_real: ImageQuality) -> None:
    assert of_real.n == 300
    assert of_real.right >= 0.99
    assert of_real.frechet_floor / 2 < of_real.frechet < of_real.frechet_floor * 2
    assert of_real.nearest == 0  # they are training digits


def test_digits_never_seen_are_no_copies(of_real: ImageQuality) -> None:
    unseen = judge(*digits(300, split="test"))
    assert unseen.nearest == pytest.approx(of_real.nearest_floor, rel=0.05)
    assert unseen.frechet < 2 * of_real.frechet_floor


def test_noise_is_far_from_digits(of_real: ImageQuality) -> None:
    noise = judge(torch.randn(300, 1, 28, 28, generator=rng()), torch.arange(300) % 10)
    assert noise.frechet > 100 * of_real.frechet_floor
    assert noise.nearest > 2 * of_real.nearest_floor
    assert noise.right < 0.2


def test_one_digit_for_all_is_right_but_far(of_real: ImageQuality) -> None:
    x, labels = digits(1)
    one = judge(x.expand(300, -1, -1, -1), labels.expand(300))
    assert one.right == 1
    assert one.frechet > 10 * of_real.frechet_floor


def test_wrong_labels_are_right_by_chance() -> None:
    x, labels = digits(600)
    shuffled = labels[torch.randperm(600, generator=rng())]
    share = (reads(x).argmax(1) == shuffled).double().mean().item()
    assert share == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 600))


def test_judged_as_shown_and_by_the_seed() -> None:
    x, labels = digits(50)
    assert judge(3 * x, labels) == judge((3 * x).clamp(-1, 1), labels)
    one, other = judge(x, labels, seed=1), judge(x, labels, seed=2)
    assert (one.right, one.frechet, one.nearest) == (other.right, other.frechet, other.nearest)
    assert one.frechet_floor != other.frechet_floor
    assert one.nearest_floor != other.nearest_floor


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple))
@settings(max_examples=30)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for ask in (reads, features, nearest_training):
        with pytest.raises(JudgeError, match="28×28"):
            ask(torch.zeros(shape))
    with pytest.raises(JudgeError, match="28×28"):
        judge(torch.zeros(shape), torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_no_numbers_are_refused(value: float) -> None:
    x = torch.zeros(2, 1, 28, 28)
    x[1, 0, 3, 3] = value
    for ask in (reads, features, nearest_training):
        with pytest.raises(JudgeError, match="finite"):
            ask(x)


@pytest.mark.parametrize(("n", "labels"), [(1, 1), (3, 2), (10_001, 10_001)])
def test_too_few_or_too_many_are_refused(n: int, labels: int) -> None:
    with pytest.raises(JudgeError, match="each with its class"):
        judge(torch.zeros(1, 1, 28, 28).expand(n, -1, -1, -1), torch.zeros(labels, dtype=torch.long))


# The nearest training digit


def test_a_training_digit_is_its_own_nearest() -> None:
    index = torch.randperm(60_000, generator=rng())[:501]  # more than are measured at once
    distances, indices = nearest_training(mnist()[index])
    assert distances.shape == indices.shape == (501, 1)
    assert torch.equal(indices[:, 0], index)
    assert (distances == 0).all()


def test_nearest_is_the_brute_force() -> None:
    x, _ = digits(4, split="test")
    parts = [mnist()[index].double().flatten(1) for index in torch.arange(60_000).split(5000)]
    mode = "donot_use_mm_for_euclid_dist"
    exact = torch.cat([torch.cdist(x.double().flatten(1), part, compute_mode=mode) for part in parts], 1) / 28
    expected, where = exact.topk(5, largest=False)
    distances, indices = nearest_training(x, k=5)
    torch.testing.assert_close(distances.double(), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(indices, where)


@pytest.mark.parametrize("k", [-1, 0, 21])
def test_so_many_neighbours_are_refused(k: int) -> None:
    with pytest.raises(JudgeError, match="neighbours"):
        nearest_training(torch.zeros(1, 1, 28, 28), k)


# Samples of a model


def test_batches_change_no_sample(tmp_path: Path) -> None:
    model, schedule, config = (
        load_model(write_model(tmp_path)),
        ScheduleConfig("cosine", 1000).make(),
        SamplingConfig(steps=3),
    )
    labels = torch.arange(103) % 10
    many = draw_samples(model, labels, schedule, config, 2.0)
    assert many.shape == (103, 1, 28, 28)
    torch.testing.assert_close(draw_samples(model, labels[:5], schedule, config, 2.0), many[:5], atol=1e-4, rtol=0)
    assert not torch.allclose(draw_samples(model, labels[:5], schedule, config, 1.0), many[:5], atol=1e-2)
    assert not torch.allclose(draw_samples(model, labels[:5], schedule, config, 2.0, seed=1), many[:5], atol=1e-2)


def test_the_command_judges_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path)
    weights, card = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    main([str(path), "--n", "20", "--sampler", "ddpm", "--steps", "3", "--guidance", "1", "3", "--json", "--write"])
    report = json.loads(capsys.readouterr().out)
    assert [row["guidance_scale"] for row in report] == [1, 3]
    assert all(row["n"] == 20 and row["sampler"] == "ddpm" and row["steps"] == 3 for row in report)
    assert {knob.name for knob in dataclasses.fields(ImageQuality)} <= report[0].keys()
    assert all(row["frechet"] > row["frechet_floor"] for row in report)  # it is not trained
    written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == card | {"quality": report}
    assert path.read_bytes() == weights


def test_the_command_prints_a_line_for_each_guidance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path)
    card = path.with_suffix(".json").read_bytes()
    main([str(path), "--n", "5", "--steps", "2", "--guidance", "2"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("guidance 2, dpm++ 2 default, cosine, N = 5: right class ")
    assert path.with_suffix(".json").read_bytes() == card  # without --write


def test_a_model_of_other_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="28×28"):
        main([str(write_model(tmp_path, size=32)), "--n", "5", "--steps", "2"])


def test_a_flipped_bit_is_named_by_its_checksum(tmp_path: Path) -> None:
    for suffix in (".safetensors", ".json"):
        data = bytearray((MNIST / f"classifier{suffix}").read_bytes())
        if suffix == ".safetensors":
            data[-5] ^= 1
        (tmp_path / f"classifier{suffix}").write_bytes(data)
    with pytest.raises(WeightsError, match=r"classifier\.safetensors is damaged: its SHA-256"):
        open_reader(tmp_path)
