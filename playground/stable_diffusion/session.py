"""What one visitor has on the session in the Stable Diffusion tab: the pictures of this session and the run on show."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from playground.fair_lock import in_turns
from playground.settings import SETTINGS
from playground.stable_diffusion.device_queue import DEVICE_QUEUES, Waiting
from playground.stable_diffusion.devices import SMALL
from playground.stable_diffusion.generation import DenoisingStep
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.picture import Kind, Parameters, to_png
from playground.stable_diffusion.request import Request

Step = TypeVar("Step")
COLUMNS = 20  # of a contact sheet
SHEET_SIDE = 96  # pixels of a picture there


@dataclass(frozen=True, eq=False)
class Kept:
    """A finished picture of the gallery. `number` counts up and is never used again."""

    number: int
    png: bytes
    parameters: Parameters


@dataclass(frozen=True, eq=False)
class Strip:
    """What a contact sheet shows of a run: small previews (N, 3, 96, 96) in bytes, of at most twenty steps. The steps
    themselves are megabytes each.
    """

    seed: int
    previews: list[Tensor] = field(default_factory=list)

    def add(self, step: DenoisingStep) -> None:
        """Keep what this step looks like, if it is one of those that share the run out evenly."""
        last = min(COLUMNS - 1, step.total)
        if step.images is not None and step.index in {round(k * step.total / last) for k in range(last + 1)}:
            small = F.interpolate(step.images, (SHEET_SIDE, SHEET_SIDE), mode="nearest")
            self.previews.append((small * 255).round().to("cpu", torch.uint8))


@dataclass
class StableDiffusionSession:
    """Made when a page opens; nothing of a model is in it."""

    gallery: list[Kept] = field(default_factory=list)  # the newest last
    strip: Strip | None = None  # of the run on show
    runs: int = 0  # at work; more than one while an old run has not noticed the new one
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy(self) -> bool:
        """Whether there is something to lose."""
        return bool(self.gallery)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A run is on."""
        with self._lock:
            self.runs += 1
        try:
            yield
        finally:
            with self._lock:
                self.runs -= 1

    def keep(self, step: DenoisingStep, request: Request, model: str, kind: Kind = "text") -> list[Kept]:
        """Put the pictures of a run's last step into the gallery, each with its own seed, the oldest making room."""
        if step.images is None:
            return []
        kept = []
        for image, seed in zip(step.images, step.seeds, strict=True):
            parameters = Parameters(model, dataclasses.replace(request, seeds=(seed,)), kind)
            png = to_png(image, parameters)
            with self._lock:
                self._made += 1
                kept.append(Kept(self._made, png, parameters))
                self.gallery.append(kept[-1])
                while len(self.gallery) > 1 and self._full():
                    del self.gallery[0]
        return kept

    def _full(self) -> bool:
        size = sum(len(kept.png) for kept in self.gallery)
        return size > SETTINGS.max_gallery_bytes or len(self.gallery) > SETTINGS.max_gallery_pictures

    def find(self, number: int) -> Kept | None:
        """The picture of that number, if it is still there."""
        return next((kept for kept in self.gallery if kept.number == number), None)


def queued(loaded: Loaded, steps: Iterator[Step]) -> Iterator[Step | Waiting]:
    """The steps of a run in the order of its device's line. A small model on the processor takes turns with the other
    tabs' runs as well; a large one's step is too long for that, and computes outside of Python.
    """
    if loaded.plan.device == "cpu" and loaded.model.bytes < SMALL:
        steps = in_turns(steps)
    return DEVICE_QUEUES[loaded.plan.device].run(steps)
