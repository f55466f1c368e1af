"""What a trained network can be asked for: new images, changed ones, filled-in ones, and the ways between two."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import spaced_timesteps
from playground.diffusion.knobs import check_types
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampling import (
    Denoiser,
    SamplePath,
    SamplerError,
    SampleStep,
    SamplingConfig,
    sample,
    sample_from,
    slerp,
    start_noise,
    steps_from,
)
from playground.diffusion.schedule_config import SCHEDULE_FIELDS, ScheduleConfig, knob_fields
from playground.mnist.weights import ImageModel
from playground.refusal import Refusal
from playground.settings import SETTINGS

MODEL_SCHEDULE = ScheduleConfig("cosine")  # what the model that ships was trained on
SAMPLING_KNOBS = {knob.name for knob in dataclasses.fields(SamplingConfig)}


class GenerateError(Refusal):
    """This cannot be drawn; the message says which knob to turn."""


def thinned(path: SamplePath, states: int) -> SamplePath:
    """At most `states` of the path's, evenly spaced, the first and the last among them, in half precision."""
    kept = torch.linspace(0, len(path.t) - 1, min(states, len(path.t))).round().long()
    return dataclasses.replace(
        path,
        x=path.x[kept].half(),
        x0=path.x0[kept].half(),
        eps=path.eps[kept].half(),
        t=path.t[kept],
        alpha=path.alpha[kept],
        sigma=path.sigma[kept],
    )


@dataclass(frozen=True)
class Request:
    """What to draw and how; every field a knob. The defaults suit the model that ships.

    `labels`: a class for each image, or None to leave the class open; `n` counts only there.
    """

    labels: tuple[int, ...] | None = None
    n: int = 16
    seed: int = 0
    guidance_scale: float = 1.0  # as in diffusers: 1 is none; the paper's w is this less 1
    schedule: ScheduleConfig = MODEL_SCHEDULE
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        check_types(self, GenerateError)

    @classmethod
    def of(cls, labels: Any = None, n: int = 16, **knobs: Any) -> Request:
        """A request from keywords, those of SamplingConfig and ScheduleConfig among them; `schedule` is one of these,
        or a name. Raises GenerateError for an unknown one.
        """
        sampling = {k: knobs.pop(k) for k in SAMPLING_KNOBS & set(knobs)}
        knobs["schedule"] = schedule_of(knobs.pop("schedule", MODEL_SCHEDULE), knobs)
        known = {knob.name for knob in dataclasses.fields(cls)} - {"sampling"}
        if unknown := set(knobs) - known:
            raise GenerateError(f"No such knob: {', '.join(sorted(unknown))}.")
        if labels is not None:
            labels = tuple(torch.as_tensor(labels).reshape(-1).tolist())
            n = len(labels)
        return cls(labels=labels, n=n, sampling=SamplingConfig(**sampling), **knobs)

    def calls(self, strength: float = 1.0) -> int:
        """Network calls for each image, of the last `strength` of the steps."""
        walked = steps_from(self.sampling.steps, strength)
        return self.sampling.calls_of(walked) * (2 if is_guided(self) else 1)

    def check(self, model: ImageModel, rounds: int = 1, strength: float = 1.0) -> Tensor | None:
        """The labels (N,) as a tensor, all of it within bounds: each call made `rounds` times, of the last `strength`
        of the steps. Raises GenerateError.
        """
        calls = self.calls(strength) * rounds
        if not 1 <= self.n <= SETTINGS.max_images:
            raise GenerateError(f"Between 1 and {SETTINGS.max_images} images at a time; not {self.n}.")
        if not 0 <= self.seed < 2**32:
            raise GenerateError(f"The seed must be a whole number from 0 to 2³² - 1; it is {self.seed}.")
        if not 0 <= self.guidance_scale <= 20:
            raise GenerateError(f"The guidance scale must lie in 0 … 20; it is {self.guidance_scale}.")
        if self.n * calls > SETTINGS.max_image_calls:
            raise GenerateError(
                f"{self.n} images × {calls:,} network calls are too many at once: take fewer of either "
                f"(at most {SETTINGS.max_image_calls:,} together)."
            )
        if self.labels is None:
            return None
        if not model.classes:
            raise GenerateError("This model knows no classes: leave the class open.")
        if not all(isinstance(c, int) and 0 <= c < len(model.classes) for c in self.labels):
            raise GenerateError(f"Classes run from 0 to {len(model.classes) - 1} ({', '.join(model.classes)}).")
        return torch.tensor(self.labels)

    def noise(self, model: ImageModel) -> Tensor:
        """The start noise (N, C, H, W) of the seed: the same first images, whatever n."""
        return start_noise(self.n, math.prod(model.shape), self.seed).reshape(self.n, *model.shape)

    def random(self) -> torch.Generator:
        """For everything random after the start."""
        return torch.Generator().manual_seed(self.seed + 1)


