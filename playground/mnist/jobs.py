"""The MNIST tab's settings turned into jobs: drawing, editing, restoring, training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.sampling import SAMPLERS, SamplePath, SampleStep, steps_from
from playground.fair_lock import in_turns
from playground.mnist import cold, generate
from playground.mnist.data import DIGITS, ImageDataError, mnist
from playground.mnist.generate import Request
from playground.mnist.judge import reads
from playground.mnist.lab import ForwardTable
from playground.mnist.live import LiveConfig
from playground.mnist.networks import NetworkConfig
from playground.mnist.session import MnistSession
from playground.mnist.settings import ALL, IMAGES, OPEN, MnistSettings

NEW_FROM = {"blur": cold.T, "pixelate": 16}  # at 20 a mosaic is one brightness, and its digits are all alike
SAID_EVERY = 0.2  # seconds between two reports of progress
READ_LEVELS = 24  # noise levels at which the reader looks at images that are turning into noise


@dataclass(frozen=True)
class Job:
    """The `steps` to take, about `total` of them. `beside`: states, computed already, to show next to them."""

    steps: Iterator[SampleStep]
    total: int
    title: str
    labels: Tensor | None
    beside: list[SampleStep] = dataclasses.field(default_factory=list)
    beside_title: str = ""


def work_on(session: MnistSession, settings: MnistSettings) -> Job:
    """The job that `settings` describe. Raises a Refusal that says what is missing."""
    model = session.lab.model
    request = settings.request(len(model.classes))
    labels = None if request.labels is None else torch.tensor(request.labels)
    sampler, total = SAMPLERS[settings.sampler].title, settings.steps
    title = f"{sampler}, {total:,} steps"
    match settings.begin:
        case "drawing":
            if session.drawing is None:
                raise ImageDataError("Draw a digit on the stage first: it is what SDEdit starts from.")
            steps = generate.edit(model, request, session.drawing, settings.strength)
            walked = steps_from(settings.steps, settings.strength)
            return Job(steps, walked, f"SDEdit, the last {walked:,} of {settings.steps:,} steps · {sampler}", labels)
        case "mask":
            if session.mask is None:
                raise ImageDataError("Paint over a part of a digit first: press “Repaint a part” on the stage.")
            which, mask = session.mask
            x0, _ = session.images()
            if x0.shape[1:] != model.shape:
                raise ImageDataError("Only MNIST's digits can be repainted: go back to them (Images).")
            steps = generate.inpaint(model, request, x0[which % len(x0)], mask, settings.resample)
            return Job(steps, total, f"RePaint, {settings.steps:,} steps", labels)
        case "noises":
            if settings.digit == ALL and labels is not None:  # one class all the way, or nothing is to be seen of it
                labels = torch.zeros_like(labels)
                request = dataclasses.replace(request, labels=(0,) * IMAGES)
            steps = generate.between_noises(model, request, settings.other_seed)
            return Job(steps, total, f"From the noise of seed {settings.seed} to that of {settings.other_seed}", labels)
        case "classes":
            one, other = 0 if settings.digit in (ALL, OPEN) else int(settings.digit), int(settings.other_digit)
            steps = generate.between_classes(model, request, one, other)
            return Job(steps, total, f"From {one} to {other}, one noise", None)
        case "blur" | "pixelate":
            return _cold(session, settings, labels, request.schedule.timesteps - 1)
    return Job(generate.generate(model, request), total, title, labels)


def _cold(session: MnistSession, settings: MnistSettings, labels: Tensor | None, last: int) -> Job:
    """Cold diffusion: the drawing if there is one, else the digits on show, degraded and restored."""
    kind: cold.Kind = "blur" if settings.begin == "blur" else "pixelate"
    restorer, degradation = cold.load_restorer(kind)
    start = max(1, round(settings.strength * cold.T))
    if start == cold.T:  # nothing is left of any digit: this makes new ones
        start = NEW_FROM[kind]
        rng = torch.Generator().manual_seed(settings.seed)
        wanted = torch.arange(IMAGES) % 10 if labels is None else labels
        x = cold.draw_degraded(degradation, start, mnist(), wanted, rng)
        naive = list(_as_sample_steps(cold.restore(restorer, degradation, x, start, "naive", wanted), last))
        better = _as_sample_steps(cold.restore(restorer, degradation, x, start, labels=wanted), last)
        return Job(better, start, "Algorithm 2", wanted, naive, "Algorithm 1 (naive)")
    x0, real = session.images()
    if session.drawing is not None:
        x0, real = session.drawing.expand(IMAGES, -1, -1, -1), None
    if not readable(x0, DIGITS):
        raise ImageDataError("Only grey digits of 28×28 can be restored: go back to MNIST's (Images), or draw one.")
    forward = [
        SampleStep(start - s, last * s / cold.T if s else -1.0, float(s == 0), float(s > 0), x, x0, x, 0)
        for s in range(start, -1, -1)
        for x in [degradation(x0, s)]
    ]
    back = _as_sample_steps(cold.restore(restorer, degradation, forward[0].x, start), last)
    return Job(back, start, "restored", real, forward, f"{'blurred' if kind == 'blur' else 'coarse'} (the real digits)")


def _as_sample_steps(steps: Iterator[cold.ColdStep], last: int) -> Iterator[SampleStep]:
    """Steps of cold diffusion for the same stage: there is no noise, so ε̂ is the degraded image itself."""
    for s in steps:
        t = last * s.severity / cold.T if s.severity else -1.0
        yield SampleStep(
            s.index, t, float(s.severity == 0), float(s.severity > 0), s.x, s.x0, s.x, s.index + (s.severity > 0)
        )


def collected(job: Job) -> Iterator[list[SampleStep]]:
    """The job's states so far, every now and then, and all of them at the end. Jobs share the compute lock fairly."""
    steps: list[SampleStep] = []
    said = time.perf_counter()
    for step in in_turns(job.steps):
        steps.append(step)
        if time.perf_counter() - said > SAID_EVERY:
            said = time.perf_counter()
            yield steps
    yield steps


