"""The algorithms one can read do what diffusers' classes do, to 1e-5 at every state.

In float64, from the same start and with the same generator, so that stochastic ones compare number by number.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, HeunDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.algorithms import ddim, ddpm, dpm_solver_2m, heun
from playground.diffusion.diffusers_schedulers import make_scheduler, spaced_timesteps
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampling import SAMPLERS, SamplingConfig, sample, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES, NoiseSchedule, from_alphas_cumprod, karras
from tests.diffusion.every_schedule import schedule_of
from tests.diffusion.mixture import MIXTURE, rng

Algorithm = Callable[..., Iterator[Tensor]]
ALGORITHMS: dict[str, tuple[Algorithm, list[dict[str, Any]]]] = {
    "ddpm": (ddpm, [{"variance": "fixed_small"}, {"variance": "fixed_large"}]),
    "ddim": (ddim, [{"eta": 0.0}, {"eta": 0.5}, {"eta": 1.0}]),
    "heun": (heun, [{}]),
    "dpm++": (dpm_solver_2m, [{}]),
}
TABLE_SPACINGS = ("trailing", "leading", "linspace")  # these visit timesteps of the table; karras makes its own levels


def read(
    sampler: str, schedule: NoiseSchedule, timesteps: Tensor, x: Tensor, options: dict[str, Any], seed: int = 1
) -> Tensor:
    """(K+1, N, D) the states of the algorithm that one can read."""
    algorithm, _ = ALGORITHMS[sampler]
    noise = {"generator": rng(seed)} if sampler in ("ddpm", "ddim") else {}
    return torch.stack(list(algorithm(MIXTURE, schedule, timesteps, x, **noise, **options)))


def by_diffusers(scheduler: Any, levels: Tensor, x: Tensor, seed: int = 1, **options: Any) -> Tensor:
    """(K+1, N, D) the states of a diffusers scheduler that predicts v, at α² + σ² = 1. `levels` (K,): ᾱ, rising.

    Where it keeps σ/α it rounds them to float32, and loses 1e-5 in their differences: it is given them unrounded.
    """
    alphas_cumprod = levels
    if hasattr(scheduler, "sigmas"):
        is_heun = isinstance(scheduler, HeunDiscreteScheduler)
        ratios = (1 / levels - 1).sqrt()
        if is_heun:  # it asks twice at every level but the first
            ratios = torch.cat([ratios[:1], ratios[1:].repeat_interleave(2)])
        ratios = torch.cat([ratios, torch.zeros(1)])
        torch.testing.assert_close(ratios.float(), scheduler.sigmas, rtol=1e-6, atol=0)
        scheduler.sigmas, alphas_cumprod = ratios, 1 / (1 + ratios.square())
        x = x * (1 + ratios[0].square()).sqrt() if is_heun else x
    else:
        options["generator"] = rng(seed)
    states = []
    for index, t in enumerate(scheduler.timesteps):
        z = scheduler.scale_model_input(x, t)
        alpha, sigma = alphas_cumprod[index].sqrt(), (1 - alphas_cumprod[index]).sqrt()
        x0 = MIXTURE(z, alpha, sigma)
        if getattr(scheduler, "state_in_first_order", True):
            states.append(z)
        x = scheduler.step(alpha * to_eps(x0, z, alpha, sigma) - sigma * x0, t, x, **options).prev_sample
    return torch.stack([*states, x])


def eta_of(options: dict[str, Any], zero_snr: bool) -> dict[str, Any]:
    """DDIM's η for diffusers. From α = 0 with η = 1 it takes the root of 1 - ᾱ - σ_t² = ±1e-17, NaN for half the
    tables; at 1 - 1e-14 it does not, and nothing changes by more than 1e-6.
    """
    return {"eta": min(options["eta"], 1 - 1e-14) if zero_snr else options["eta"]} if "eta" in options else {}


def start() -> Tensor:
    return start_noise(16, 2, 0).double()


def within(sampler: str) -> float:
    """The tolerance: diffusers' DPM-Solver++ rounds every state to float32."""
    return 5e-5 if sampler == "dpm++" else 1e-5


def assert_equal(ours: Tensor, theirs: Tensor, within: float = 1e-5) -> None:
    assert ours.isfinite().all()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within)


def config_of(sampler: str, steps: int, spacing: str, options: dict[str, Any]) -> SamplingConfig:
    return SamplingConfig(sampler, steps=steps, spacing=spacing, **options)


def ending_at(schedule: NoiseSchedule, ratio: float) -> NoiseSchedule:
    """`schedule` with σ/α = `ratio` at its last timestep, where that is finite."""
    table = schedule.alphas_cumprod.clone()
    if ratio > float(((1 - table[-2]) / table[-2]).sqrt()):
        table[-1] = 1 / (1 + ratio**2)
    return from_alphas_cumprod(schedule.name, table)


