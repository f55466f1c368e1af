"""The judge against what it must say of real digits, of noise, and of copies; its weights as they ship."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from playground.mnist.classifier import ReaderRecipe, accuracy, augment, load_reader, open_reader
from playground.mnist.classifier import train_reader as train
from playground.mnist.data import DIGITS, MNIST, ImageSet, mnist
from playground.mnist.judge import (
    features,
    reads,
)
from playground.mnist.networks import make_network
from playground.mnist.weights import WeightsError, encode_weights
from tests.mnist.readers import TINY, digits, rng

torch.set_num_threads(1)
UNTOUCHED = ReaderRecipe(degrees=0, pixels=0, scale=0)


def some(n: int) -> ImageSet:
    """A few training digits as a set of their own."""
    images = mnist()
    assert images.labels is not None
    return ImageSet("some", images.images[:n], images.labels[:n], DIGITS)


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
