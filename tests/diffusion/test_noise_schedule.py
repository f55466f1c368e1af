"""The pair of tables that every schedule is: what is derived from it, what it is asked, and what is no schedule."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import MAX_TIMESTEPS, NoiseSchedule, ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from tests.diffusion.every_schedule import schedule_of

# What is derived from the two tables


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_derived_tables_are_brute_force(name: str, zero_snr: bool) -> None:
    schedule = schedule_of(name, 25, zero_snr).make()
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
    name=st.sampled_from(list(SCHEDULES)),
    timesteps=st.one_of(st.integers(2, 64), st.integers(2, MAX_TIMESTEPS)),
    zero_snr=st.booleans(),
)
def test_every_schedule_at_every_length(name: str, timesteps: int, zero_snr: bool) -> None:
    schedule = schedule_of(name, timesteps, zero_snr).make()
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
@pytest.mark.parametrize("name", SCHEDULES)
def test_nearest_timestep_inverts_the_table(name: str, zero_snr: bool) -> None:
    schedule = schedule_of(name, 200, zero_snr).make()
    t = torch.arange(200, dtype=torch.float64)
    torch.testing.assert_close(schedule.nearest_timestep(schedule.alphas, schedule.sigmas), t, rtol=0, atol=1e-6)
    # Only σ/α counts: the variance-preserving pair is at the same place.
    alphas = schedule.alphas_cumprod.sqrt()
    torch.testing.assert_close(
        schedule.nearest_timestep(alphas, (1 - schedule.alphas_cumprod).sqrt()), t, rtol=0, atol=1e-6
    )


@given(
    name=st.sampled_from(list(SCHEDULES)),
    timesteps=st.integers(2, 300),
    places=st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True),
)
def test_nearest_timestep_between_the_entries(name: str, timesteps: int, places: list[float]) -> None:
    # Interpolating the angle by hand, a fraction of the way from one entry to the next.
    schedule = schedule_of(name, timesteps).make()
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
