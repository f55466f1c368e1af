"""diffusers' schedulers as the playground's samplers, each on the timesteps of a schedule that it visits."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.sampling_config import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedules import NoiseSchedule

_IMPORTING = threading.Lock()
SCHEDULER_CLASSES = tuple(
    f"{name}Scheduler"
    for name in ("DDPM", "DDIM", "PNDM", "DPMSolverMultistep", "UniPCMultistep", "HeunDiscrete", "EulerDiscrete")
)


def import_diffusers(*names: str) -> Any:
    """diffusers, its classes `names` loaded. Here rather than above: it costs seconds, and a page should be up before.

    One thread at a time: when two import it at once, its lazy loading leaves names missing for good.
    """
    with _IMPORTING:
        import diffusers

        for name in names:
            getattr(diffusers, name)
        return diffusers


def spaced_timesteps(T: int, steps: int, spacing: str) -> Tensor:
    """(steps,) the timesteps that sampling visits, rising. Lin et al. 2023, table 2, names the three ways."""
    k = torch.arange(steps, dtype=torch.float64)
    match spacing:
        case "leading":
            return (k * (T // steps)).long()
        case "trailing":
            return (T - (steps - 1 - k) * T / steps).round().long() - 1
    return (k * (T - 1) / (steps - 1)).round().long()  # linspace


def make_scheduler(schedule: NoiseSchedule, config: SamplingConfig) -> Any:
    """The diffusers scheduler of `config`, its timesteps set; a new one for every run.

    It is built on the table of just the timesteps it visits, and visits all of it: on the whole table DDIM and PNDM
    step T // steps down, which is not where the next timestep is unless `steps` divides T.
    """
    diffusers = import_diffusers(*SCHEDULER_CLASSES)
    sampler = SAMPLERS[config.sampler]
    if config.steps > len(schedule):
        raise SamplerError(f"{config.steps} sampling steps do not fit into a schedule of T = {len(schedule)}.")
    spacing = sampler.spacings[0] if config.spacing == "default" else config.spacing
    # Karras spacing makes levels of its own between the table's ends: linspace visits both.
    visited = spaced_timesteps(len(schedule), config.steps, spacing)
    schedule = NoiseSchedule(schedule.name, schedule.alphas[visited], schedule.sigmas[visited])
    if schedule.zero_terminal_snr and not sampler.zero_terminal_snr:
        raise SamplerError(
            f"{sampler.title} cannot start where no signal is left (zero terminal SNR). "
            "Choose DPM-Solver++, DDIM, DDPM, UniPC or Euler, or switch zero terminal SNR off."
        )
    common: dict[str, Any] = {
        "num_train_timesteps": config.steps,
        "timestep_spacing": "trailing",
        # PNDM's multistep average is over ε in the paper; every other class turns its input into x̂_0 or ε itself, and
        # v stays finite where α or σ is tiny.
        "prediction_type": "epsilon" if config.sampler == "pndm" else "v_prediction",
    }
    karras = {"use_karras_sigmas": spacing == "karras"}
    scheduler: Any
    match config.sampler:
        case "ddpm":
            scheduler = diffusers.DDPMScheduler(**common, variance_type=config.variance, clip_sample=False)
        case "ddim":
            scheduler = diffusers.DDIMScheduler(**common, clip_sample=False)
        case "pndm":
            scheduler = diffusers.PNDMScheduler(**common, skip_prk_steps=True, set_alpha_to_one=True)
        case "dpm++":
            scheduler = diffusers.DPMSolverMultistepScheduler(**common, **karras)
        case "unipc":
            scheduler = diffusers.UniPCMultistepScheduler(**common, **karras)
        case "heun":
            scheduler = diffusers.HeunDiscreteScheduler(**common, **karras)
        case "euler":
            scheduler = diffusers.EulerDiscreteScheduler(**common, **karras)
        case _:
            raise SamplerError(f"{sampler.title} is not one of diffusers' schedulers.")
    # float64 and not by way of β, which diffusers rounds to float32: 1 - ᾱ or 1 - β would be 0 for some schedules.
    scheduler.alphas_cumprod = schedule.alphas_cumprod.clone()
    if schedule.zero_terminal_snr and hasattr(scheduler, "sigmas"):  # finite σ/α, and above the one before
        scheduler.alphas_cumprod[-1] = min(2.0**-24, float(schedule.alphas_cumprod[-2]) / 4)
    scheduler.set_timesteps(config.steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else looked up by timestep, and rounded Karras spacing may hold the first twice
    return scheduler
