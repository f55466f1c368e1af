"""Guidance, sampling from an image, and the way between two noises."""

import inspect
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.diffusers_schedulers import level, scheduler_class, spaced_timesteps
from playground.diffusion.exact import GaussianMixture
from playground.diffusion.metrics import sliced_wasserstein
from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import to_eps
from playground.diffusion.sampler import KARRAS_SPACING, Sampler
from playground.diffusion.sampling import (
    SAMPLERS,
    SamplerError,
    SamplingConfig,
    guide,
    sample,
    sample_from,
    slerp,
    start_noise,
)
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from tests.diffusion.mixture import MIXTURE, rng, states

# Guidance


def conditional(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return GaussianMixture(MIXTURE.means[:1], MIXTURE.std, torch.ones(1))(x, alpha, sigma)


@given(scale=st.floats(-2, 20), sigma=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_guiding_x0_is_guiding_eps(scale: float, sigma: float, seed: int) -> None:
    x = start_noise(16, 2, seed).double()
    levels = torch.tensor(math.sqrt(1 - sigma**2)).double(), torch.tensor(sigma).double()
    guided = guide(conditional, MIXTURE, scale)(x, *levels)
    eps_c, eps_u = to_eps(conditional(x, *levels), x, *levels), to_eps(MIXTURE(x, *levels), x, *levels)
    w = scale - 1  # the paper's: (1 + w) ε_c - w ε_u
    torch.testing.assert_close(to_eps(guided, x, *levels), (1 + w) * eps_c - w * eps_u, rtol=1e-9, atol=1e-9)


def test_guidance_scales_0_and_1() -> None:
    x, alpha, sigma = start_noise(16, 2, 0), torch.tensor(0.8), torch.tensor(0.6)
    assert guide(conditional, MIXTURE, 1.0) is conditional
    torch.testing.assert_close(guide(conditional, MIXTURE, 0.0)(x, alpha, sigma), MIXTURE(x, alpha, sigma))
    # Just off 1 there is no jump.
    near = guide(conditional, MIXTURE, 1.0 + 1e-6)(x, alpha, sigma)
    torch.testing.assert_close(near, conditional(x, alpha, sigma), rtol=0, atol=1e-4)


def test_guidance_leads_to_the_class() -> None:
    schedule, config = ScheduleConfig("karras", 1000).make(), SamplingConfig(steps=50)
    x = states(schedule, config, n=500, denoise=guide(conditional, MIXTURE, 3.0))[-1].x
    assert (torch.cdist(x.double(), MIXTURE.means).argmin(dim=1) == 0).all()


# From an image, and between two noises


TOLERANCE = 1e-5


SAME = ("leading", "trailing", KARRAS_SPACING)  # what "linspace" is, the classes do not agree on
PLACES = [(name, spacing) for name, row in SAMPLERS.items() if row.arrives for spacing in ("default", *row.spacings)]


@pytest.mark.parametrize("name", ["linear", "flow"])
@pytest.mark.parametrize(("sampler", "spacing"), PLACES)
def test_sampling_from_an_image_starts_inside_the_whole_run(sampler: str, spacing: str, name: str) -> None:
    """At the level at which a run from noise begins its last four of nine steps, on the schedule's own scale."""
    schedule, n = ScheduleConfig(name, 100).make(), 6
    x0, eps = MIXTURE.sample(n, rng(3)).float(), start_noise(n, 2, 4)
    config = SamplingConfig(sampler, steps=9, spacing=spacing)
    steps = list(sample_from(x0, eps, 0.5, MIXTURE, schedule, config, generator=rng(1)))
    whole = [step for step in states(schedule, config) if step.t >= 0]
    begun = whole[5]
    assert (steps[0].t, steps[0].alpha, steps[0].sigma) == (begun.t, begun.alpha, begun.sigma)
    expected = begun.alpha * x0 + begun.sigma * eps
    torch.testing.assert_close(steps[0].x, expected, rtol=1e-5, atol=1e-5)
    assert len(steps) == 5 + len(SAMPLERS[sampler].forgotten)
    assert steps[-1].calls == config.calls_of(4)
    assert [step.index for step in steps] == list(range(len(steps)))
    assert steps[-1].x.isfinite().all()


@pytest.mark.parametrize(("sampler", "spacing"), [(s, p) for s, p in PLACES if p in SAME and s in scheduled()])
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.85, 1.0])
def test_sampling_from_an_image_is_diffusers_image_to_image(sampler: str, spacing: str, strength: float) -> None:
    """Its scheduler on the whole table, entered as StableDiffusionImg2ImgPipeline does; same network, noise, generator.

    Steps that divide T: there the table of visited timesteps and the whole one are the same thing, with "trailing" and
    "leading" spacing. On a table that was cut at the start DEIS was .036 off.
    """
    row, T, K = SAMPLERS[sampler], 100, 20
    schedule = ScheduleConfig("scaled_linear", T).make()
    x0, eps = MIXTURE.sample(8, rng(3)).float(), start_noise(8, 2, 4)
    config = SamplingConfig(sampler, steps=K, spacing=spacing)
    *_, ours = sample_from(x0, eps, strength, MIXTURE, schedule, config, generator=rng(1))

    scheduler = whole_table(row, schedule, K, spacing)
    if spacing == "leading" and scheduler.timesteps[0] != spaced_timesteps(T, K, spacing)[-1]:
        pytest.skip("this class leads by a (K + 1)th of the table")
    first = max(K - min(int(K * strength), K), 0) * scheduler.order
    timesteps = scheduler.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    x = scheduler.add_noise(x0, eps, timesteps[:1].repeat(len(x0)))
    extra = {"generator": rng(1)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for call, t in enumerate(timesteps):
        z = scheduler.scale_model_input(x, t)
        alpha, sigma = level(scheduler, row, first + call, t)
        output = to_eps(MIXTURE(z, alpha.float(), sigma.float()), z, alpha.float(), sigma.float())
        x = scheduler.step(output, t, x, **extra).prev_sample
    torch.testing.assert_close(ours.x, x, rtol=0, atol=TOLERANCE)


def whole_table(row: Sampler, schedule: NoiseSchedule, steps: int, spacing: str) -> Any:
    """diffusers' scheduler on every timestep of `schedule`, predicting ε."""
    known = inspect.signature(scheduler_class(row).__init__).parameters
    options: dict[str, Any] = {**row.options, **row.table_options}
    if spacing == KARRAS_SPACING:
        options["use_karras_sigmas"] = True
    elif "timestep_spacing" in known:
        options["timestep_spacing"] = spacing
    scheduler = scheduler_class(row)(len(schedule), trained_betas=schedule.betas.numpy(), **options)
    scheduler.alphas_cumprod = schedule.alphas_cumprod.clone()  # β was rounded to float32
    if spacing == KARRAS_SPACING or "timestep_spacing" in known:
        scheduler.set_timesteps(steps)
    else:
        scheduler.set_timesteps(timesteps=spaced_timesteps(len(schedule), steps, spacing).flip(0).tolist())
    return scheduler


def test_sampling_from_all_the_noise_of_an_image_is_sampling_from_what_it_became() -> None:
    schedule, eps = ScheduleConfig("cosine", 100).make(), start_noise(8, 2, 0)
    x0 = MIXTURE.sample(8, rng(2)).float()
    config = SamplingConfig("ddim", steps=10)
    x = schedule.add_noise(x0, eps, torch.full((8,), 99))
    ours = list(sample_from(x0, eps, 1.0, MIXTURE, schedule, config))
    theirs = list(sample(MIXTURE, schedule, x, config))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", [name for name in scheduled() if not SAMPLERS[name].forgotten])
def test_the_less_noise_the_closer_to_the_image(sampler: str) -> None:
    """Meng et al. 2022, figure 3: faithful at one end, realistic at the other."""
    schedule, x0 = ScheduleConfig("karras", 200).make(), MIXTURE.sample(400, rng(2)).float()
    moved = []
    for strength in (0.05, 0.3, 0.65, 1.0):
        config = SamplingConfig(sampler, steps=20, spacing="trailing")
        *_, last = sample_from(x0, start_noise(400, 2, 5), strength, MIXTURE, schedule, config, generator=rng(6))
        moved.append(float((last.x - x0).norm(dim=1).mean()))
        assert sliced_wasserstein(last.x, MIXTURE.sample(400, rng(7)).float()) < 0.25, "still of the mixture"
    assert moved == sorted(moved)
    assert moved[0] < 0.25 < moved[-1]


@given(strength=st.floats(0.001, 1), steps=st.integers(2, 30))
def test_an_image_walks_its_share_of_the_steps(strength: float, steps: int) -> None:
    schedule, x0, config = ScheduleConfig("cosine", 100).make(), torch.zeros(2, 2), SamplingConfig("ddim", steps=steps)
    run = sample_from(x0, start_noise(2, 2, 0), strength, MIXTURE, schedule, config)
    if walked := int(steps * strength):
        assert len(list(run)) == walked + 1
    else:
        with pytest.raises(SamplerError, match="less than one step"):
            next(run)


def test_what_goes_nowhere_leads_from_no_image() -> None:
    x0 = torch.zeros(2, 2)
    for name in [name for name, row in SAMPLERS.items() if not row.arrives]:
        with pytest.raises(SamplerError, match="stays where it is"):
            next(sample_from(x0, x0, 0.5, MIXTURE, ScheduleConfig("cosine", 100).make(), SamplingConfig(name)))


@given(st.floats(0, math.pi - 0.01), st.floats(0, 1), st.floats(0.1, 10))
def test_slerp_walks_the_circle_at_one_speed(angle: float, weight: float, radius: float) -> None:
    a = torch.tensor([[radius, 0.0]], dtype=torch.float64)
    b = torch.tensor([[radius * math.cos(angle), radius * math.sin(angle)]], dtype=torch.float64)
    place = slerp(a, b, weight)[0] / radius
    expected = torch.tensor([math.cos(weight * angle), math.sin(weight * angle)], dtype=torch.float64)
    torch.testing.assert_close(place, expected, rtol=0, atol=1e-6)


def test_slerp_keeps_noise_noise_where_the_straight_line_does_not() -> None:
    a, b = start_noise(50, 784, 0).reshape(50, 1, 28, 28), start_noise(50, 784, 1).reshape(50, 1, 28, 28)
    assert slerp(a, b, 0.5).shape == a.shape
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1, abs=0.01)
    assert float(torch.lerp(a, b, 0.5).std()) == pytest.approx(math.sqrt(0.5), abs=0.01)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    for k in (0, 7):  # row by row: each pair has its own angle
        torch.testing.assert_close(slerp(a, b, 0.3)[k], slerp(a[k : k + 1], b[k : k + 1], 0.3)[0])


def test_slerp_of_one_with_itself_and_its_opposite() -> None:
    a = start_noise(3, 16, 0)
    torch.testing.assert_close(slerp(a, a, 0.4), a)
    assert slerp(a, -a, 0.25).isfinite().all()
