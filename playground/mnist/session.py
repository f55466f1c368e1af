"""One visitor's session in the MNIST tab: the lab, what was drawn or uploaded, and the runs made last."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import SamplePath, start_noise
from playground.mnist.data import ImageDataError, ImageSet
from playground.mnist.lab import SHOWN, ForwardTable, MnistLab
from playground.mnist.live import Control

MAX_DRAWN = 30  # digits that a visitor may teach: more than anyone draws in a lesson


@dataclass(frozen=True)
class Made:
    """A run on show, thinned where it is long."""

    path: SamplePath
    title: str


@dataclass
class MnistSession:
    """Made when a page opens, its lab when the tab is first opened: loading a model takes half a second."""

    control: Control = field(default_factory=lambda: Control(paused=True))
    lock: threading.Lock = field(default_factory=threading.Lock)
    real_seed: int = 0
    uploaded: ImageSet | None = None
    drawing: Tensor | None = None  # (1, 28, 28): what to start from
    mask: tuple[int, Tensor] | None = None  # which of the shown digits, and where to paint anew
    drawn: list[Tensor] = field(default_factory=list)  # digits to teach
    drawn_labels: list[int] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)  # what is on show: one run, or those being compared
    comparisons: int = 0  # comparisons so far, so that the page knows which runs belong together
    asked: int = 0  # requests to draw so far: only the last one is still wanted
    opened: dict[str, Any] | None = None  # the live knobs when a saved run was opened: it goes on until one is turned
    runs: int = 0  # and which previews belong to the same training

    @cached_property
    def lab(self) -> MnistLab:
        """This visitor's lab."""
        return MnistLab()

    @property
    def busy(self) -> bool:
        """Whether there is something to lose."""
        if self.made or self.drawn or self.uploaded is not None:
            return True
        lab = self.__dict__.get("lab")  # not made for the asking
        return lab is not None and (lab.run is not None or not lab.draws_shipped)

    def shown(self, schedule: NoiseSchedule) -> ForwardTable:
        """The images that sink into noise, up to sixteen."""
        x0, labels = self.images()
        eps = start_noise(len(x0), x0[0].numel(), self.real_seed).reshape(x0.shape)
        return ForwardTable(x0, eps, labels, schedule)

    def images(self) -> tuple[Tensor, Tensor | None]:
        """Those images (N, C, H, W) in [-1, 1] and their labels (N,), where they have any."""
        if self.uploaded is None:
            return self.lab.real(self.real_seed)
        images = self.uploaded
        index = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.real_seed))[:SHOWN]
        return images[index], None if images.labels is None else images.labels[index]

    def teach(self, digit: Tensor, label: int) -> None:
        """Put a drawn digit (1, 28, 28) among those to be taught. Raises ImageDataError."""
        if len(self.drawn) >= MAX_DRAWN:
            raise ImageDataError(f"{MAX_DRAWN} drawn digits are on the session, the most there may be.")
        self.drawn.append(digit)
        self.drawn_labels.append(label)

    def ask(self) -> int:
        """The number of a new request to draw; earlier ones are no longer wanted."""
        with self.lock:
            self.asked += 1
            return self.asked

    def begin(self) -> Control:
        """A new run; whatever ran before stops at its next step."""
        with self.lock:
            self.control.paused = True
            self.control = Control()
            return self.control
