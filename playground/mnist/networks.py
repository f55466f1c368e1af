"""Which network learns the images: four kinds, one interface, `network(x, alpha, sigma, labels) -> prediction`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from playground.diffusion.knobs import check_types
from playground.mnist.classic import ClassicUNet, Norm
from playground.mnist.dit import DiT
from playground.mnist.unet import SmallUNet
from playground.mnist.unet2d import DiffusersUNet
from playground.refusal import Refusal

Kind = Literal["small", "classic", "unet2d", "dit"]
KINDS: dict[Kind, str] = {
    "small": "Small U-Net (the one that ships)",
    "classic": "Classic U-Net (the course notebook's)",
    "unet2d": "diffusers' UNet2DModel",
    "dit": "Diffusion transformer (DiT)",
}
MAX_PARAMETERS = 40_000_000  # the course notebook's own network has 32 million
NARROW = 128  # no network this narrow has too many, and to count them first takes torch 2 s the first time


_SEEDING = threading.Lock()


class NetworkError(Refusal):
    """No such network; the message says which knob to turn."""


@dataclass(frozen=True)
class NetworkConfig:
    """The network's shape. Knobs that a kind does not have are left alone by it."""

    kind: Kind = "small"
    channels: tuple[int, ...] = (64, 128)  # at each level of a U-Net, from the image down; the first is a DiT's width
    patch: int = 2  # pixels folded into channels first: a quarter of the places, and of the work
    norm: Norm = "group"  # classic: batch norm mixes the images of a batch; group norm does not (Wu & He 2018)
    residual: bool = True  # classic: a way around every two convolutions (He et al. 2016)
    attention: bool = True  # classic and unet2d: every place looks at every other, at the lowest resolution
    depth: int = 6  # DiT: transformer blocks

    def __post_init__(self) -> None:
        given: Any = self.channels
        if isinstance(given, list):  # JSON has no tuples
            object.__setattr__(self, "channels", tuple(given))
        check_types(self, NetworkError)
        if self.kind not in KINDS or self.norm not in get_args(Norm):
            raise NetworkError(f"The network is one of {', '.join(KINDS)}, its norm group or batch.")
        if not 1 <= len(self.channels) <= 5 or not all(isinstance(c, int) and 8 <= c <= 1_024 for c in self.channels):
            raise NetworkError("A network has 1 to 5 levels of 8 … 1,024 channels.")
        if any(c % 8 for c in self.channels):
            raise NetworkError("Channels come in groups of 8: 32, 64, 96, 128 …")
        if self.patch not in (1, 2, 4) or not 1 <= self.depth <= 24:
            raise NetworkError("The patch is 1, 2 or 4 pixels wide, a transformer's depth 1 … 24.")

    @property
    def multiple(self) -> int:
        """Image sides must be multiples of this many pixels, two or more."""
        halvings = 0 if self.kind == "dit" else len(self.channels) - 1
        return int(2**halvings) * (1 if self.kind in ("classic", "unet2d") else self.patch)


def make_network(config: NetworkConfig, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """A fresh network for images of `shape` (C, H, W) and `classes` classes (0: none). Raises NetworkError."""
    channels, height, width = shape
    unit = config.multiple
    # At 1×1 a norm of one image has nothing to compare with, and attention nowhere to look.
    if height % unit or width % unit or min(height, width) < 2 * unit:
        raise NetworkError(
            f"This network needs sides that are multiples of {unit} pixels, at least {2 * unit}: {height}×{width} does "
            f"not fit. Resize to {max(2, round(height / unit)) * unit}, or take fewer levels or a smaller patch."
        )
    levels = config.channels
    makers: dict[Kind, Callable[[], nn.Module]] = {
        "small": lambda: SmallUNet(classes, channels, levels, config.patch),
        "classic": lambda: ClassicUNet(classes, channels, levels, config.norm, config.residual, config.attention),
        "unet2d": lambda: DiffusersUNet(classes, shape, levels, config.attention),
        "dit": lambda: DiT(classes, shape, levels[0], config.depth, config.patch),
    }
    if max(config.channels) > NARROW:
        with torch.device("meta"):  # shapes without memory: one that is refused might take gigabytes
            count = sum(p.numel() for p in makers[config.kind]().parameters())
        if count > MAX_PARAMETERS:
            raise NetworkError(f"{count:,} weights are too many here: at most {MAX_PARAMETERS:,}. Take fewer channels.")
    # torch's own first weights come from the generator that all of torch shares: it is lent a seed, and put back.
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return makers[config.kind]()
