"""Where sampling steps land, against what the samplers themselves ask of a network."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.diffusers_schedulers import spaced_timesteps
from playground.diffusion.noise_schedule import NoiseSchedule, ScheduleError
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig, sample
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.steps import where

DRIVEN = tuple(scheduled())
NAMED = ("linear", "scaled_linear", "cosine", "sigmoid", "quadratic", "laplace", "karras", "flow")
DRAWN = ScheduleConfig("drawn", 200, knots=((0.0, 0.99), (0.4, 0.5), (1.0, 0.01)))


def every_spacing() -> list[tuple[str, str]]:
    return [(sampler, spacing) for sampler in DRIVEN for spacing in SAMPLERS[sampler].spacings]


def asked(schedule: NoiseSchedule, sampling: SamplingConfig) -> list[tuple[float, float]]:
    """The levels (α, σ) that a real run asks its denoiser for."""
    levels: list[tuple[float, float]] = []

    def denoise(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        levels.append((float(alpha), float(sigma)))
        return torch.zeros_like(x)

    for _ in sample(denoise, schedule, torch.zeros(1, 2), sampling, torch.Generator().manual_seed(0)):
        pass
    return levels


@pytest.mark.parametrize(("sampler", "spacing"), every_spacing())
def test_these_are_the_levels_that_the_network_is_asked_for(sampler: str, spacing: str) -> None:
    sampling = SamplingConfig(sampler, 7, spacing)
    for name in NAMED:
        config = ScheduleConfig(name, 100)
        visits = where(config, sampling)
        real = asked(config.make(), sampling)
        assert visits.calls == len(real) == SAMPLERS[sampler].calls(7)
        assert {len(visits.timesteps), len(visits.alphas), len(visits.repeated), len(visits.history)} == {visits.calls}
        for alpha, sigma, (real_alpha, real_sigma) in zip(visits.alphas, visits.sigmas, real, strict=True):
            assert alpha == pytest.approx(real_alpha, abs=1e-6)
            assert sigma == pytest.approx(real_sigma, abs=1e-6)
        assert list(visits.timesteps) == sorted(visits.timesteps, reverse=True)


@pytest.mark.parametrize(("sampler", "spacing"), every_spacing())
@pytest.mark.parametrize("config", [ScheduleConfig("linear"), ScheduleConfig("flow", 60), DRAWN])
def test_timesteps_are_those_with_these_levels(config: ScheduleConfig, sampler: str, spacing: str) -> None:
    schedule = config.make()
    visits = where(config, SamplingConfig(sampler, 12, spacing))
    at = schedule.nearest_timestep(torch.tensor(visits.alphas), torch.tensor(visits.sigmas))
    torch.testing.assert_close(torch.tensor(visits.timesteps).double(), at, rtol=0, atol=0.02)
    if spacing != "karras":
        between = SAMPLERS[sampler].interpolated is not None  # every other call tries a level between two
        landed = sorted({int(t) for t in visits.timesteps[:: 2 if between else 1]})
        assert landed == spaced_timesteps(len(schedule), 12, spacing).tolist()


def test_karras_spacing_is_equation_5_between_the_tables_ends() -> None:
    config = ScheduleConfig("cosine", 500)
    schedule, visits = config.make(), where(config, SamplingConfig("dpm++", 10, "karras"))
    ratio = torch.tensor(visits.sigmas).double() / torch.tensor(visits.alphas).double()
    ends = schedule.sigmas / schedule.alphas
    low, high = float(ends[0]) ** (1 / 7), float(ends[-1]) ** (1 / 7)
    expected = torch.linspace(high, low, 10, dtype=torch.float64) ** 7
    torch.testing.assert_close(ratio, expected, rtol=1e-3, atol=0)


def test_pndm_makes_one_call_more_and_asks_twice_at_its_second_level() -> None:
    visits = where(ScheduleConfig(), SamplingConfig("pndm", 6))
    assert visits.calls == 7
    assert visits.repeated == (False, False, True, False, False, False, False)
    assert visits.history == (1, 2, 2, 3, 4, 4, 4)
    assert visits.timesteps[:4] == (830, 664, 664, 498)  # leading: 1000 // 6 = 166 apart


def updates(sampler: str, steps: int, config: ScheduleConfig) -> list[int]:
    """How many of the network's outputs enter each update of a real run.

    A run is linear in its start and in what the network says. At call k + 1 the state is a·(the state at call k) and
    the outputs that the update uses; whatever stays of an output after subtracting a·(its share of state k) was used.
    """
    sampling, schedule = SamplingConfig(sampler, steps), config.make()
    calls = SAMPLERS[sampler].calls(steps)
    speaks_x0 = sampler in ("dpm++", "dpm++_2s", "unipc")  # the data-prediction forms; the others are linear in ε̂

    def states(start: float, said: list[float]) -> Tensor:
        seen: list[Tensor] = []

        def denoise(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
            ratio = sigma / alpha
            # compared at σ/α scale for ε̂, where the slope is ε̂ itself
            seen.append(x.clone() if speaks_x0 else x / alpha)
            output = torch.full_like(x, said[len(seen) - 1])
            return output if speaks_x0 else x / alpha - ratio * output

        for step in sample(denoise, schedule, torch.full((1, 1), start, dtype=torch.float64), sampling):
            last = step.x
        return torch.cat([*seen, last]).flatten()

    silence = [0.0] * calls
    own = states(1.0, silence)  # (calls + 1,) of the start alone
    shares = torch.stack([states(0.0, [float(j == k) for k in range(calls)]) for j in range(calls)])
    counts = []
    for k in range(calls):
        # the last state of ε̂'s forms is x_0 itself, where σ/α = 0: the same scale. An update may begin where the one
        # before it began: then the trial's place does not count, only the outputs do.
        begun = (k, k - 1) if k else (k,)
        left = [shares[:, k + 1] - own[k + 1] / own[j] * shares[:, j] for j in begun]
        counts.append(min(int((each.abs() > 1e-4).sum()) for each in left))
    return counts


@pytest.mark.parametrize("sampler", [name for name in DRIVEN if not SAMPLERS[name].stochastic])
def test_history_is_what_the_updates_really_use(sampler: str) -> None:
    config = ScheduleConfig("karras", 50)
    for steps in (5, 16):  # diffusers lowers the order at the end of runs shorter than 15
        assert list(where(config, SamplingConfig(sampler, steps)).history) == updates(sampler, steps, config)


@pytest.mark.parametrize("sampler", DRIVEN)
@given(calls=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_a_budget_of_calls_is_used_up_and_kept(sampler: str, calls: int) -> None:
    row = SAMPLERS[sampler]
    least = row.calls(2)
    if calls < least:
        with pytest.raises(SamplerError, match=f"needs {least} calls"):
            row.steps_within(calls)
        return
    steps = row.steps_within(calls)
    assert row.calls(steps) <= calls < row.calls(steps + 1)


@pytest.mark.parametrize("sampler", DRIVEN)
def test_calls_are_the_schedulers_own(sampler: str) -> None:
    for steps in (2, 3, 20):
        assert where(ScheduleConfig(), SamplingConfig(sampler, steps)).calls == SAMPLERS[sampler].calls(steps)


def test_what_a_schedule_cannot_drive_is_refused_with_the_reason() -> None:
    zero = ScheduleConfig("cosine", rescale_betas_zero_snr=True)
    for spacing in ("leading", "trailing", "linspace"):  # leading steps past the last timestep: no reason to run
        for sampler in (name for name in DRIVEN if not SAMPLERS[name].zero_terminal_snr):
            with pytest.raises(SamplerError, match="no signal is left"):
                where(zero, SamplingConfig(sampler, 10, spacing))
    for sampler in (name for name in DRIVEN if SAMPLERS[name].zero_terminal_snr):
        if "karras" in SAMPLERS[sampler].spacings:
            with pytest.raises(SamplerError, match="infinite"):
                where(zero, SamplingConfig(sampler, 10, "karras"))
        assert where(zero, SamplingConfig(sampler, 10, "trailing")).timesteps[0] == 999
    with pytest.raises(SamplerError, match="do not fit"):
        where(ScheduleConfig(timesteps=10), SamplingConfig("ddim", 11))
    with pytest.raises(SamplerError, match="not one of diffusers"):
        where(ScheduleConfig(), SamplingConfig("annealed_langevin", 10))
    with pytest.raises(ScheduleError):
        where(ScheduleConfig(timesteps=1), SamplingConfig("ddim", 2))


def test_levels_are_on_the_unit_circle_whatever_the_schedules_own_scale() -> None:
    visits = where(ScheduleConfig("flow", 100), SamplingConfig("ddim", 10))
    for alpha, sigma in zip(visits.alphas, visits.sigmas, strict=True):
        assert math.hypot(alpha, sigma) == pytest.approx(1)
