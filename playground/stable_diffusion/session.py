"""One visitor's session in the Stable Diffusion tab: the pictures drawn so far, and the run on show."""

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
COLUMNS = 20
SHEET_SIDE = 96  # pixels of a preview


@dataclass(frozen=True, eq=False)
class GalleryPicture:
    """A finished picture of the gallery. `number` counts up and is never used again."""

    number: int
    png: bytes
    parameters: Parameters


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Small previews (N, 3, 96, 96) in bytes of at most twenty steps of a run; a whole step is megabytes."""

    seed: int
    previews: list[Tensor] = field(default_factory=list)

    def add(self, step: DenoisingStep) -> None:
        """Add this step's previews, if it is one of the evenly spaced steps that are shown."""
        last = min(COLUMNS - 1, step.total)
        if step.images is not None and step.index in {round(k * step.total / last) for k in range(last + 1)}:
            small = F.interpolate(step.images, (SHEET_SIDE, SHEET_SIDE), mode="nearest")
            self.previews.append((small * 255).round().to("cpu", torch.uint8))


@dataclass
class StableDiffusionSession:
    """Made when a page opens; holds nothing of a model."""

    gallery: list[GalleryPicture] = field(default_factory=list)  # the newest last
    contact_sheet: ContactSheet | None = None  # of the run on show
    runs: int = 0  # under way; more than one while an old run has not noticed the new one
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy(self) -> bool:
        """Whether there is something to lose."""
        return bool(self.gallery)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around a run."""
        with self._lock:
            self.runs += 1
        try:
            yield
        finally:
            with self._lock:
                self.runs -= 1

    def keep(self, step: DenoisingStep, request: Request, model: str, kind: Kind = "text") -> list[GalleryPicture]:
        """Add the pictures of a run's last step to the gallery, each with its own seed; the oldest make room."""
        if step.images is None:
            return []
        kept = []
        for image, seed in zip(step.images, step.seeds, strict=True):
            parameters = Parameters(model, dataclasses.replace(request, seeds=(seed,)), kind)
            png = to_png(image, parameters)
            with self._lock:
                self._made += 1
                kept.append(GalleryPicture(self._made, png, parameters))
                self.gallery.append(kept[-1])
                while len(self.gallery) > 1 and self._full():
                    del self.gallery[0]
        return kept

    def _full(self) -> bool:
        size = sum(len(picture.png) for picture in self.gallery)
        return size > SETTINGS.max_gallery_bytes or len(self.gallery) > SETTINGS.max_gallery_pictures

    def find(self, number: int) -> GalleryPicture | None:
        """The picture of that number, if it is still there."""
        return next((picture for picture in self.gallery if picture.number == number), None)


def queued(loaded: Loaded, steps: Iterator[Step]) -> Iterator[Step | Waiting]:
    """The steps of a run, each computed when its device's queue says so. A small model on the processor also takes
    turns with the runs of the other tabs; a step of a large one is too long for that, and computes outside of Python.
    """
    if loaded.plan.device == "cpu" and loaded.model.bytes < SMALL:
        steps = in_turns(steps)
    return DEVICE_QUEUES[loaded.plan.device].run(steps)
