"""What a visitor asks for, as one frozen record, and the work it stands for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.sampling import SAMPLERS, SamplePath, SampleStep, SamplingConfig
from playground.diffusion.schedule_config import CUSTOM
from playground.mnist import cold, generate
from playground.mnist.data import DIGITS, ImageDataError, mnist
from playground.mnist.desk import Desk
from playground.mnist.generate import Request
from playground.mnist.judge import reads
from playground.mnist.lab import ForwardTable
from playground.mnist.live import LiveConfig
from playground.mnist.networks import NetworkConfig
from playground.turns import in_turns

ALL = "all"  # one of each class
OPEN = "open"  # no class asked for
IMAGES = 16
NEW_FROM = {"blur": cold.T, "pixelate": 16}  # at 20 a mosaic is one brightness, and its digits are all alike
SAID_EVERY = 0.2  # seconds between two words on progress
READ_LEVELS = 24  # noise levels at which the reader looks at the images that sink into noise


@dataclass(frozen=True)
class Wishes:
    """Everything that the tab's knobs say; the defaults are what the page opens with."""

    digit: str = ALL
    guidance_scale: float = 2.0
    seed: int = 0
    sampler: str = "dpm++"
    steps: int = 20
    schedule: str = "linear"
    timesteps: int = 1_000
    rescale_betas_zero_snr: bool = False
    custom_schedule: Any = None  # what schedule "custom" is, as ScheduleConfig.to_dict has it
    spacing: str = "default"
    eta: float = 0.0
    begin: str = "noise"
    strength: float = 0.4
    resample: int = 4
    other_seed: int = 1
    other_digit: str = "8"
    learn: str = "mnist"
    size: int = 14
    network: str = "recipe"
    prediction: str = "v"
    noise_levels: str = "angle"
    learning_rate: float = 2e-3
    batch_size: int = 64
    label_dropout: float = 0.1

    def labels(self, classes: int = 10) -> tuple[int, ...] | None:
        """A class for each of the sixteen images, of a model that knows so many; None leaves them open."""
        if self.digit == OPEN or not classes:
            return None
        return tuple(k % classes if self.digit == ALL else int(self.digit) for k in range(IMAGES))

    def request(self, classes: int = 10) -> Request:
        """What to draw. Raises SamplerError for a sampler without such a spacing, ScheduleError for no schedule."""
        return Request(
            labels=self.labels(classes),
            n=IMAGES,
            seed=self.seed,
            guidance_scale=self.guidance_scale,
            schedule=self.schedule,
            timesteps=self.timesteps,
            rescale_betas_zero_snr=self.rescale_betas_zero_snr,
            custom_schedule=self.custom_schedule,
            sampling=SamplingConfig(self.sampler, self.steps, self.spacing, self.eta),
        )


@dataclass(frozen=True)
class Job:
    """Steps to come, how many about, and what they are. `beside`: states to show next to them, already there."""

    steps: Iterator[SampleStep]
    total: int
    title: str
    labels: Tensor | None
    beside: list[SampleStep] = dataclasses.field(default_factory=list)
    beside_title: str = ""


def work_on(desk: Desk, wish: Wishes) -> Job:
    """What `wish` starts from, as work to be done. Raises ValueErrors that say what is missing."""
    model = desk.lab.model
    request = wish.request(len(model.classes))
    labels = None if request.labels is None else torch.tensor(request.labels)
    title, total = f"{SAMPLERS[wish.sampler].title}, {wish.steps:,} steps", wish.steps
    match wish.begin:
        case "drawing":
            if desk.drawing is None:
                raise ImageDataError("Draw a digit on the stage first: it is what SDEdit starts from.")
            steps = generate.edit(model, request, desk.drawing, wish.strength)
            return Job(steps, total, f"SDEdit from t = {wish.strength:.0%} · {title}", labels)
        case "mask":
            if desk.mask is None:
                raise ImageDataError("Paint over a part of a digit first: press “Repaint a part” on the stage.")
            which, mask = desk.mask
            x0, _ = desk.images()
            if x0.shape[1:] != model.shape:
                raise ImageDataError("Only MNIST's digits can be repainted: go back to them (Images).")
            steps = generate.inpaint(model, request, x0[which % len(x0)], mask, wish.resample)
            return Job(steps, total, f"RePaint, {wish.steps:,} steps", labels)
        case "noises":
            if wish.digit == ALL and labels is not None:  # one class all the way, or nothing is to be seen of it
                labels = torch.zeros_like(labels)
                request = dataclasses.replace(request, labels=(0,) * IMAGES)
            steps = generate.between_noises(model, request, wish.other_seed)
            return Job(steps, total, f"From the noise of seed {wish.seed} to that of {wish.other_seed}", labels)
        case "classes":
            one, other = 0 if wish.digit in (ALL, OPEN) else int(wish.digit), int(wish.other_digit)
            steps = generate.between_classes(model, request, one, other)
            return Job(steps, total, f"From {one} to {other}, one noise", None)
        case "blur" | "pixelate":
            return _cold(desk, wish, labels, request.timesteps - 1)
    return Job(generate.generate(model, request), total, title, labels)