# Against the scheduler that the page runs


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("sampler", ALGORITHMS)
def test_it_is_the_scheduler_that_runs(sampler: str, name: str, zero_snr: bool) -> None:
    if zero_snr and not SAMPLERS[sampler].zero_terminal_snr:
        pytest.skip("diffusers' class cannot start there either")
    schedule = schedule_of(name, 100, zero_snr).make()
    for spacing in TABLE_SPACINGS:
        assert spacing in SAMPLERS[sampler].spacings
        for steps in (2, 7, 30):  # T = 100 is a multiple of the first alone
            timesteps = spaced_timesteps(100, steps, spacing).flip(0)
            for options in ALGORITHMS[sampler][1]:
                scheduler = make_scheduler(schedule, config_of(sampler, steps, spacing, options))
                table = schedule
                if zero_snr and hasattr(scheduler, "sigmas"):  # σ/α = ∞: diffusers starts at a level of its own
                    table = ending_at(schedule, float(scheduler.sigmas.max()))
                theirs = by_diffusers(scheduler, table.alphas_cumprod[timesteps], start(), **eta_of(options, zero_snr))
                assert_equal(read(sampler, table, timesteps, start(), options), theirs, within(sampler))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("sampler", ["heun", "dpm++"])
def test_karras_spacing_is_the_karras_schedule(sampler: str, name: str) -> None:
    schedule = schedule_of(name, 100).make()
    ratios = (1 / schedule.alphas_cumprod - 1).sqrt()
    for steps in (2, 7, 30):
        scheduler = make_scheduler(schedule, SamplingConfig(sampler, steps=steps, spacing="karras"))
        low, high = float(ratios[0]), float(ratios[-1])
        t = torch.linspace(0, 1, steps, dtype=torch.float64)
        sigma = (low ** (1 / 7) + t * (high ** (1 / 7) - low ** (1 / 7))) ** 7  # Karras et al. 2022, equation 5
        levels = from_alphas_cumprod("karras", 1 / (1 + sigma**2))
        if high < 1000:
            torch.testing.assert_close(levels.alphas, karras(steps, low, high).alphas)
        ours = read(sampler, levels, torch.arange(steps).flip(0), start(), {})
        assert_equal(ours, by_diffusers(scheduler, levels.alphas_cumprod.flip(0), start()), within(sampler))


@pytest.mark.parametrize("sampler", ALGORITHMS)
def test_it_is_what_the_page_shows(sampler: str) -> None:
    # `sample` as the page calls it, in float32: that is what sets the difference.
    schedule = ScheduleConfig("karras", 1000).make()
    config = SamplingConfig(sampler, steps=20, spacing="trailing")
    steps = list(sample(MIXTURE, schedule, start().float(), config, rng(1)))
    options: dict[str, Any] = {}
    timesteps = spaced_timesteps(1000, 20, "trailing").flip(0)
    algorithm, _ = ALGORITHMS[sampler]
    if sampler == "ddpm":
        options = {"variance": config.variance, "generator": rng(1)}
    ours = list(algorithm(MIXTURE, schedule, timesteps, start().float(), **options))
    assert_equal(torch.stack(ours), torch.stack([step.x for step in steps]), 2e-5)


# Against diffusers' class on the whole table, as anyone would use it


def plain(scheduler: Any, schedule: NoiseSchedule, steps: int) -> Any:
    scheduler.alphas_cumprod = schedule.alphas_cumprod  # diffusers has it in float32
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_it_is_diffusers_on_the_whole_table(name: str, spacing: str, zero_snr: bool) -> None:
    schedule = schedule_of(name, 100, zero_snr).make()
    common: Any = {"num_train_timesteps": 100, "prediction_type": "v_prediction", "timestep_spacing": spacing}
    for steps in (2, 20, 50):
        timesteps = spaced_timesteps(100, steps, spacing).flip(0)
        levels = schedule.alphas_cumprod[timesteps]
        for eta in (0.0, 0.5, 1.0):
            scheduler = plain(DDIMScheduler(**common, clip_sample=False), schedule, steps)
            assert scheduler.timesteps.tolist() == timesteps.tolist()
            theirs = by_diffusers(scheduler, levels, start(), **eta_of({"eta": eta}, zero_snr))
            assert_equal(read("ddim", schedule, timesteps, start(), {"eta": eta}), theirs)
        for variance in ("fixed_small", "fixed_large"):
            scheduler = plain(DDPMScheduler(**common, clip_sample=False, variance_type=variance), schedule, steps)
            ours = read("ddpm", schedule, timesteps, start(), {"variance": variance})
            theirs = by_diffusers(scheduler, levels, start())
            # Algorithm 2 adds no noise in its last step; diffusers does, unless that step is from t = 0.
            noisy_end = variance == "fixed_large" and timesteps[-1] > 0
            assert_equal(ours[:-1] if noisy_end else ours, theirs[:-1] if noisy_end else theirs)
        if not zero_snr:
            scheduler = plain(HeunDiscreteScheduler(**common), schedule, steps)
            assert_equal(read("heun", schedule, timesteps, start(), {}), by_diffusers(scheduler, levels, start()))


