"""Where a sampler's steps land on a schedule: the noise level of every network call, and what each call draws on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from playground.diffusion.diffusers_schedulers import make_scheduler, spaced_timesteps
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import NoiseSchedule

ORDER = 2  # of DPM-Solver++ 2M and of UniPC, as diffusers has them


@dataclass(frozen=True)
class Visits:
    """The network calls of one run, in order; every tuple has `calls` entries.

    `timesteps`: on the schedule's own axis, fractional between two of its levels. `alphas`, `sigmas`: there, with
    α² + σ² = 1, as the network is asked. `repeated`: this call is at the level of the call before. `history`: how many
    outputs of the network, this call's included, enter the update that follows it.
    """

    timesteps: tuple[float, ...]
    alphas: tuple[float, ...]
    sigmas: tuple[float, ...]
    repeated: tuple[bool, ...]
    history: tuple[int, ...]
    calls: int


def where(config: ScheduleConfig, sampling: SamplingConfig) -> Visits:
    """The calls of `sampling` on the schedule of `config`.

    Raises ScheduleError where there is no such schedule, SamplerError where the sampler cannot be driven by it: each
    says why.
    """
    schedule = config.make()
    scheduler = scheduler_for(schedule, sampling)
    calls = len(scheduler.timesteps)
    if hasattr(scheduler, "sigmas"):  # σ/α of each call: with Karras spacing the rounded timesteps say something else
        alphas_cumprod = 1 / (1 + scheduler.sigmas[:calls].double().square())
    else:
        alphas_cumprod = scheduler.alphas_cumprod[scheduler.timesteps.long()].double()
    alphas, sigmas = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    spacing = spacing_of(sampling)
    if spacing == "karras":  # levels of its own
        timesteps = schedule.nearest_timestep(alphas, sigmas).tolist()
    else:  # the scheduler counts within the table of just the timesteps it visits
        visited = spaced_timesteps(len(schedule), sampling.steps, spacing)
        timesteps = visited[scheduler.timesteps.long()].double().tolist()
    repeated = (False, *(a == b for a, b in pairwise(alphas.tolist())))
    history = tuple(_history(sampling.sampler, k, calls) for k in range(calls))
    return Visits(tuple(timesteps), tuple(alphas.tolist()), tuple(sigmas.tolist()), repeated, history, calls)


def scheduler_for(schedule: NoiseSchedule, sampling: SamplingConfig) -> Any:
    """`make_scheduler`'s, refused also where the spacing happens to step past the fault. Raises SamplerError."""
    title = SAMPLERS[sampling.sampler].title
    if schedule.zero_terminal_snr and not SAMPLERS[sampling.sampler].zero_terminal_snr:
        raise SamplerError(
            f"{title} cannot start where no signal is left (zero terminal SNR): it divides by α, which is 0 there. "
            "Choose DPM-Solver++, DDIM, DDPM, UniPC or Euler, or switch zero terminal SNR off."
        )
    if schedule.zero_terminal_snr and spacing_of(sampling) == "karras":
        raise SamplerError(
            "Karras spacing divides the way from the largest σ/α to the smallest, and with zero terminal SNR the "
            "largest is infinite. Choose trailing spacing, or switch zero terminal SNR off."
        )
    return make_scheduler(schedule, sampling)


def spacing_of(sampling: SamplingConfig) -> str:
    """The spacing by name, the sampler's own where "default" is asked for."""
    return SAMPLERS[sampling.sampler].spacings[0] if sampling.spacing == "default" else sampling.spacing


def calls_of(sampler: str, steps: int) -> int:
    """Network calls of `steps` steps: Heun takes two a step but for the last, PNDM repeats its second."""
    return {"heun": 2 * steps - 1, "pndm": steps + 1}.get(sampler, steps)


def steps_within(sampler: str, calls: int) -> int:
    """The most steps that need at most `calls` network calls. Raises SamplerError below the least that can be run."""
    steps = {"heun": (calls + 1) // 2, "pndm": calls - 1}.get(sampler, calls)
    if steps < 2:
        raise SamplerError(f"{SAMPLERS[sampler].title} needs {calls_of(sampler, 2)} calls at least.")
    return steps


def _history(sampler: str, k: int, calls: int) -> int:
    """Outputs that enter the update after call k of `calls`."""
    match sampler:
        case "pndm":
            # Liu et al. 2022, equation 12: Adams-Bashforth over four ε̂, fewer until there are four. The repeat, k = 1,
            # goes back and takes the mean of both; it is then forgotten.
            return 1 if k == 0 else 2 if k == 1 else min(k, 4)
        case "dpm++":  # first order where nothing came before, and on the last step, which goes all the way to x̂_0
            return 1 if k in (0, calls - 1) else ORDER
        case "unipc":  # the corrector has one output more than the predictor before it had (Zhao et al. 2023)
            return 1 if k == calls - 1 else min(k + 1, ORDER + 1)
        case "heun":
            return 2 if k % 2 else 1  # the trial's slope averaged with the first
    return 1
