"""The learned schedule against the optimum that calculus gives, and its moments against the data's own."""

from collections.abc import Generator

import numpy as np
import pytest
import torch

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.learned import (
    EVERY,
    LEAST,
    LEVELS,
    MOST,
    POINTS,
    Moments,
    MonotoneNetwork,
    learn,
    moments_of,
)
from playground.toy.data import DataError, make_cloud

STRAIGHT = ((0.0, MOST), (1.0, LEAST))


def cloud(name: str) -> torch.Tensor:
    """(POINTS, 2) as the networks have them: mean 0, and 1 in the mean square."""
    points = make_cloud(name, POINTS, 0).points.double()
    points = points - points.mean(0)
    return points / points.square().mean().sqrt()


def optimal(moments: Moments) -> tuple[tuple[float, float], ...]:
    """The knots of p(λ) ∝ √E‖ε - ε̂‖⁴: each stretch of λ gets its share of the time."""
    share = torch.cumulative_trapezoid(moments.fourth.sqrt(), moments.levels)
    u = 1 - torch.cat([torch.zeros(1).double(), share]) / share[-1]
    return tuple(zip(u.flip(0).tolist(), moments.levels.flip(0).tolist(), strict=True))


@pytest.mark.parametrize("name", ["spiral", "disc_grid"])
def test_it_finds_nearly_the_optimum(name: str) -> None:
    steps = list(learn(name, seed=1))
    first, last = steps[0], steps[-1]
    assert first.variance == pytest.approx(moments_of(name, 1).variance(STRAIGHT), rel=0.02)
    assert last.variance < first.variance / 2
    assert last.least <= last.variance < 1.1 * last.least


def test_the_optimum_is_one() -> None:
    moments = moments_of("spiral", 0)
    best = optimal(moments)
    # Knots at the table's own levels: what is left is straight lines within them.
    assert moments.variance(best) == pytest.approx(moments.least_variance, rel=0.01)
    rng = np.random.default_rng(0)
    for _ in range(20):  # and whoever moves the knots does worse
        u = np.array(best)[:, 0] ** rng.uniform(0.7, 1.4)
        other = tuple(zip(u.tolist(), np.array(best)[:, 1].tolist(), strict=True))
        assert moments.variance(other) >= moments.least_variance * 0.999


def test_variance_is_that_of_the_estimate() -> None:
    # Draw t and a pair (x0, ε), as training does, and look at the spread of ½ γ'(t) ‖ε - ε̂‖².
    moments, rng = moments_of("two_moons", 0), torch.Generator().manual_seed(7)
    points = cloud("two_moons")
    n = 4000
    level = MOST + (LEAST - MOST) * torch.rand(n, generator=rng, dtype=torch.float64)  # the straight line
    alpha, sigma = torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()
    x0, eps = points[torch.randint(POINTS, (n,), generator=rng)], torch.randn(n, 2, generator=rng).double()
    x = alpha[:, None] * x0 + sigma[:, None] * eps
    eps_hat = (x - alpha[:, None] * ExactDenoiser(points)(x, alpha, sigma)) / sigma[:, None]
    loss = (MOST - LEAST) / 2 * (eps - eps_hat).square().sum(1)
    # The table's own 512 pairs are good to some 5 %, and so is a variance over 4,000 heavy-tailed losses.
    assert float(loss.mean()) == pytest.approx(moments.bound, rel=0.12)
    assert float(loss.var()) == pytest.approx(moments.variance(STRAIGHT), rel=0.25)


def test_moments_are_the_posterior_variance() -> None:
    # E‖x0 - x̂0‖² is twice the mean posterior variance per dimension, and SNR times it the error of ε̂.
    moments, rng = moments_of("two_discs", 0), torch.Generator().manual_seed(3)
    points = cloud("two_discs")
    for k in (30, 60, 75):
        level = moments.levels[k]
        alpha, sigma = torch.sigmoid(level).sqrt(), torch.sigmoid(-level).sqrt()
        x = alpha * points + sigma * torch.randn(points.shape, generator=rng, dtype=torch.float64)
        expected = level.exp() * 2 * ExactDenoiser(points).posterior_variance(x, alpha, sigma).mean()
        assert float(moments.second[k]) == pytest.approx(float(expected), rel=0.15)
    assert len(moments.levels) == LEVELS
    assert (moments.fourth >= moments.second.square() * (1 - 1e-12)).all()  # Jensen


def test_the_bound_belongs_to_the_ends_alone() -> None:
    # Any schedule between them: its mean loss is ∫ γ' E‖ε - ε̂‖² dt / 2.
    moments = moments_of("spiral", 0)
    t = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    for power in (1.0, 2.0):
        level = MOST + (LEAST - MOST) * t**power
        error = torch.from_numpy(np.interp(level.numpy(), moments.levels.numpy(), moments.second.numpy()))
        mean = -torch.trapezoid(error, level) / 2
        assert float(mean) == pytest.approx(moments.bound, rel=1e-5)


def test_the_network_falls_between_its_ends() -> None:
    network = MonotoneNetwork(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        network.heights.add_(8)
    t = torch.linspace(0, 1, 2001)
    with torch.no_grad():
        level, slope = network(t)
    assert float(level[0]) == pytest.approx(MOST, abs=1e-4)
    assert float(level[-1]) == pytest.approx(LEAST, abs=1e-4)
    assert (level.diff() < 0).all()
    (by_autograd,) = torch.autograd.grad(network(t.requires_grad_())[0].sum(), t)
    torch.testing.assert_close(slope, -by_autograd, rtol=1e-4, atol=1e-3)


def test_the_same_seed_the_same_schedule() -> None:
    one, other, third = (list(learn("spiral", seed, 25)) for seed in (1, 1, 0))
    assert one == other
    assert one[-1].knots != third[-1].knots
    assert [step.step for step in one] == [*range(0, 25, EVERY), 25]
    assert all(step.steps == 25 for step in one)


def test_every_step_on_the_way_is_a_schedule() -> None:
    for step in learn("two_moons", 0, 40):
        made = ScheduleConfig("learned", 500, knots=step.knots).make()
        assert float(made.log_snr[0]) == pytest.approx(MOST, abs=1e-3)
        assert float(made.log_snr[-1]) == pytest.approx(LEAST, abs=1e-3)
        assert made.warning == ""
    ScheduleConfig("learned", 4000, knots=step.knots).make()


def test_it_can_be_stopped() -> None:
    steps = learn("spiral", 0, 5000)
    assert isinstance(steps, Generator)
    next(steps)
    steps.close()
    assert not list(steps)


@pytest.mark.parametrize("steps", [0, -1, 5001])
def test_refused_steps(steps: int) -> None:
    with pytest.raises(ScheduleError, match="1 … 5,000") as refusal:
        next(learn("spiral", 0, steps))
    assert refusal.value.knob == "steps"


def test_no_such_cloud() -> None:
    with pytest.raises(DataError, match="no data set"):
        next(learn("cube", 0, 10))
