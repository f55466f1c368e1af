"""The denoising loop: a text encoder, a U-Net called again and again, a scheduler between the calls, and a VAE.

A pipeline of diffusers hides these steps; here each is handed out as it is made. With the same seeds and scheduler the
image is the pipeline's, bit for bit: StableDiffusionPipeline's, StableDiffusionImg2ImgPipeline's where there is an
`init_image`, StableDiffusionInpaintPipeline's where there is a `mask` too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import level, step_arguments
from playground.diffusion.prediction import Prediction, to_eps, to_x0
from playground.diffusion.samplers import SAMPLERS
from playground.refusal import Refusal
from playground.stable_diffusion import limits, schedulers, speed
from playground.stable_diffusion.attention import Recorder, recording
from playground.stable_diffusion.devices import Clock, free_memory, out_of_memory
from playground.stable_diffusion.initial_latents import initial_latents
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.preview import decode, linear, to_rgb
from playground.stable_diffusion.request import Request

# What diffusers calls the three things a U-Net may have learnt to predict
PREDICTIONS: dict[str, Prediction] = {"epsilon": "noise", "sample": "x0", "v_prediction": "v"}

NOT_FINITE = (
    "At step {step} of {total} the latents were no numbers any more (NaN): the network overflowed. Lower the guidance "
    "scale, take more steps or another scheduler."
)
FLAGGED = "The model's safety checker blackened a picture. Another seed or prompt may pass."


class GenerationError(Refusal):
    """A run broke off; the message says why, and what helps."""


class OutOfMemory(GenerationError):
    """The device's memory was not enough; it is free again. `smaller`: a request that needs less, if there is one."""

    def __init__(self, message: str, smaller: Request | None) -> None:
        super().__init__(message)
        self.smaller = smaller


@dataclass(frozen=True, eq=False)
class DenoisingStep:
    """Where the latents stand, and what the U-Net makes of them; all tensors float32 in main memory.

    Of the last step, the latents are the result and the images the pictures. Schedulers that call the U-Net twice a
    step (Heun, DPM2) give one step for both calls.
    """

    index: int  # k = 0 … total
    total: int
    t: float  # timestep; -1 at the end
    alpha: float  # x_t = α x_0 + σ ε with α² + σ² = 1
    sigma: float
    latents: Tensor  # x_t (N, C, h, w), on that scale even where the scheduler has another
    x0: Tensor  # x̂_0 (N, C, h, w), guided
    eps_cond: Tensor  # ε̂ with the words (N, C, h, w)
    eps_uncond: Tensor | None  # and without, or with the negative prompt; None where nothing guides
    # (N, 3, H, W) in [0, 1]: x̂_0 decoded, at the end by the VAE, until then by its quicker copy if there is one;
    # (N, 3, h, w) by the linear map; None without preview
    images: Tensor | None
    attention: Tensor | None  # (N, tokens, h, w): the share each token has at each place, where asked for
    seeds: tuple[int, ...]
    calls: int  # of the U-Net so far; a guided one is a doubled batch
    seconds: float  # of computing so far, what the caller does between two steps not counted
    parts: dict[str, float]  # those seconds by part: text_encoder, unet, scheduler, vae
    flagged: tuple[bool, ...] = ()  # at the end: pictures that the safety checker blackened
    words: str = ""  # what a visitor should know about this step

    @property
    def guidance(self) -> Tensor | None:
        """The direction in which the words pull: ε_cond - ε_uncond (N, C, h, w)."""
        return None if self.eps_uncond is None else self.eps_cond - self.eps_uncond

    @property
    def guidance_norm(self) -> Tensor:
        """Its Euclidean length (N,); 0 where nothing guides."""
        guidance = self.guidance
        return torch.zeros(len(self.eps_cond)) if guidance is None else guidance.flatten(1).norm(dim=1)


def generate(
    loaded: Loaded, request: Request, init_image: Tensor | None = None, mask: Tensor | None = None
) -> Iterator[DenoisingStep]:
    """Draw `request`, a step at a time. `init_image` (3, H, W) in [0, 1]: what to start from (SDEdit, Meng et al.
    2022); `mask` (H, W), True where to repaint.

    Raises RequestError, SamplerError, GenerationError, OutOfMemory.
    """
    limits.check(loaded, request, init_image, mask)
    steps = denoise(loaded, request, init_image, mask)
    return _watched(loaded, request, steps if loaded.offload is None else loaded.offload.run(steps))


def _watched(loaded: Loaded, request: Request, steps: Iterator[DenoisingStep]) -> Iterator[DenoisingStep]:
    """The same steps, timed for the next run. Where a step does not fit into memory, the memory is freed, and the error
    says what to do.
    """
    while True:
        full = False
        try:
            step = next(steps)
        except StopIteration:
            return
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            full = True  # raised outside of the handler, whose traceback keeps everything of the run in memory
        if full:
            free_memory(loaded.plan.device)
            raise OutOfMemory(*limits.smaller(loaded, request))
        speed.learn(loaded, request, step.calls, step.parts["unet"])
        yield step


