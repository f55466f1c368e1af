"""diffusers' schedulers as the playground's samplers, each on the timesteps of a schedule that it visits."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampler import KARRAS_SPACING, Sampler, SamplerError
from playground.diffusion.sampling_config import SamplingConfig

_IMPORTING = threading.Lock()


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


def scheduler_class(row: Sampler) -> Any:
    """diffusers' class of a row. Raises SamplerError where there is none."""
    if not row.class_name:
        raise SamplerError(f"{row.title} is not one of diffusers' schedulers.")
    return getattr(import_diffusers(row.class_name), row.class_name)


def class_arguments(row: Sampler, own_knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What of `own_knobs` the class is constructed with; the rest goes to each step."""
    known = inspect.signature(scheduler_class(row).__init__).parameters
    return {name: value for name, value in own_knobs.items() if name in known}


def step_arguments(scheduler: Any, generator: Any, own_knobs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `scheduler.step` takes besides the output, the timestep and x: the generator, and its own knobs."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in ({"generator": generator} | dict(own_knobs or {})).items() if name in known}


def make_scheduler(schedule: NoiseSchedule, config: SamplingConfig) -> Any:
    """The diffusers scheduler of `config`, its timesteps set; a new one for every run.

    It is built on the table of just the timesteps it visits, and visits all of it: on the whole table DDIM and PNDM
    step T // steps down, which is not where the next timestep is unless `steps` divides T.

    Raises SamplerError.
    """
    row, spacing = config.row, config.where
    made = scheduler_class(row)
    config.check(len(schedule), schedule.zero_terminal_snr)
    # Karras spacing makes levels of its own between the table's ends: linspace visits both.
    visited = spaced_timesteps(len(schedule), config.steps, spacing)
    alphas_cumprod = schedule.alphas_cumprod[visited]
    options = {**row.options, **row.table_options, **class_arguments(row, config.own_knobs)}
    known = inspect.signature(made.__init__).parameters
    if "timestep_spacing" in known:
        options["timestep_spacing"] = "trailing"
    if spacing == KARRAS_SPACING:
        options["use_karras_sigmas"] = True
    scheduler = made(num_train_timesteps=config.steps, prediction_type=row.prediction_type, **options)
    # float64 and not by way of β, which diffusers rounds to float32: 1 - ᾱ or 1 - β would be 0 for some schedules.
    scheduler.alphas_cumprod = alphas_cumprod.clone()
    if alphas_cumprod[-1] == 0 and hasattr(scheduler, "sigmas"):  # finite σ/α, and above the one before
        scheduler.alphas_cumprod[-1] = min(2.0**-24, float(alphas_cumprod[-2]) / 4)
    if "timestep_spacing" in known or spacing == KARRAS_SPACING:
        scheduler.set_timesteps(config.steps)
    else:  # this class has one spacing of its own, but can be told its timesteps
        scheduler.set_timesteps(timesteps=list(range(config.steps - 1, -1, -1)))
    if hasattr(scheduler, "sigmas") and scheduler.sigmas[-1] > 0:  # it ends at the table's least noise, not at none
        scheduler.sigmas[-1] = (schedule.sigmas[0] / schedule.alphas[0]).float()
    if row.stochastic and hasattr(scheduler, "sigmas"):
        _take_noise_apart_in_float64(scheduler)
    begin_at(scheduler, 0)
    return scheduler


def _take_noise_apart_in_float64(scheduler: Any) -> None:
    """How much of the next σ/α is walked (down) and how much is added as noise (up): down² = σ'² - up² in diffusers,
    which float32 rounds to 0 or below where σ is far above the next level σ', and the samples are no numbers.
    """
    scheduler.sigmas = scheduler.sigmas.double()  # of those that take it apart at each step
    if hasattr(scheduler, "sigmas_down"):  # and of those that do so beforehand, each level but the first twice
        sigma = scheduler.sigmas[::2]
        after = torch.cat([sigma[1:], sigma[-1:]])
        levels = {
            "sigmas_up": after * (1 - (after / sigma).square()).sqrt(),
            "sigmas_down": after.square() / sigma,
            "sigmas_interpol": after,  # √(σ · down), the middle of the way in ln σ
        }
        for name, values in levels.items():
            values = values.nan_to_num(0.0)  # 0/0 behind the end
            setattr(scheduler, name, torch.cat([values[:1], values[1:].repeat_interleave(2), values[-1:]]))


def begin_at(scheduler: Any, call: int) -> None:
    """Let call number `call` be the first: looked up by timestep, Karras spacing may have rounded two to one."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(call)


def level(scheduler: Any, row: Sampler, call: int, t: Tensor) -> tuple[Tensor, Tensor]:
    """(α, σ) of one call, α² + σ² = 1, float64, from the scheduler's own tables: with Karras spacing its timesteps and
    sigmas disagree. Of the call that is next: between two places a class may stand at a level of neither.
    """
    if hasattr(scheduler, "sigmas"):
        sigmas = scheduler.sigmas
        if row.interpolated is not None and not scheduler.state_in_first_order:
            sigmas, call = scheduler.sigmas_interpol, call + row.interpolated
        ratio = sigmas[call].double()
        alpha = 1 / (1 + ratio.square()).sqrt()
        return alpha, ratio * alpha
    alpha_cumprod = scheduler.alphas_cumprod[int(t)].double()
    return alpha_cumprod.sqrt(), (1 - alpha_cumprod).sqrt()
