"""A schedule and a sampler taken to diffusers: a snippet to paste, a scheduler_config.json, and what gets lost."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

import torch

from playground.diffusion.diffusers_schedulers import (
    class_arguments,
    import_diffusers,
    make_scheduler,
    scheduler_class,
    spaced_timesteps,
)
from playground.diffusion.noise_schedule import MAX_BETA, MIN_BETA
from playground.diffusion.sampler import KARRAS_SPACING
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.steps import where

SIGNIFICANT = 1e-3  # relative; less than this no picture shows

FROM_CUMPROD = "betas = 1 - alphas_cumprod / np.append(1, alphas_cumprod[:-1])"
CLIP = f"betas = betas.clip({MIN_BETA}, {MAX_BETA})"
# diffusers keeps β in float32, where 1 - β is 1 below half of the first number, and after its rescaling to zero
# terminal SNR below the second: σ would be 0, and the samples no numbers.
FLOAT32_BETA, FLOAT32_BETA_ZERO_SNR = 6e-8, 2.5e-7

LOOP = """\
    scheduler.set_timesteps({timesteps}){begin}


    def model(x, t):
        return torch.zeros_like(x)  # your network: what it predicts is {predicts}


    x = torch.randn(4, 2) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        output = model(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x{extra}).prev_sample
    """


BEGIN = "\nscheduler.set_begin_index(0)  # else looked up by timestep, and two that are rounded may be the same"


def snippet(config: ScheduleConfig, sampling: SamplingConfig) -> str:
    """Python that makes the scheduler with diffusers, and samples with it: it runs as it stands.

    Raises ScheduleError and SamplerError where there is nothing to make.
    """
    name, keywords = _constructor(config, sampling)
    by_formula = "trained_betas" in keywords
    lines = ["import numpy as np"] * by_formula + ["import torch", f"from diffusers import {name}", ""]
    lines.append(f"# {config.title}")
    if by_formula:
        lines += [f"T = {config.timesteps}", _formula(config)]
    arguments = "".join(f"    {key}={_literal(key, value)},\n" for key, value in keywords.items())
    own = {key: value for key, value in sampling.own_knobs.items() if key not in keywords and value}
    extra = "".join(f", {key}={value!r}" for key, value in own.items())
    predicts = "v = alpha eps - sigma x_0" if keywords["prediction_type"] == "v_prediction" else "the noise eps"
    begin = BEGIN if sampling.where == KARRAS_SPACING else ""
    loop = textwrap.dedent(LOOP).format(
        timesteps=_timesteps(config, sampling), begin=begin, predicts=predicts, extra=extra
    )
    return "\n".join([*lines, f"scheduler = {name}(\n{arguments})", loop])


def scheduler_config(config: ScheduleConfig, sampling: SamplingConfig) -> dict[str, Any]:
    """scheduler_config.json, for the class's `from_config` or `from_pretrained`: plain numbers, words and lists.

    Raises ScheduleError and SamplerError as `snippet`.
    """
    name, keywords = _constructor(config, sampling)
    return {"_class_name": name, "_diffusers_version": import_diffusers(name).__version__} | keywords


def notes(config: ScheduleConfig, sampling: SamplingConfig) -> tuple[str, ...]:
    """Where diffusers' scheduler is not exactly the playground's, in sentences; none where it is.

    Raises ScheduleError and SamplerError as `snippet`.
    """
    name, keywords = _constructor(config, sampling)
    schedule = config.make()
    theirs = getattr(import_diffusers(name), name)(**keywords)
    found = []
    if told := _told(config, sampling):
        theirs.set_timesteps(timesteps=told)
        found.append("No option of this class says where its steps fall: the snippet tells it, the file cannot.")
    else:
        theirs.set_timesteps(sampling.steps)
    kept = slice(None, -1) if schedule.zero_terminal_snr else slice(None)
    alphas_cumprod = theirs.alphas_cumprod.double()
    snr = (alphas_cumprod / (1 - alphas_cumprod))[kept]
    error = (snr / schedule.snr[kept] - 1).abs()
    if error.max() > SIGNIFICANT:
        t = int(error.argmax())
        found.append(
            f"diffusers keeps β in float32: the signal-to-noise ratio is off by up to {float(error.max()):.1%}, at "
            f"t = {t}. The playground's tables are float64."
        )
    if schedule.zero_terminal_snr and alphas_cumprod[-1] > 0:
        found.append("With zero terminal SNR this class keeps ᾱ at 2⁻²⁴ on the last timestep, for σ/α to be finite.")
    if hasattr(theirs, "sigmas_down") and not theirs.sigmas_down[:-5].log().isfinite().all():
        found.append(
            "From so much noise to the next level float32 cannot tell what is walked from what is added as noise: "
            "these samples are no numbers there. Take more steps."
        )
    if config.row.lost:
        found.append(config.row.lost)
    if len(theirs.timesteps) > 1 and theirs.timesteps[0] == theirs.timesteps[1]:
        found.append(
            f"Its first two timesteps, rounded, are both {theirs.timesteps[0]:.0f}, and by the number diffusers takes "
            "the second for the first: call set_begin_index(0) before the first step, as the snippet does."
        )
    visits = where(config, sampling)
    # With Karras spacing both divide the same range; what differs are timesteps rounded in two ways.
    if sampling.where != KARRAS_SPACING and not _same_steps(theirs.timesteps, visits.timesteps):
        found.append(
            f"Its steps fall elsewhere: t = {_few(theirs.timesteps.tolist())} in diffusers, {_few(visits.timesteps)} "
            "in the playground, which gives each sampler a table of just the timesteps it visits."
        )
    return tuple(found)


def _constructor(config: ScheduleConfig, sampling: SamplingConfig) -> tuple[str, dict[str, Any]]:
    """diffusers' class and its arguments, β by name where the class knows it, else as `trained_betas`."""
    make_scheduler(config.make(), sampling)  # what cannot be run is not handed out either
    row = sampling.row
    known = inspect.signature(scheduler_class(row).__init__).parameters
    keywords: dict[str, Any] = {"num_train_timesteps": config.timesteps} | _betas(config, sampling)
    if config.rescale_betas_zero_snr:
        keywords["rescale_betas_zero_snr"] = True
    # x_0 = (x - sigma eps) / alpha has no answer at alpha = 0
    keywords["prediction_type"] = "v_prediction" if config.rescale_betas_zero_snr else "epsilon"
    if sampling.where == KARRAS_SPACING:
        keywords["use_karras_sigmas"] = True
    elif "timestep_spacing" in known:
        keywords["timestep_spacing"] = sampling.where
    return row.class_name, {**keywords, **row.options, **row.table_options, **class_arguments(row, sampling.own_knobs)}