def schedule_of(schedule: ScheduleConfig | str, knobs: dict[str, Any]) -> ScheduleConfig:
    """`schedule`, or the one of this name, with what of `knobs` is a schedule's: that is taken out of them.

    Raises GenerateError, ScheduleError.
    """
    config = ScheduleConfig(schedule) if isinstance(schedule, str) else schedule
    if not isinstance(config, ScheduleConfig):
        raise GenerateError("The schedule is a name or a ScheduleConfig.")
    own = {name: knobs.pop(name) for name in {*SCHEDULE_FIELDS[1:], *knob_fields()} & knobs.keys()}
    return dataclasses.replace(config, **own)


def counted(steps: Iterator[SampleStep], guided: bool) -> Iterator[SampleStep]:
    """The steps, each call counted twice where a guided one asks the network twice."""
    for step in steps:
        yield dataclasses.replace(step, calls=step.calls * 2) if guided else step


def is_guided(request: Request) -> bool:
    """Whether every step asks the network twice."""
    return request.labels is not None and request.guidance_scale != 1.0


def generate(model: ImageModel, request: Request) -> Iterator[SampleStep]:
    """New images from noise. Raises GenerateError, ScheduleError, SamplerError."""
    labels = request.check(model)
    denoise = model.denoiser(labels, request.guidance_scale)
    steps = sample(denoise, request.schedule.make(), request.noise(model), request.sampling, request.random())
    yield from counted(steps, is_guided(request))


def edit(model: ImageModel, request: Request, x0: Tensor, strength: float) -> Iterator[SampleStep]:
    """SDEdit (Meng et al. 2022): `x0` (C, H, W) or (N, C, H, W), noised to where the last `strength` of the steps
    begins, and back.
    """
    if not 0 < strength <= 1:
        raise GenerateError("How far into the noise: more than 0, at most 1.")
    labels, schedule = request.check(model, strength=strength), request.schedule.make()
    x0 = _for_each(x0, model, request.n)
    denoise = model.denoiser(labels, request.guidance_scale)
    run = sample_from(x0, request.noise(model), strength, denoise, schedule, request.sampling, request.random())
    yield from counted(run, is_guided(request))


def _for_each(x0: Tensor, model: ImageModel, n: int) -> Tensor:
    """`x0` (C, H, W) or (N, C, H, W) as (n, C, H, W). Raises GenerateError where it is of another size or number."""
    if x0.shape[-3:] != model.shape or x0.shape[:-3] not in ((), (1,), (n,)):
        wanted = "×".join(map(str, model.shape))
        raise GenerateError(f"This model starts from one image of {wanted}, or from {n}; not from {tuple(x0.shape)}.")
    return x0.expand(n, *model.shape)


def inpaint(model: ImageModel, request: Request, x0: Tensor, mask: Tensor, resample: int = 4) -> Iterator[SampleStep]:
    """RePaint (Lugmayr et al. 2022, algorithm 1): `mask` (…, H, W) is True where to paint anew; the rest stays `x0`.

    At each step the known part is the real image noised to that level, the unknown part a DDPM step; `resample` times
    over, each but the last followed by a step back into the noise, so that the two grow together.
    """
    if mask.all() or not mask.any():
        raise GenerateError("The mask covers everything or nothing: paint over a part of the image.")
    if resample not in range(1, 11):
        raise GenerateError("Each step is repeated 1 to 10 times.")
    labels, schedule, rng = request.check(model, resample), request.schedule.make(), request.random()
    if request.sampling.steps > len(schedule):
        raise SamplerError(f"{request.sampling.steps} steps do not fit into a schedule of T = {len(schedule)}.")
    if mask.shape[-2:] != model.shape[1:]:
        raise GenerateError(f"The mask must have the image's {model.shape[1]}×{model.shape[2]} pixels.")
    unknown = mask.expand(request.n, *model.shape)
    x0 = _for_each(x0, model, request.n)
    denoise = model.denoiser(labels, request.guidance_scale)
    yield from counted(_repaint(denoise, schedule, request, x0, unknown, resample, rng, model), is_guided(request))


