"""What is on one visitor's stage: the run under way, what the page was sent of it, and the picture to start from."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar

import gradio as gr
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from playground.sessions import Visitor
from playground.stable_diffusion import DenoisingStep, Request, RequestError
from playground.ui.shared.notices import Update
from playground.ui.stable_diffusion.knobs import DrawSettings, StartFrom

Step = TypeVar("Step")
MASK_SIDE = 128  # pixels of the canvas on which a part is covered
MAX_PIXELS_TEXT = 30_000  # characters of base64: 128×128 bytes are 21,848


@dataclass(frozen=True, eq=False)
class InitialImage:
    """A picture (3, H, W) in [0, 1] to start from, its `title`, and where (H, W) it is to be repainted."""

    image: Tensor
    title: str
    mask: Tensor | None = None
    opened: bool = False  # from a file, and offered until it is used or dropped

    def resized(self, height: int, width: int) -> tuple[Tensor, Tensor | None]:
        """Picture and mask at this size."""
        image, mask = self.image[None], self.mask
        if image.shape[-2:] != (height, width):
            image = F.interpolate(image, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
        if mask is not None:
            mask = F.adaptive_avg_pool2d(mask[None].float(), (height, width))[0] > 0.5
        return image[0], mask


@dataclass(eq=False)
class StageState:
    """Made when the tab is first opened. A new run ends the one before it at its next step."""

    model: str = ""  # chosen in the tab, and loaded
    run: int = 0  # counted: messages of an earlier one are stale
    stopped: bool = False  # cleared when a new run is asked for: Stop also counts while its model is being loaded
    messages: list[str] = field(default_factory=list)  # of this run, in case the page misses one
    cells: dict[tuple[int, int], str] = field(default_factory=dict)  # likewise, of a grid
    initial_image: InitialImage | None = None
    knobs: list[Any] = field(default_factory=list)  # as they stood at the last run
    smaller: Request | None = None  # what may fit, after the memory was not enough
    lock: threading.Lock = field(default_factory=threading.Lock)

    def new_run(self) -> int:
        """The number of a new run."""
        with self.lock:
            self.run += 1
            self.smaller = None
            self.messages, self.cells = [], {}
            return self.run

    def remember(self, message: str) -> str:
        """`message`, which the page may ask for again."""
        self.messages.append(message)
        return message

    def start(self, start_from: StartFrom, height: int, width: int) -> tuple[Tensor | None, Tensor | None, str]:
        """Picture, mask and title of what a run starts from. Raises RequestError."""
        if start_from == "noise":
            return None, None, ""
        if self.initial_image is None or (start_from == "inpaint" and self.initial_image.mask is None):
            button = "Repaint" if start_from == "inpaint" else "Start from it"
            raise RequestError(f"There is no picture to start from yet: choose one and press “{button}”.")
        image, mask = self.initial_image.resized(height, width)
        return image, mask if start_from == "inpaint" else None, self.initial_image.title


Visit = tuple[Visitor, StageState]
VisitOf = Callable[[gr.Request], Visit]  # raises Gone
Put = Callable[[DrawSettings], Update]  # sets all knobs of the tab


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


@contextmanager
def closing(steps: Iterator[Step]) -> Iterator[Iterator[Step]]:
    """`steps`, closed at the end whatever happens: a run has to leave its device's queue."""
    try:
        yield steps
    finally:
        if isinstance(steps, Generator):
            steps.close()


def interleaved(runs: list[Iterator[DenoisingStep]]) -> Iterator[tuple[int, DenoisingStep]]:
    """The steps of several runs in turn, each with its run's index."""
    for steps in zip_longest(*runs):
        for run, step in enumerate(steps):
            if step is not None:
                yield run, step