# On any table at all


@given(
    sampler=st.sampled_from(sorted(ALGORITHMS)),
    falls=st.lists(st.floats(0.01, 2.0), min_size=3, max_size=30),
    begin=st.floats(0.0, 12.0),
    data=st.data(),
)
def test_any_falling_table(sampler: str, falls: list[float], begin: float, data: st.DataObject) -> None:
    log_snr = begin - torch.tensor(falls, dtype=torch.float64).cumsum(0)  # (T,) ln(ᾱ / (1 - ᾱ))
    schedule = from_alphas_cumprod("random", torch.sigmoid(log_snr.clamp(min=-20 - torch.arange(len(falls)) / 10)))
    steps = data.draw(st.integers(2, len(falls)), label="K")
    spacing = data.draw(st.sampled_from(TABLE_SPACINGS), label="spacing")
    options = data.draw(st.sampled_from(ALGORITHMS[sampler][1]), label="options")
    scheduler = make_scheduler(schedule, config_of(sampler, steps, spacing, options))
    timesteps = spaced_timesteps(len(falls), steps, spacing).flip(0)
    theirs = by_diffusers(scheduler, schedule.alphas_cumprod[timesteps], start(), **eta_of(options, False))
    assert_equal(read(sampler, schedule, timesteps, start(), options), theirs, within(sampler))


# Against what the papers say, without diffusers


def test_ddpm_is_algorithm_2_as_it_is_printed() -> None:
    """Ho et al. 2020, Algorithm 2: line 4 in ε, with their α_t = 1 - β_t, every timestep visited."""
    schedule = ScheduleConfig("linear", 50).make()
    beta, alpha_bar, noise, x = schedule.betas, schedule.alphas_cumprod, rng(1), start()
    for t in range(49, -1, -1):
        sigma = (1 - alpha_bar[t]).sqrt()
        eps = to_eps(MIXTURE(x, alpha_bar[t].sqrt(), sigma), x, alpha_bar[t].sqrt(), sigma)
        z = torch.randn(16, 2, generator=noise, dtype=torch.float64) if t > 0 else 0.0
        x = (x - beta[t] / sigma * eps) / (1 - beta[t]).sqrt() + schedule.posterior_variance[t].sqrt() * z
    ours = read("ddpm", schedule, torch.arange(50).flip(0), start(), {"variance": "fixed_small"})
    assert_equal(ours[-1], x, 1e-10)


def test_ddim_with_eta_1_on_every_timestep_is_ddpm() -> None:
    """Song et al. 2021, §4.1: at η = 1 the process is that of DDPM."""
    schedule, every = ScheduleConfig("cosine", 50).make(), torch.arange(50).flip(0)
    ddpm_states = read("ddpm", schedule, every, start(), {"variance": "fixed_small"})
    assert_equal(read("ddim", schedule, every, start(), {"eta": 1.0}), ddpm_states, 1e-8)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpm++", 2)])
def test_the_order_of_an_algorithm(sampler: str, order: int) -> None:
    schedule = ScheduleConfig("karras", 1025).make()
    ends = []
    for steps in (65, 129, 1025):  # each halves the way between two levels, and all have both ends
        timesteps = spaced_timesteps(1025, steps, "linspace").flip(0)
        ends.append(read(sampler, schedule, timesteps, start(), {"eta": 0.0} if sampler == "ddim" else {})[-1])
    coarse, fine = ((end - ends[-1]).square().mean().sqrt() for end in ends[:2])
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("sampler", ALGORITHMS)
def test_the_first_state_is_the_start_and_the_dtype_stays(sampler: str) -> None:
    schedule = ScheduleConfig("flow", 100).make()
    timesteps = spaced_timesteps(100, 5, "trailing").flip(0)
    options = ALGORITHMS[sampler][1][0]
    for x in (start(), start().float()):
        states = read(sampler, schedule, timesteps, x, options)
        assert states.shape == (6, 16, 2)
        assert states.dtype == x.dtype
        torch.testing.assert_close(states[0], x)