def _cold(desk: Desk, wish: Wishes, labels: Tensor | None, last: int) -> Job:
    """Cold diffusion: the drawing where there is one, else the digits on the desk, degraded and restored."""
    kind: cold.Kind = "blur" if wish.begin == "blur" else "pixelate"
    restorer, degradation = cold.load_restorer(kind)
    start = max(1, round(wish.strength * cold.T))
    if start == cold.T:  # nothing is left of any digit: this makes new ones
        start = NEW_FROM[kind]
        rng = torch.Generator().manual_seed(wish.seed)
        wanted = torch.arange(IMAGES) % 10 if labels is None else labels
        x = cold.draw_degraded(degradation, start, mnist(), wanted, rng)
        naive = list(_warm(cold.restore(restorer, degradation, x, start, "naive", wanted), last))
        better = _warm(cold.restore(restorer, degradation, x, start, labels=wanted), last)
        return Job(better, start, "Algorithm 2", wanted, naive, "Algorithm 1 (naive)")
    x0, real = desk.images()
    if desk.drawing is not None:
        x0, real = desk.drawing.expand(IMAGES, -1, -1, -1), None
    if not readable(x0, DIGITS):
        raise ImageDataError("Only grey digits of 28×28 can be restored: go back to MNIST's (Images), or draw one.")
    forward = [
        SampleStep(start - s, last * s / cold.T if s else -1.0, float(s == 0), float(s > 0), x, x0, x, 0)
        for s in range(start, -1, -1)
        for x in [degradation(x0, s)]
    ]
    back = _warm(cold.restore(restorer, degradation, forward[0].x, start), last)
    return Job(back, start, "restored", real, forward, f"{'blurred' if kind == 'blur' else 'coarse'} (the real digits)")


def _warm(steps: Iterator[cold.ColdStep], last: int) -> Iterator[SampleStep]:
    """Cold steps for the same stage: all that is not x̂_0 is the degraded image itself, and no noise is in it."""
    for s in steps:
        t = last * s.severity / cold.T if s.severity else -1.0
        yield SampleStep(
            s.index, t, float(s.severity == 0), float(s.severity > 0), s.x, s.x0, s.x, s.index + (s.severity > 0)
        )


def collected(job: Job) -> Iterator[list[SampleStep]]:
    """The job's states so far, now and then while it goes on, and all of them at the end. They take turns."""
    steps: list[SampleStep] = []
    said = time.perf_counter()
    for step in in_turns(job.steps):
        steps.append(step)
        if time.perf_counter() - said > SAID_EVERY:
            said = time.perf_counter()
            yield steps
    yield steps


def compared(request: Request, by: str, value: str) -> tuple[Request, str]:
    """`request` with one thing changed, and its title. Raises ValueErrors that say what is wrong."""
    if by == "sampler":
        sampling = dataclasses.replace(request.sampling, sampler=value, spacing="default")
        return dataclasses.replace(request, sampling=sampling), SAMPLERS[value].title
    if by == "schedule":
        changed = dataclasses.replace(request, schedule=value)
        return changed, changed.brought.title if value == CUSTOM else f"{value} schedule"
    if by == "steps":
        sampling = dataclasses.replace(request.sampling, steps=int(value))
        return dataclasses.replace(request, sampling=sampling), f"{value} steps"
    return dataclasses.replace(request, guidance_scale=float(value)), f"guidance {value}"


def live_config(desk: Desk, wish: Wishes) -> LiveConfig:
    """How to train live. Raises ValueErrors that say what is missing."""
    if wish.learn == "drawn":
        if not desk.drawn:
            raise ImageDataError("Draw digits first: press “Draw a digit” on the stage, then “Teach it this”.")
        return LiveConfig.teach(desk.lab.shipped, torch.stack(desk.drawn), torch.tensor(desk.drawn_labels), wish.seed)
    data = None
    if wish.learn == "upload":
        if desk.uploaded is None:
            raise ImageDataError("Upload images first (Images), or learn from MNIST.")
        data = desk.uploaded
    knobs: dict[str, Any] = {
        name: getattr(wish, name)
        for name in ("prediction", "noise_levels", "learning_rate", "batch_size", "label_dropout")
    }
    config = LiveConfig.scratch(wish.size, wish.seed, data, **knobs)
    if wish.network != "recipe":
        config = dataclasses.replace(config, network=OTHER_NETWORKS[wish.network])
    return config


OTHER_NETWORKS = {  # small ones: a batch of 64 must not take a second
    "classic": NetworkConfig("classic", (32, 64), patch=1, norm="batch", residual=False, attention=False),
    "unet2d": NetworkConfig("unet2d", (32, 64), patch=1),
    "dit": NetworkConfig("dit", (64,), patch=2, depth=4),
}


def readable(x: Tensor, classes: tuple[str, ...]) -> bool:
    """Whether the reader can look at images (…, C, H, W): it knows 28×28 greys, and nothing but digits."""
    return x.shape[-3:] == (1, 28, 28) and classes == DIGITS


def reads_forward(table: ForwardTable, classes: tuple[str, ...] = DIGITS) -> tuple[Tensor | None, Tensor | None]:
    """What the reader sees in x_t: (R, N, 10) probabilities at timesteps (R,); None for what it cannot read."""
    if not readable(table.x0, classes):
        return None, None
    t = torch.linspace(0, len(table.schedule) - 1, READ_LEVELS).round().long()
    x = torch.cat([table.at(int(k)) for k in t])
    return reads(x).reshape(len(t), len(table.x0), -1), t.float()


def reads_along(path: SamplePath, classes: tuple[str, ...] = DIGITS) -> Tensor | None:
    """What the reader sees in x̂_0 on the way: (K+1, N, 10) probabilities; None for what it cannot read."""
    shape = path.x0.shape[:2]
    return reads(path.x0.flatten(0, 1).float()).reshape(*shape, -1) if readable(path.x0, classes) else None
