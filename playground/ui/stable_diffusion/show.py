"""What one visitor's Stable Diffusion stage shows: the run under way, what it was told, where the next one starts."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from playground.stable_diffusion import DenoisingStep, Request, RequestError
from playground.ui.stable_diffusion.knobs import Begin

Step = TypeVar("Step")
MASK_SIDE = 128  # of the sheet on which a part is covered
MAX_PIXELS_TEXT = 30_000  # characters of base64: 128×128 bytes are 21,848


@dataclass(frozen=True, eq=False)
class Beginning:
    """A picture (3, H, W) in [0, 1] to start from, and where (H, W) it is to be made anew."""

    image: Tensor
    words: str
    mask: Tensor | None = None
    opened: bool = False  # brought from a file, and offered until it is taken or dropped

    def at(self, height: int, width: int) -> tuple[Tensor, Tensor | None]:
        """Picture and mask at this size."""
        image, mask = self.image[None], self.mask
        if image.shape[-2:] != (height, width):
            image = F.interpolate(image, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
        if mask is not None:
            mask = F.adaptive_avg_pool2d(mask[None].float(), (height, width))[0] > 0.5
        return image[0], mask


@dataclass(eq=False)
class Show:
    """Made when the tab first opens. A new run makes the one before it stop at its next step."""

    model: str = ""  # in the tab's knobs, and loaded
    run: int = 0  # counted: messages of another one are stale
    stopped: bool = False  # cleared where a settings arrives: Stop counts while its model is still being loaded
    messages: list[str] = field(default_factory=list)  # of this run, should one get lost on the way
    cells: dict[tuple[int, int], str] = field(default_factory=dict)
    beginning: Beginning | None = None
    knobs: list[Any] = field(default_factory=list)  # as they stood when it last drew
    smaller: Request | None = None  # what may fit, after the memory did not suffice
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> int:
        """The number of a new run."""
        with self.lock:
            self.run += 1
            self.smaller = None
            self.messages, self.cells = [], {}
            return self.run

    def tell(self, message: str) -> str:
        """`message`, remembered."""
        self.messages.append(message)
        return message

    def start(self, begin: Begin, height: int, width: int) -> tuple[Tensor | None, Tensor | None, str]:
        """Picture, mask and words of what a run begins with. Raises RequestError."""
        if begin == "noise":
            return None, None, ""
        if self.beginning is None or (begin == "part" and self.beginning.mask is None):
            button = "Repaint" if begin == "part" else "Start from it"
            raise RequestError(f"There is no picture to start from yet: choose one and press “{button}”.")
        image, mask = self.beginning.at(height, width)
        return image, mask if begin == "part" else None, self.beginning.words


def mask_from_pixels(pixels: object) -> Tensor:
    """(128, 128) of bool from what the page sends: base64 of bytes, 255 where covered. Raises RequestError."""
    try:
        if not isinstance(pixels, str) or len(pixels) > MAX_PIXELS_TEXT:
            raise ValueError
        data = np.frombuffer(base64.b64decode(pixels, validate=True), np.uint8)
        covered = torch.from_numpy(data.reshape(MASK_SIDE, MASK_SIDE).copy()) > 127
    except (ValueError, binascii.Error) as error:
        raise RequestError("The covered part did not arrive. Cover it again.") from error
    if not covered.any() or covered.all():
        raise RequestError("Cover a part of the picture: neither nothing nor all of it.")
    return covered


def tell(what: str) -> str:
    """JavaScript that tells the stage of something done to a control of Gradio's."""
    return f'() => {{ document.dispatchEvent(new CustomEvent("playground:stable-diffusion-{what}")); }}'


@contextmanager
def ended(steps: Iterator[Step]) -> Iterator[Iterator[Step]]:
    """`steps`, closed in the end however it comes: a run has to leave its device's line."""
    try:
        yield steps
    finally:
        if isinstance(steps, Generator):
            steps.close()


def interleaved(runs: list[Iterator[DenoisingStep]]) -> Iterator[tuple[int, DenoisingStep]]:
    """The steps of several runs, one of each in turn, with the run's place."""
    for steps in zip_longest(*runs):
        for place, step in enumerate(steps):
            if step is not None:
                yield place, step
