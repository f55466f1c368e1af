"""Noise schedules against diffusers' own tables, the papers' closed forms and numpy brute force."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler
from diffusers.schedulers import scheduling_ddim
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import MAX_BETA, MAX_TIMESTEPS, NoiseSchedule, ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES

NAMES = sorted(SCHEDULES)
# Our name, diffusers' name, and the betas that both are given.
IN_DIFFUSERS = [
    ("linear", "linear", {"beta_start": 1e-4, "beta_end": 0.02}),
    ("linear", "linear", {"beta_start": 1e-3, "beta_end": 0.05}),
    ("scaled_linear", "scaled_linear", {"beta_start": 0.00085, "beta_end": 0.012}),
    ("sigmoid", "sigmoid", {"beta_start": 1e-4, "beta_end": 0.02}),
    ("cosine", "squaredcos_cap_v2", {}),
]


# Against diffusers


@pytest.mark.parametrize("timesteps", [10, 50, 1000])
@pytest.mark.parametrize(("ours", "theirs", "knobs"), IN_DIFFUSERS)
def test_tables_are_diffusers(ours: str, theirs: str, knobs: dict[str, Any], timesteps: int) -> None:
    schedule = ScheduleConfig(ours, timesteps, **knobs).make()
    reference: Any = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule=theirs, **knobs)
    # Theirs are float32: a β rounds to 6e-8 of itself, but out of 1 - β; a product of T of them drifts by √T ulps.
    np.testing.assert_allclose(schedule.betas, reference.betas, rtol=1e-5, atol=2e-7)
    np.testing.assert_allclose(schedule.alphas_cumprod, reference.alphas_cumprod, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("timesteps", [10, 50, 1000])
@pytest.mark.parametrize(("ours", "theirs", "knobs"), IN_DIFFUSERS)
def test_zero_terminal_snr_is_diffusers(ours: str, theirs: str, knobs: dict[str, Any], timesteps: int) -> None:
    schedule = ScheduleConfig(ours, timesteps, rescale_betas_zero_snr=True, **knobs).make()
    assert schedule.zero_terminal_snr
    assert schedule.alphas_cumprod[-1] == 0
    plain = ScheduleConfig(ours, timesteps, **knobs).make()
    # Fed with our float64 betas, their algorithm works in float64: what is left is rounding.
    betas = scheduling_ddim.rescale_zero_terminal_snr(plain.betas.clone())
    np.testing.assert_allclose(schedule.betas, betas, rtol=0, atol=1e-9)
    reference: Any = DDPMScheduler(
        num_train_timesteps=timesteps, beta_schedule=theirs, rescale_betas_zero_snr=True, **knobs
    )
    np.testing.assert_allclose(schedule.alphas_cumprod, reference.alphas_cumprod, rtol=0, atol=1e-5)


@pytest.mark.parametrize("timesteps", [10, 200, 2000])
def test_laplace_is_diffusers_squared(timesteps: int) -> None:
    # diffusers' alpha_bar is √(SNR / (1 + SNR)): the root of what the paper's λ(u) makes of ᾱ, which is ours. Theirs
    # is on the grid u = (t + 1)/T, ours on (t + ½)/T: twice as long, theirs has ours in every second place.
    reference: Any = DDPMScheduler(num_train_timesteps=2 * timesteps, beta_schedule="laplace")
    theirs = reference.alphas_cumprod[::2].double().numpy() ** 2
    # They divide by alpha_bar(0), and add 1e-6 within the logarithm: 0.1 % each, and T β in float32.
    np.testing.assert_allclose(ScheduleConfig("laplace", timesteps).make().alphas_cumprod, theirs, rtol=3e-3)


@pytest.mark.parametrize(("sigma_min", "sigma_max", "rho"), [(0.002, 80.0, 7.0), (0.004, 20.0, 3.0)])
def test_karras_is_diffusers(sigma_min: float, sigma_max: float, rho: float) -> None:
    reference: Any = EulerDiscreteScheduler(sigma_min=sigma_min, sigma_max=sigma_max, use_karras_sigmas=True)
    schedule = ScheduleConfig("karras", 40, sigma_min=sigma_min, sigma_max=sigma_max, rho=7.0).make()
    theirs = reference._convert_to_karras(np.array([sigma_max, sigma_min]), 40)
    np.testing.assert_allclose((schedule.sigmas / schedule.alphas).flip(0), theirs, rtol=1e-9)
    # diffusers has no other ρ than 7. Of any: the table's middle is half the way in the ρ-th root.
    middle = ScheduleConfig("karras", 41, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho).make()
    root = (sigma_min ** (1 / rho) + sigma_max ** (1 / rho)) / 2
    assert float(middle.sigmas[20] / middle.alphas[20]) == pytest.approx(root**rho, rel=1e-9)


def test_zero_terminal_snr_is_lin_et_al() -> None:
    # Algorithm 1 by hand: √ᾱ is shifted to end at 0, then scaled to start where it did.
    plain = ScheduleConfig("linear", 20).make().alphas_cumprod.sqrt().numpy()
    expected = (plain - plain[-1]) * plain[0] / (plain[0] - plain[-1])
    rescaled = ScheduleConfig("linear", 20, rescale_betas_zero_snr=True).make()
    np.testing.assert_allclose(rescaled.alphas, expected, atol=1e-14)
    assert rescaled.alphas[0] == pytest.approx(plain[0], abs=1e-15)
    assert rescaled.log_snr[-1] == -math.inf


@pytest.mark.parametrize("name", NAMES)
def test_zero_terminal_snr_twice_is_once(name: str) -> None:
    once = ScheduleConfig(name, 50, rescale_betas_zero_snr=True).make()
    betas = scheduling_ddim.rescale_zero_terminal_snr(once.betas.clone())
    np.testing.assert_allclose(betas, once.betas, atol=1e-12)


# Against closed forms


def test_quadratic() -> None:
    betas = ScheduleConfig("quadratic", 11, beta_start=0.01, beta_end=0.21).make().betas
    np.testing.assert_allclose(betas, [0.01 + 0.2 * (t / 10) ** 2 for t in range(11)], atol=1e-14)


def test_flow_is_the_straight_path() -> None:
    schedule = ScheduleConfig("flow", 4).make()
    np.testing.assert_allclose(schedule.sigmas, [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=1e-15)
    np.testing.assert_allclose(schedule.alphas + schedule.sigmas, 1, atol=1e-15)
    # ᾱ belongs to the same signal-to-noise ratio on the variance-preserving circle.
    np.testing.assert_allclose(schedule.alphas_cumprod, [49 / 50, 25 / 34, 9 / 34, 1 / 50], atol=1e-15)


def test_karras_is_equation_5() -> None:
    # Their index runs from σ_max down, ours up to it.
    i = np.arange(18)
    sigma = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    schedule = ScheduleConfig("karras", 18, sigma_min=0.002, sigma_max=80.0).make()
    np.testing.assert_allclose(schedule.sigmas / schedule.alphas, sigma[::-1], rtol=1e-9)
    np.testing.assert_allclose(schedule.alphas.square() + schedule.sigmas.square(), 1, atol=1e-14)


def test_cosine_is_equation_17() -> None:
    schedule = ScheduleConfig("cosine", 100, s=0.02).make()
    f = [math.cos((t / 100 + 0.02) / 1.02 * math.pi / 2) ** 2 for t in range(101)]
    betas = [min(1 - f[t + 1] / f[t], MAX_BETA) for t in range(100)]
    np.testing.assert_allclose(schedule.betas, betas, atol=1e-13)
    # Up to the clipped last step this is ᾱ_t = f(t)/f(0).
    np.testing.assert_allclose(schedule.alphas_cumprod[:-1], np.array(f[1:-1]) / f[0], rtol=1e-10)


def test_laplace_is_the_quantile_function() -> None:
    # λ is drawn from a Laplace law where u is uniform: λ at u is the law's quantile at 1 - u.
    schedule = ScheduleConfig("laplace", 500, mu=1.0, b=0.8).make()
    law = torch.distributions.Laplace(*torch.tensor([1.0, 0.8], dtype=torch.float64))
    u = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    np.testing.assert_allclose(schedule.log_snr, law.icdf(1 - u), atol=1e-9)
    assert float(ScheduleConfig("laplace", 501, mu=1.0).make().log_snr[250]) == pytest.approx(
        1.0, abs=1e-12
    )  # its centre


def test_scaled_linear_is_linear_in_the_root() -> None:
    roots = ScheduleConfig("scaled_linear", 7).make().betas.sqrt()
    np.testing.assert_allclose(roots, np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 7), atol=1e-14)


# What is derived from the two tables


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_derived_tables_are_brute_force(name: str, zero_snr: bool) -> None:
    schedule = ScheduleConfig(name, 25, rescale_betas_zero_snr=zero_snr).make()
    alphas, sigmas = schedule.alphas.tolist(), schedule.sigmas.tolist()
    cumprod = [a * a / (a * a + s * s) for a, s in zip(alphas, sigmas, strict=True)]
    betas, posterior, previous = [], [], 1.0
    for now in cumprod:
        beta = 1 - now / previous
        betas.append(beta)
        posterior.append((1 - previous) / (1 - now) * beta)  # Ho et al. 2020, equation 7
        previous = now
    np.testing.assert_allclose(schedule.alphas_cumprod, cumprod, atol=1e-15)
    np.testing.assert_allclose(schedule.betas, betas, atol=1e-14)
    np.testing.assert_allclose(schedule.posterior_variance, posterior, atol=1e-14)
    np.testing.assert_allclose(schedule.snr, [(a / s) ** 2 for a, s in zip(alphas, sigmas, strict=True)], rtol=1e-12)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(schedule.log_snr, np.log(schedule.snr.numpy()), rtol=1e-12)
    np.testing.assert_allclose(schedule.scales, [math.hypot(a, s) for a, s in zip(alphas, sigmas, strict=True)])
    assert len(schedule) == 25
    assert schedule.posterior_variance[0] == 0  # from t = 0 there is but one way back: no noise


def test_beta_tilde_is_the_variance_of_bayes_rule() -> None:
    # q(x_{t-1} | x_t, x_0) is a product of two Gaussians: its precision is the sum of theirs.
    schedule = ScheduleConfig("linear", 30).make()
    beta, before = schedule.betas[1:], schedule.alphas_cumprod[:-1]
    precision = (1 - beta) / beta + 1 / (1 - before)
    np.testing.assert_allclose(schedule.posterior_variance[1:], 1 / precision, rtol=1e-10)


def test_a_short_linear_schedule_warns() -> None:
    short = ScheduleConfig("linear", 50).make()
    assert short.alphas_cumprod[-1] == pytest.approx(0.60, abs=0.005)
    assert "0.60" in short.warning
    assert "78 %" in short.warning  # √0.603
    assert ScheduleConfig("linear", 1000).make().warning == ""
    assert ScheduleConfig("linear", 50, rescale_betas_zero_snr=True).make().warning == ""


@given(
    name=st.sampled_from(NAMES),
    timesteps=st.one_of(st.integers(2, 64), st.integers(2, MAX_TIMESTEPS)),
    zero_snr=st.booleans(),
)
def test_every_schedule_at_every_length(name: str, timesteps: int, zero_snr: bool) -> None:
    schedule = ScheduleConfig(name, timesteps, rescale_betas_zero_snr=zero_snr).make()
    assert len(schedule) == timesteps
    assert schedule.name == name
    for table in (schedule.alphas, schedule.sigmas, schedule.alphas_cumprod, schedule.snr, schedule.posterior_variance):
        assert table.shape == (timesteps,)
        assert table.dtype == torch.float64
        assert table.isfinite().all()
    assert (schedule.alphas_cumprod.diff() < 0).all()
    assert (schedule.snr.diff() < 0).all()
    assert (schedule.sigmas.diff() >= 0).all()  # 1 - 1e-17 is 1: at T = 4000 linear stands still at the end
    assert ((schedule.alphas_cumprod >= 0) & (schedule.alphas_cumprod < 1)).all()
    # A 0 in the last place is exactly what zero terminal SNR asks for, and nothing else does.
    assert schedule.zero_terminal_snr == zero_snr
    last = 1 if zero_snr else 0
    betas = schedule.betas[: timesteps - last]
    assert ((betas > 0) & (betas < 1)).all()
    assert (schedule.posterior_variance <= schedule.betas).all()
    assert (schedule.log_snr[: timesteps - last]).isfinite().all()


# Finding a level again


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_nearest_timestep_inverts_the_table(name: str, zero_snr: bool) -> None:
    schedule = ScheduleConfig(name, 200, rescale_betas_zero_snr=zero_snr).make()
    t = torch.arange(200, dtype=torch.float64)
    torch.testing.assert_close(schedule.nearest_timestep(schedule.alphas, schedule.sigmas), t, rtol=0, atol=1e-6)
    # Only σ/α counts: the variance-preserving pair is at the same place.
    alphas = schedule.alphas_cumprod.sqrt()
    torch.testing.assert_close(
        schedule.nearest_timestep(alphas, (1 - schedule.alphas_cumprod).sqrt()), t, rtol=0, atol=1e-6
    )


@given(
    name=st.sampled_from(NAMES),
    timesteps=st.integers(2, 300),
    places=st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True),
)
def test_nearest_timestep_between_the_entries(name: str, timesteps: int, places: list[float]) -> None:
    # Interpolating the angle by hand, a fraction of the way from one entry to the next.
    schedule = ScheduleConfig(name, timesteps).make()
    angles = torch.atan2(schedule.sigmas, schedule.alphas).numpy()
    t = np.sort(np.array(places)) * (timesteps - 1)
    angle = torch.from_numpy(np.interp(t, np.arange(timesteps), angles))
    found = schedule.nearest_timestep(angle.cos(), angle.sin()).numpy()
    # Linear at T = 4 has neighbours 1e-3 apart in angle; an angle is good to 1e-16.
    np.testing.assert_allclose(found, t, rtol=0, atol=1e-6)
    assert (np.diff(found) >= -1e-9).all()


def test_nearest_timestep_stays_on_the_table() -> None:
    schedule = ScheduleConfig("karras", 50).make()
    assert schedule.nearest_timestep(torch.tensor(1.0), torch.tensor(0.0)) == 0
    assert schedule.nearest_timestep(torch.tensor(0.0), torch.tensor(1.0)) == 49


def test_add_noise_has_the_moments() -> None:
    schedule = ScheduleConfig("flow", 10).make()
    x0 = torch.tensor([[2.0, -3.0]]).expand(200_000, 2)
    eps = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    x = schedule.add_noise(x0, eps, torch.full((200_000,), 6))
    alpha, sigma = 0.35, 0.65  # u = 6.5/10
    # Five standard errors of a mean and of a standard deviation over 200,000.
    torch.testing.assert_close(x.mean(0), alpha * x0[0], rtol=0, atol=5 * sigma / 447)
    torch.testing.assert_close(x.std(0), torch.full((2,), sigma), rtol=0, atol=5 * sigma / 632)


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 3, 4, 4)])
def test_add_noise_takes_one_level_a_row(shape: tuple[int, ...]) -> None:
    schedule = ScheduleConfig("cosine", 100).make()
    rng = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)
    t = torch.tensor([0, 99, 3, 50, 3])
    x = schedule.add_noise(x0, eps, t)
    assert x.dtype == torch.float32
    for row, step in enumerate(t.tolist()):
        expected = float(schedule.alphas[step]) * x0[row] + float(schedule.sigmas[step]) * eps[row]
        torch.testing.assert_close(x[row], expected)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "linaer"}, "Unknown schedule 'linaer'.*linear"),
        ({"timesteps": 1}, "T must lie in 2 … 4000; it is 1"),
        ({"timesteps": 0}, "2 … 4000"),
        ({"timesteps": -5}, "2 … 4000"),
        ({"timesteps": MAX_TIMESTEPS + 1}, "2 … 4000"),
        ({"timesteps": math.nan}, "2 … 4000"),
        ({"beta_start": math.nan}, "beta_start must be a finite number"),
        ({"beta_end": math.inf}, "beta_end must be a finite number"),
        ({"beta_end": 1.0}, "beta_end must lie between 0 and 1"),
        ({"beta_end": 1.5}, "beta_end must lie between 0 and 1"),
        ({"beta_start": 0.0}, "beta_start must lie between 0 and 1"),
        ({"beta_start": -0.1}, "beta_start must lie between 0 and 1"),
        ({"sigma_min": 0.1}, "linear schedule has no such knob: sigma_min"),
        ({"name": "flow", "beta_end": 0.02}, "flow schedule has no such knob: beta_end"),
        ({"name": "karras", "sigma_min": 30.0}, "σ_min must lie between 0 and σ_max; it is 30 and σ_max is 20"),
        ({"name": "karras", "sigma_min": 0.0}, "σ_min must lie between 0"),
        ({"name": "karras", "sigma_max": -1.0}, "σ_min must lie between 0"),
        ({"name": "cosine", "s": -0.01}, "offset s must lie in"),
        ({"name": "cosine", "s": 1.0}, "offset s must lie in"),
        ({"name": "cosine", "s": math.nan}, "s must be a finite number"),
        ({"name": "karras", "rho": 0.0}, "ρ must lie in 0.1 … 100; it is 0"),
        ({"name": "karras", "rho": -7.0}, "ρ must lie in"),
        ({"name": "karras", "rho": 1e9}, "ρ must lie in"),
        ({"name": "karras", "sigma_min": 1e-9}, "σ must stay within 0.001 … 1000"),
        ({"name": "karras", "sigma_max": 1e9}, "σ must stay within"),
        ({"name": "laplace", "b": 0.0}, r"width b must lie in \(0, 4\]; it is 0"),
        ({"name": "laplace", "b": -0.5}, "width b must lie in"),
        ({"name": "laplace", "b": 100.0}, "width b must lie in"),
        ({"name": "laplace", "mu": 50.0}, "centre μ must lie in -10 … 10; it is 50"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ScheduleError, match=words) as refusal:
        ScheduleConfig(**dict[str, Any]({"name": "linear", "timesteps": 100} | arguments)).make()
    # Each case turns one knob besides the name, and the refusal names it.
    assert refusal.value.knob == list(arguments)[-1]


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "quadratic", "sigmoid"])
def test_betas_that_leave_nothing_are_refused(name: str) -> None:
    # ᾱ_T = 0.001^1000 is no float64 any more: the table would stand still at 0.
    with pytest.raises(ScheduleError, match="Lower β_end") as refusal:
        ScheduleConfig(name, 1000, beta_start=0.9, beta_end=0.999).make()
    assert refusal.value.knob == "beta_end"


@pytest.mark.parametrize(
    ("alphas", "sigmas", "words"),
    [
        ([0.9], [0.1], "at least 2"),
        ([0.9, 0.5], [0.1, 0.5, 0.9], "equally long"),
        ([0.5, 0.9], [0.5, 0.1], "must fall at every timestep"),
        ([0.5, 0.5], [0.5, 0.5], "must fall at every timestep"),
        ([1.0, 0.5], [0.0, 0.5], "σ > 0"),
        ([0.9, -0.1], [0.1, 0.9], "α ≥ 0"),
        ([0.9, math.nan], [0.1, 0.9], "finite"),
        ([math.inf, 0.1], [0.1, 0.9], "finite"),
    ],
)
def test_tables_that_are_no_schedule_are_refused(alphas: list[float], sigmas: list[float], words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        NoiseSchedule("own", torch.tensor(alphas).double(), torch.tensor(sigmas).double())
