"""Where a sampler's steps land on a schedule: the noise level of every network call, and what each call draws on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch

from playground.diffusion.diffusers_schedulers import make_scheduler, spaced_timesteps
from playground.diffusion.sampler import KARRAS_SPACING
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig


@dataclass(frozen=True)
class Visits:
    """The network calls of one run, in order; every tuple but `forgotten` has `calls` entries.

    `timesteps`: on the schedule's own axis, fractional between two of its levels. `alphas`, `sigmas`: there, with
    α² + σ² = 1, as the network is asked. `repeated`: this call is at the level of the call before. `history`: how many
    outputs of the network, this call's included, enter the update that follows it. `forgotten`: calls whose output no
    later update draws on.
    """

    timesteps: tuple[float, ...]
    alphas: tuple[float, ...]
    sigmas: tuple[float, ...]
    repeated: tuple[bool, ...]
    history: tuple[int, ...]
    forgotten: tuple[int, ...]
    calls: int


def where(config: ScheduleConfig, sampling: SamplingConfig) -> Visits:
    """The calls of `sampling` on the schedule of `config`.

    Raises ScheduleError where there is no such schedule, SamplerError where the sampler cannot be driven by it: each
    says why.
    """
    schedule, row = config.make(), sampling.row
    scheduler = make_scheduler(schedule, sampling)
    calls = len(scheduler.timesteps)
    if hasattr(scheduler, "sigmas"):  # σ/α of each call: with Karras spacing the rounded timesteps say something else
        ratios = scheduler.sigmas[:calls].double()
        if row.interpolated is not None:  # every other call tries a level between two
            ratios[1::2] = scheduler.sigmas_interpol[1 + row.interpolated : calls + row.interpolated : 2].double()
        alphas_cumprod = 1 / (1 + ratios.square())
    else:
        alphas_cumprod = scheduler.alphas_cumprod[scheduler.timesteps.long()].double()
    alphas, sigmas = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    by_level = sampling.where == KARRAS_SPACING or row.interpolated is not None
    timesteps = schedule.nearest_timestep(alphas, sigmas).round(decimals=4) if by_level else torch.empty_like(alphas)
    if sampling.where != KARRAS_SPACING:  # the scheduler counts within the table of just the timesteps it visits
        visited = spaced_timesteps(len(schedule), sampling.steps, sampling.where).double()
        whole = slice(None, None, 1 if row.interpolated is None else 2)
        timesteps[whole] = visited[scheduler.timesteps[whole].long()]
    repeated = (False, *(a == b for a, b in pairwise(timesteps.tolist())))
    history = tuple(row.history(k, calls) for k in range(calls))
    return Visits(
        tuple(timesteps.tolist()),
        tuple(alphas.tolist()),
        tuple(sigmas.tolist()),
        repeated,
        history,
        row.forgotten,
        calls,
    )