@torch.no_grad()
def denoise(
    loaded: Loaded, request: Request, init_image: Tensor | None, mask: Tensor | None
) -> Iterator[DenoisingStep]:
    """The loop itself, for a request that was checked."""
    clock = Clock(loaded.plan.device)
    with clock.time("text_encoder"):
        words = encode(loaded, request)  # (2N, tokens, width), those without words first; (N, …) where nothing guides
    row = SAMPLERS[request.scheduler]
    scheduler = schedulers.make(request.scheduler, loaded.scheduler_config, request.steps, loaded.plan.device)
    generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
    extra = step_arguments(scheduler, generators)
    with clock.time("vae"):
        start = initial_latents(loaded, request, scheduler, generators, init_image, mask)
    x, timesteps, order = start.x, scheduler.timesteps[start.first :], scheduler.order  # x on the scheduler's own scale
    total = -(-len(timesteps) // order)
    prediction = PREDICTIONS[scheduler.config.prediction_type]
    unet = loaded.pipeline.unet if request.attention else loaded.fast_unet
    recorder = Recorder(request.images, *x.shape[-2:]) if request.attention else None

    for call, t in enumerate(timesteps):
        model_input = scheduler.scale_model_input(torch.cat([x] * 2) if request.guided else x, t)
        first_call = call % order == 0  # the second call of a step is not shown, and its maps are not recorded
        with clock.time("unet"), recording(recorder if first_call else None):
            output = unet(model_input, t, encoder_hidden_states=words, return_dict=False)[0]
        without, with_words = output.chunk(2) if request.guided else (None, output)
        if without is not None:
            output = without + request.guidance_scale * (with_words - without)  # Ho & Salimans 2022, equation 6

        if first_call:
            alpha, sigma = (float(value) for value in level(scheduler, row, start.first + call, t))
            z = model_input[-request.images :].float()  # α² + σ² = 1
            x0 = to_x0(prediction, output.float(), z, alpha, sigma)
            if not x0.isfinite().all():
                raise GenerationError(NOT_FINITE.format(step=call // order + 1, total=total))
            eps_cond = as_eps(prediction, with_words, z, alpha, sigma)
            eps_uncond = None if without is None else as_eps(prediction, without, z, alpha, sigma)
            with clock.time("vae"):
                images, note = preview(loaded, request, x0)
            yield DenoisingStep(
                index=call // order,
                total=total,
                t=float(t),
                alpha=alpha,
                sigma=sigma,
                latents=z.to("cpu", copy=True),
                x0=x0.cpu(),
                eps_cond=eps_cond,
                eps_uncond=eps_uncond,
                images=images,
                attention=None if recorder is None else recorder.maps(),
                seeds=request.seeds,
                calls=call + 1,
                seconds=sum(clock.parts.values()),
                parts=dict(clock.parts),
                words=note,
            )

        with clock.time("scheduler"):
            x = scheduler.step(output, t, x, **extra, return_dict=False)[0]
            x = start.restore_known(x, scheduler, timesteps[call + 1 : call + 2])

    if not x.isfinite().all():
        raise GenerationError(NOT_FINITE.format(step=total, total=total))
    with clock.time("vae"):
        decoded, note = decode(loaded.pipeline.vae, x, loaded.float32_vae)
        images, flagged = checked(loaded, decoded)
    notes = [note, FLAGGED if any(flagged) else ""]
    # Measured on the tiny model; a run that starts from a picture takes shorter steps.
    if init_image is None and loaded.model.name == "tiny":
        notes.append(row.note(request.steps))
    yield DenoisingStep(
        index=total,
        total=total,
        t=-1.0,
        alpha=1.0,
        sigma=0.0,
        latents=x.float().cpu(),
        x0=x.float().cpu(),
        eps_cond=eps_cond,
        eps_uncond=eps_uncond,
        images=images,
        attention=None,
        seeds=request.seeds,
        calls=call + 1,
        seconds=sum(clock.parts.values()),
        parts=dict(clock.parts),
        flagged=flagged,
        words=" ".join(filter(None, notes)),
    )


def as_eps(prediction: Prediction, output: Tensor, z: Tensor, alpha: float, sigma: float) -> Tensor:
    """The U-Net's output (N, C, h, w) as noise ε̂, float32 in main memory."""
    if prediction == "noise":
        return output.to("cpu", torch.float32, copy=True)
    return to_eps(to_x0(prediction, output.float(), z, alpha, sigma), z, alpha, sigma).cpu()


def encode(loaded: Loaded, request: Request) -> Tensor:
    """What the U-Net sees of the words: (N, tokens, width), with guidance (2N, tokens, width), unconditional first."""
    texts = [request.negative_prompt, request.prompt] if request.guided else [request.prompt]
    pipeline, states = loaded.pipeline, []
    for text in texts:
        with loaded.tokenizing:
            ids = pipeline.tokenizer(
                text,
                padding="max_length",
                max_length=pipeline.tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids
        states.append(pipeline.text_encoder(ids.to(loaded.plan.device))[0].repeat(request.images, 1, 1))
    return torch.cat(states).to(pipeline.unet.dtype)


def preview(loaded: Loaded, request: Request, x0: Tensor) -> tuple[Tensor | None, str]:
    """What x̂_0 (N, C, h, w) looks like, in the way that the request asks for, and a note where it needed one."""
    if request.preview == "none":
        return None, ""
    if request.preview == "linear" or loaded.plan.offload:  # offloaded, the VAE would travel at every step
        return linear(loaded.linear_map, x0), ""
    if loaded.preview_decoder is not None:
        return to_rgb(loaded.preview_decoder(x0.to(loaded.plan.dtype))), ""
    images, note = decode(loaded.pipeline.vae, x0, loaded.float32_vae)
    return to_rgb(images), note


def checked(loaded: Loaded, decoded: Tensor) -> tuple[Tensor, tuple[bool, ...]]:
    """The pictures (N, 3, H, W) in [0, 1], and which of them the model's safety checker, if any, has blackened."""
    if loaded.pipeline.safety_checker is None:
        return to_rgb(decoded), (False,) * len(decoded)
    decoded, found = loaded.pipeline.run_safety_checker(decoded, loaded.plan.device, loaded.pipeline.unet.dtype)
    flagged = torch.tensor(found)
    return torch.where(flagged[:, None, None, None], 0.0, to_rgb(decoded)), tuple(flagged.tolist())