def compared(request: Request, by: str, value: str) -> tuple[Request, str]:
    """`request` with one thing changed, and its title. Raises a Refusal that says what is wrong."""
    if by == "sampler":
        sampling = dataclasses.replace(request.sampling, sampler=value, spacing="default")
        return dataclasses.replace(request, sampling=sampling), SAMPLERS[value].title
    if by == "schedule":
        # The one that is chosen already keeps its knobs; all share T and zero terminal SNR.
        schedule = dataclasses.replace(request.schedule, name=value)
        return dataclasses.replace(request, schedule=schedule), schedule.title
    if by == "steps":
        sampling = dataclasses.replace(request.sampling, steps=int(value))
        return dataclasses.replace(request, sampling=sampling), f"{value} steps"
    return dataclasses.replace(request, guidance_scale=float(value)), f"guidance {value}"


def live_config(session: MnistSession, settings: MnistSettings) -> LiveConfig:
    """How to train live. Raises a Refusal that says what is missing."""
    if settings.learn == "drawn":
        if not session.drawn:
            raise ImageDataError("Draw digits first: press “Draw a digit” on the stage, then “Teach it this”.")
        return LiveConfig.teach(
            session.lab.shipped, torch.stack(session.drawn), torch.tensor(session.drawn_labels), settings.seed
        )
    data = None
    if settings.learn == "upload":
        if session.uploaded is None:
            raise ImageDataError("Upload images first (Images), or learn from MNIST.")
        data = session.uploaded
    knobs: dict[str, Any] = {
        name: getattr(settings, name)
        for name in ("prediction", "noise_levels", "learning_rate", "batch_size", "label_dropout")
    }
    config = LiveConfig.scratch(settings.size, settings.seed, data, **knobs)
    if settings.network != "recipe":
        config = dataclasses.replace(config, network=OTHER_NETWORKS[settings.network])
    return config


OTHER_NETWORKS = {  # small ones: a batch of 64 must take well under a second
    "classic": NetworkConfig("classic", (32, 64), patch=1, norm="batch", residual=False, attention=False),
    "unet2d": NetworkConfig("unet2d", (32, 64), patch=1),
    "dit": NetworkConfig("dit", (64,), patch=2, depth=4),
}


def readable(x: Tensor, classes: tuple[str, ...]) -> bool:
    """Whether the reader can judge images (…, C, H, W): it knows grey 28×28 digits only."""
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
