"""MNIST as it lies in assets: the canonical files, whole, and a damaged one is named."""

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.mnist.data import CHECKSUMS, DIGITS, MNIST, ImageDataError, ImageSet, mnist, read_idx, to_bytes, to_unit

COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of each digit in the training set
IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@pytest.mark.parametrize("name", list(CHECKSUMS))
def test_the_files_are_the_canonical_ones(name: str) -> None:
    assert hashlib.sha256((MNIST / name).read_bytes()).hexdigest() == CHECKSUMS[name]


def test_the_training_set() -> None:
    digits = mnist()
    assert (len(digits), digits.shape, digits.classes) == (60_000, (1, 28, 28), DIGITS)
    assert digits.images.dtype == torch.uint8
    assert digits.labels is not None
    assert digits.labels.dtype == torch.int64
    assert digits.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert digits.labels.bincount().tolist() == COUNTS
    assert digits.images.float().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)  # the figure everyone knows


def test_the_test_set() -> None:
    digits = mnist("test")
    assert (len(digits), digits.shape) == (10_000, (1, 28, 28))
    assert digits.labels is not None
    assert digits.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_images_are_read_as_the_file_has_them() -> None:
    raw = gzip.decompress((MNIST / IMAGES).read_bytes())
    at = 16 + 784 * 1234
    assert bytes(mnist("test").images[1234].flatten().tolist()) == raw[at : at + 784]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the test set."""
    for name in (IMAGES, LABELS):
        shutil.copy(MNIST / name, tmp_path)
    return tmp_path


def test_a_copy_is_as_good(folder: Path) -> None:
    assert torch.equal(mnist("test", folder).images, mnist("test").images)


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("damage", ["flipped byte", "cut short", "longer", "empty", "another of the four"])
def test_a_damaged_file_is_named(name: str, damage: str, folder: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    if damage == "flipped byte":
        data[len(data) // 2] ^= 1
    elif damage == "another of the four":
        data = bytearray((folder / (LABELS if name == IMAGES else IMAGES)).read_bytes())
    else:
        data = {"cut short": data[:-1], "longer": data + b"\0", "empty": bytearray()}[damage]
    (folder / name).write_bytes(data)
    expected = f"{name} is damaged.*{hashlib.sha256(data).hexdigest()[:12]}.*{CHECKSUMS[name][:12]}.*Check out"
    with pytest.raises(ImageDataError, match=expected):
        mnist("test", folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ImageDataError, match=f"{name} is missing.*Check out"):
        mnist("test", folder)


def test_a_file_of_another_name_is_refused(folder: Path) -> None:
    (folder / IMAGES).rename(folder / "other.gz")
    with pytest.raises(ImageDataError, match=r"other\.gz is damaged"):
        read_idx(folder / "other.gz")


# ---- Bytes and units


def test_every_byte_there_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    x = to_unit(every)
    assert x.dtype == torch.float32
    assert (x[0].item(), x[255].item()) == (-1, 1)
    assert torch.allclose(x.double(), torch.linspace(-1, 1, 256, dtype=torch.float64), atol=1e-6)
    assert torch.equal(to_bytes(x), every)


@given(st.floats(-10, 10))
def test_bytes_are_the_nearest_and_clamped(value: float) -> None:
    byte = to_bytes(torch.tensor(value, dtype=torch.float64)).item()
    assert abs(byte - min(255, max(0, (value + 1) * 127.5))) <= 0.5 + 1e-9


def test_indexing_gives_what_a_network_sees() -> None:
    digits = mnist("test")
    index = torch.tensor([3, 0, 3])
    assert torch.equal(digits[index], digits.images[index].float() / 127.5 - 1)
    assert digits[:2].shape == (2, 1, 28, 28)


# ---- Other sizes


def test_half_the_size_is_the_mean_of_blocks() -> None:
    digits = mnist("test")
    small = digits.resized(14)
    blocks = digits.images.double().reshape(10_000, 1, 14, 2, 14, 2).mean((3, 5))
    assert torch.equal(small.images, blocks.round().to(torch.uint8))
    assert (small.shape, small.classes, small.name) == ((1, 14, 14), DIGITS, "MNIST")
    assert small.labels is digits.labels


def test_the_same_size_is_the_same_set() -> None:
    digits = mnist("test")
    assert digits.resized(28) is digits


def test_resizing_keeps_colours_apart() -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[:, 1] = 200
    assert ImageSet("green", images).resized(4).images.flatten(2).unique(dim=2).flatten().tolist() == [0, 200, 0]