def _told(config: ScheduleConfig, sampling: SamplingConfig) -> list[int]:
    """The timesteps, falling, for a class that has no option for their spacing; none for the others."""
    known = inspect.signature(scheduler_class(sampling.row).__init__).parameters
    if sampling.where == KARRAS_SPACING or "timestep_spacing" in known:
        return []
    return [int(t) for t in spaced_timesteps(config.timesteps, sampling.steps, sampling.where).flip(0)]


def _timesteps(config: ScheduleConfig, sampling: SamplingConfig) -> str:
    """What `set_timesteps` is called with."""
    told = _told(config, sampling)
    return textwrap.fill(f"timesteps={told}", 110, subsequent_indent="    ") if told else str(sampling.steps)


def _betas(config: ScheduleConfig, sampling: SamplingConfig) -> dict[str, Any]:
    """β by name and numbers, or the whole table, before any rescaling to zero terminal SNR."""
    named = config.row.beta_schedule
    if named and _knows(sampling, named):
        numbers = {key: float(value) for key, value in config.knobs().items() if key.startswith("beta")}
        clipped = any(not MIN_BETA <= beta <= MAX_BETA for beta in numbers.values())
        if not clipped and all(key in numbers for key, _ in config.values):  # it has the paper's values of all others
            return {"beta_schedule": named, **numbers}
    plain = dataclasses.replace(config, rescale_betas_zero_snr=False)
    return {"trained_betas": plain.make().betas.clamp_min(_least_beta(config)).tolist()}


def _knows(sampling: SamplingConfig, beta_schedule: str) -> bool:
    """Whether the class has a β schedule of this name."""
    try:
        scheduler_class(sampling.row)(num_train_timesteps=2, beta_schedule=beta_schedule)
    except NotImplementedError:
        return False
    return True


def _formula(config: ScheduleConfig) -> str:
    """NumPy lines that end with `betas`."""
    lines = [f"knots = {[list(knot) for knot in config.knots]!r}"] if config.knots else []
    lines.append(textwrap.dedent(config.row.formula).format(**config.knobs()))
    if "alphas_cumprod" in config.row.formula:
        lines.append(FROM_CUMPROD)
    if config.row.clipped:
        lines.append(CLIP)
    elif least := _least_beta(config):
        lines.append(f"betas = betas.clip({least}, None)  # float32, in which diffusers keeps it, would lose less")
    return "\n".join(lines)


def _least_beta(config: ScheduleConfig) -> float:
    """What β is lifted to for float32; 0 where all of it is large enough."""
    least = FLOAT32_BETA_ZERO_SNR if config.rescale_betas_zero_snr else FLOAT32_BETA
    smallest = float(dataclasses.replace(config, rescale_betas_zero_snr=False).make().betas.min())
    return least if smallest < (least if config.rescale_betas_zero_snr else least / 2) else 0.0


def _literal(key: str, value: Any) -> str:
    if key == "trained_betas":
        return "betas.tolist()"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _same_steps(theirs: torch.Tensor, ours: tuple[float, ...]) -> bool:
    return len(theirs) == len(ours) and bool((theirs.double() - torch.tensor(ours).double()).abs().max() <= 0.5)


def _few(timesteps: tuple[float, ...] | list[float]) -> str:
    shown = ", ".join(f"{t:.0f}" for t in timesteps[:4])
    return f"{shown}, …" if len(timesteps) > 4 else shown
