"""A sampler's scheduler built from a model's own scheduler configuration, as diffusers' pipelines build it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from playground.diffusion.diffusers_schedulers import scheduler_class
from playground.diffusion.sampler import SamplerError
from playground.diffusion.sampling_config import can_start, check_fewest, check_schedule, row_of


def allowed(base_config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of SAMPLERS that a model with this scheduler configuration can be sampled with."""
    return tuple(can_start(bool(base_config.get("rescale_betas_zero_snr", False))))


def check(name: str, base_config: Mapping[str, Any], steps: int) -> None:
    """Raise SamplerError where `make` would."""
    row, trained = row_of(name), int(base_config.get("num_train_timesteps", 1000))
    scheduler_class(row)
    check_fewest(name, steps)
    check_schedule(name, steps, trained, bool(base_config.get("rescale_betas_zero_snr", False)))
    if 2 * steps > trained and not _fits(_built(name, base_config, steps)):  # with few steps, no two timesteps are one
        most = next((n for n in range(steps - 1, 0, -1) if _fits(_built(name, base_config, n))), None)
        raise SamplerError(
            f"{row.title} with {steps:,} steps would leave the schedule of T = {trained:,}, or ask twice at one place "
            f"of it: take {'another scheduler' if most is None else f'{most:,}'}."
        )


def make(name: str, base_config: Mapping[str, Any], steps: int, device: str | torch.device = "cpu") -> Any:
    """diffusers' scheduler `name` on a model's own noise schedule, its timesteps set; a new one for every run.

    `base_config`: the configuration of the scheduler that the model came with. Raises SamplerError.
    """
    check(name, base_config, steps)
    return _built(name, base_config, steps, device)


def options(name: str, base_config: Mapping[str, Any]) -> dict[str, Any]:
    """What the class's `from_config` is told besides the model's own configuration.

    Both ends of the table are visited by a class that does so by default: a configuration saved from another class may
    name that one's spacing instead. But a model trained to start at the very end says so, and is followed.
    """
    row = row_of(name)
    spacing = inspect.signature(scheduler_class(row).__init__).parameters.get("timestep_spacing")
    both_ends = spacing is not None and spacing.default == "linspace"
    follow = not both_ends or base_config.get("timestep_spacing") == "trailing"
    return {**row.options, **({} if follow else {"timestep_spacing": "linspace"})}


def _built(name: str, base_config: Mapping[str, Any], steps: int, device: str | torch.device = "cpu") -> Any:
    # `_use_default_values` would drop what the model's own scheduler had by default, and take another class's default.
    config = {key: value for key, value in base_config.items() if key != "_use_default_values"}
    scheduler = scheduler_class(row_of(name)).from_config(config, **options(name, base_config))
    scheduler.set_timesteps(steps, device=device)
    return scheduler


def _fits(scheduler: Any) -> bool:
    """Whether every timestep is in the table (Stable Diffusion 1.x's offset of 1 can lead beyond it), and no multistep
    method meets one level twice: it would divide by the way between the two, which is 0. Those of two calls a step keep
    to the table, and ask twice on purpose.
    """
    if scheduler.order > 1:
        return True
    inside = bool(scheduler.timesteps.max() <= scheduler.config.num_train_timesteps - 1)
    return inside and (not hasattr(scheduler, "sigmas") or bool((scheduler.sigmas[:-1].diff() < 0).all()))