@torch.no_grad()
def _repaint(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    request: Request,
    known: Tensor,
    unknown: Tensor,
    resample: int,
    rng: torch.Generator,
    model: ImageModel,
) -> Iterator[SampleStep]:
    visited = spaced_timesteps(len(schedule), request.sampling.steps, "trailing").flip(0).tolist()
    x, calls = request.noise(model), 0
    for k, t in enumerate(visited):
        alpha_bar = schedule.alphas_cumprod[t].float()
        before = schedule.alphas_cumprod[visited[k + 1]].float() if k + 1 < len(visited) else torch.tensor(1.0)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        one_step = alpha_bar / before  # ᾱ_t / ᾱ_{t-1}, the α_t of Ho et al.
        for round_ in range(resample):
            x0 = denoise(x, alpha, sigma)
            calls += 1
            if round_ == 0:
                eps = to_eps(x0, x, alpha, sigma)
                yield SampleStep(k, float(t), float(alpha), float(sigma), x, x0, eps, calls)
            # Ho et al. 2020, equation 7: the posterior q(x_{t-1} | x_t, x̂_0)
            mean = (before.sqrt() * (1 - one_step) * x0 + one_step.sqrt() * (1 - before) * x) / (1 - alpha_bar)
            deviation = ((1 - before) / (1 - alpha_bar) * (1 - one_step)).sqrt()
            drawn = mean + deviation * torch.randn(x.shape, generator=rng)
            kept = before.sqrt() * known + (1 - before).sqrt() * torch.randn(x.shape, generator=rng)
            x = torch.where(unknown, drawn, kept)
            if round_ < resample - 1 and k + 1 < len(visited):
                x = one_step.sqrt() * x + (1 - one_step).sqrt() * torch.randn(x.shape, generator=rng)
            else:
                break
    yield SampleStep(len(visited), -1.0, 1.0, 0.0, x, x, eps, calls)


def between_noises(model: ImageModel, request: Request, other_seed: int) -> Iterator[SampleStep]:
    """`request.n` images along the sphere from the noise of one seed to that of another, all of one class."""
    labels = request.check(model)
    dataclasses.replace(request, seed=other_seed).check(model)
    a, b = (dataclasses.replace(request, n=1, seed=seed).noise(model) for seed in (request.seed, other_seed))
    x = torch.cat([slerp(a, b, weight) for weight in torch.linspace(0, 1, request.n).tolist()])
    denoise = model.denoiser(labels, request.guidance_scale)
    steps = sample(denoise, request.schedule.make(), x, request.sampling, request.random())
    yield from counted(steps, is_guided(request))


def between_classes(model: ImageModel, request: Request, one: int, other: int) -> Iterator[SampleStep]:
    """`request.n` images from the same noise, on the way from one class to the other: w goes from 0 to 1 in
    x̂0 = (1 - w) x̂0(one) + w x̂0(other).
    """
    request = dataclasses.replace(request, labels=(one,) * request.n)
    first = request.check(model, rounds=2)
    second = dataclasses.replace(request, labels=(other,) * request.n).check(model)
    begin = model.denoiser(first, request.guidance_scale)
    end = model.denoiser(second, request.guidance_scale)
    weight = torch.linspace(0, 1, request.n).reshape(-1, 1, 1, 1)

    def denoise(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return torch.lerp(begin(x, alpha, sigma), end(x, alpha, sigma), weight)

    x = dataclasses.replace(request, n=1).noise(model).expand(request.n, *model.shape)
    for step in sample(denoise, request.schedule.make(), x, request.sampling, request.random()):
        yield dataclasses.replace(step, calls=step.calls * (4 if request.guidance_scale != 1 else 2))
