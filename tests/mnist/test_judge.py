"""The judge against what it must say of real digits, of noise, and of copies; its weights as they ship."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig
from playground.mnist.classifier import ReaderRecipe, accuracy, augment, load_reader, open_reader
from playground.mnist.classifier import train_reader as train
from playground.mnist.data import DIGITS, MNIST, ImageSet, mnist
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

torch.set_num_threads(1)

TINY = NetworkConfig(channels=(8, 8), patch=2)
UNTOUCHED = ReaderRecipe(degrees=0, pixels=0, scale=0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits(n: int, seed: int = 1, split: str = "train") -> tuple[Tensor, Tensor]:
    """Real digits in [-1, 1], and what they are. Not those of seed 0, which the floors are of."""
    images = mnist("train" if split == "train" else "test")
    assert images.labels is not None
    index = torch.randperm(len(images), generator=rng(seed))[:n]
    return images[index], images.labels[index]


def some(n: int) -> ImageSet:
    """A few training digits as a set of their own."""
    images = mnist()
    assert images.labels is not None
    return ImageSet("some", images.images[:n], images.labels[:n], DIGITS)


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


# The reader that ships


def test_it_reads_digits_it_has_never_seen() -> None:
    test = mnist("test")
    assert test.labels is not None
    assert accuracy(load_reader(), test[:2000], test.labels[:2000]) >= 0.99


def test_its_card_tells_what_it_is() -> None:
    weights = (MNIST / "classifier.safetensors").read_bytes()
    card = json.loads((MNIST / "classifier.json").read_text(encoding="utf-8"))
    assert len(weights) <= 500_000
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert card["parameters"] == sum(p.numel() for p in load_reader().parameters())
    assert card["recipe"] == dataclasses.asdict(ReaderRecipe())
    assert card["test_accuracy"] >= 0.995


def test_its_features_have_a_unit() -> None:
    x, _ = digits(2000)
    f = features(x)
    assert f.shape == (2000, 64)
    assert f.min() >= 0
    assert f.var(0).mean().item() == pytest.approx(1, rel=0.1)
    torch.testing.assert_close(load_reader().last(f[:100]), load_reader()(x[:100]))


def test_it_reads_one_as_it_reads_many() -> None:
    x, _ = digits(501)  # more than are read at once
    torch.testing.assert_close(reads(x)[-3:], reads(x[-3:]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(reads(x).sum(1), torch.ones(501))


def test_it_is_sure_that_noise_is_a_digit() -> None:
    noise = torch.randn(100, 1, 28, 28, generator=rng()).clamp(-1, 1)
    assert reads(noise).amax(1).median() > 0.99  # as its words warn


@pytest.mark.parametrize("damage", ["cut", "scrambled", "foreign", "missing"])
def test_other_weights_are_refused(damage: str, tmp_path: Path) -> None:
    weights = (MNIST / "classifier.safetensors").read_bytes()
    foreign = encode_weights(make_network(TINY, (1, 28, 28), 10, seed=0))
    files = {"cut": weights[: len(weights) // 2], "scrambled": b"\xff" * 16 + weights[16:], "foreign": foreign}
    if damage in files:
        (tmp_path / "classifier.safetensors").write_bytes(files[damage])
    with pytest.raises(WeightsError, match=r"classifier\.safetensors"):
        open_reader(tmp_path)


# How it is trained


def test_training_is_repeatable_and_learns() -> None:
    recipe = ReaderRecipe(epochs=3, batch_size=20)
    reader, again = train(recipe, some(500)), train(recipe, some(500))
    assert all(torch.equal(a, b) for a, b in zip(reader.parameters(), again.parameters(), strict=True))
    x, labels = digits(300, split="test")
    assert accuracy(reader, x, labels) > 0.6
    with torch.inference_mode():
        assert reader.features(some(500)[:]).var(0).mean().item() == pytest.approx(1, rel=1e-3)


def test_half_precision_reads_the_same(tmp_path: Path) -> None:
    reader = train(ReaderRecipe(epochs=1, batch_size=50), some(500))
    (tmp_path / "classifier.safetensors").write_bytes(encode_weights(reader))
    x, _ = digits(200, split="test")
    with torch.inference_mode():
        torch.testing.assert_close(open_reader(tmp_path)(x), reader(x), atol=0.05, rtol=0.05)


def test_an_augmentation_of_nothing_changes_nothing() -> None:
    x, _ = digits(50)
    torch.testing.assert_close(augment(x, UNTOUCHED, rng()), x, atol=1e-4, rtol=0)


def test_digits_are_turned_as_pillow_turns_them() -> None:
    x, _ = digits(20)
    recipe = dataclasses.replace(UNTOUCHED, degrees=30)
    degrees = (torch.rand(4, 20, generator=rng(5)) * 2 - 1)[0] * 30
    turned = augment(x, recipe, rng(5))
    for before, after, angle in zip(x[:, 0], turned[:, 0], degrees.tolist(), strict=True):
        picture = Image.fromarray(before.numpy()).rotate(angle, Image.Resampling.BILINEAR, fillcolor=-1)
        assert np.abs(np.asarray(picture) - after.numpy())[2:-2, 2:-2].max() < 0.02


def test_digits_are_moved_and_scaled_within_bounds() -> None:
    dot = torch.full((500, 1, 28, 28), -1.0)
    dot[:, :, 6, 20] = 1.0  # 7.5 above and 6.5 right of the middle
    ink = (augment(dot, dataclasses.replace(UNTOUCHED, pixels=2, scale=0.1), rng()) + 1)[:, 0] / 2
    weight, places = ink.sum((1, 2)), torch.arange(28.0)
    down = (ink.sum(2) * places).sum(1) / weight - 13.5
    right = (ink.sum(1) * places).sum(1) / weight - 13.5
    for place, start in ((down, -7.5), (right, 6.5)):
        assert (place - start).abs().max() < (2 + abs(start)) * 1.1 - abs(start) + 0.5
        assert (place - start).abs().max() > 2
        assert place.mean().item() == pytest.approx(start, abs=0.2)


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
