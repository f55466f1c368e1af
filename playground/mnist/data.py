"""Images to learn from. All of MNIST lies in assets/mnist; datasets.py brings any other set into the same form."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from playground.refusal import Refusal

MNIST = Path(__file__).resolve().parents[2] / "assets" / "mnist"
DIGITS = tuple("0123456789")
Split = Literal["train", "test"]
CHECKSUMS = {  # SHA-256 of the four canonical files
    "train-images-idx3-ubyte.gz": "71524e2cd1ad2968737f7f2f2ff69cbfc32df8ccddff51593f7cb2d4e0eb5b64",
    "train-labels-idx1-ubyte.gz": "fe03b8bd7915f70bf5aa08be480aa413fbd85afcaa58b35d230d335f284fd88e",
    "t10k-images-idx3-ubyte.gz": "5634745efa576a17e7d4cf5cd9d09123c75e6538e5114267c2d156edaf519341",
    "t10k-labels-idx1-ubyte.gz": "ae18e77e031ccde52407f794d123116439864147d33ac992975f85dd4dc42af6",
}


class ImageDataError(Refusal):
    """These images cannot be used; the message says which, and what to do."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """`images` (N, C, H, W) uint8; `labels` (N,) int64 or None; `classes`: their names."""

    name: str
    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.images.shape[1], self.images.shape[2], self.images.shape[3]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """The images at `index` as a network sees them: x_0, (n, C, H, W) float32 in [-1, 1]."""
        return to_unit(self.images[index])

    def resized(self, size: int) -> ImageSet:
        """The same images at size × size, averaged over the area of each new pixel."""
        if self.shape[1:] == (size, size):
            return self
        chunks = [F.interpolate(part.float(), (size, size), mode="area") for part in self.images.split(10_000)]
        return dataclasses.replace(self, images=torch.cat(chunks).round().to(torch.uint8))


def to_unit(images: Tensor) -> Tensor:
    """uint8 0 … 255 → float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(x: Tensor) -> Tensor:
    """[-1, 1], clamped → uint8 0 … 255."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def mnist(split: Split = "train", folder: Path = MNIST) -> ImageSet:
    """MNIST's 60,000 training or 10,000 test digits, with their labels. Raises ImageDataError for a damaged file."""
    return _mnist(split, folder)


@lru_cache(maxsize=4)
def _mnist(split: Split, folder: Path) -> ImageSet:
    stem = "train" if split == "train" else "t10k"
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    return ImageSet("MNIST", images[:, None], labels.long(), DIGITS)


def read_idx(path: Path) -> Tensor:
    """The uint8 array of an IDX file: two zeros, a type, the number of axes, their lengths, the values.

    Raises ImageDataError, naming the file, when it is missing or is not the one it should be.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise ImageDataError(f"{path.name} is missing from assets/mnist. Check out the repository again.") from error
    found, expected = hashlib.sha256(packed).hexdigest(), CHECKSUMS.get(path.name)
    if found != expected:
        raise ImageDataError(
            f"{path.name} is damaged: its SHA-256 begins with {found[:12]} where {str(expected)[:12]} is right. "
            "Check out the file again."
        )
    data = gzip.decompress(packed)
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, offset=4)
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape.tolist()).copy())
