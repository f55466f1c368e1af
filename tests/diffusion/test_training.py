"""Algorithm 1 against brute force, and against the one optimal denoiser that is linear, that of a single Gaussian."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.prediction import PREDICTIONS, Prediction, target
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import (
    TrainingConfig,
    draw_levels,
)
from tests.diffusion.trainers import SCHEDULE, Line, cloud, trainer

# The loss


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("levels", ["log_normal", "uniform"])
def test_loss_and_step_are_brute_force(prediction: Prediction, levels: Any) -> None:
    config = TrainingConfig(
        prediction, levels, batch_size=64, learning_rate=0.1, warmup_steps=0, decay="constant", ema_decay=0.9
    )
    network = Line()
    run = trainer(config, network)
    step = run.step()
    # The same draws, in the algorithm's order: data, levels, noise.
    rng = torch.Generator().manual_seed(0)
    x0 = cloud()[torch.randint(1000, (64,), generator=rng)].double()
    u = (torch.arange(64) + torch.rand(64, generator=rng)).double() / 64
    if levels == "uniform":
        kept = SCHEDULE.alphas_cumprod[(100 * u).long()][:, None]
        alpha, sigma = kept.sqrt(), (1 - kept).sqrt()
    else:
        ratio = torch.exp(-1.2 + 1.2 * math.sqrt(2) * torch.erfinv(2 * u - 1))[:, None]
        alpha, sigma = 1 / (1 + ratio**2).sqrt(), ratio / (1 + ratio**2).sqrt()
    eps = torch.randn(64, 2, generator=rng).double()
    x = alpha * x0 + sigma * eps
    aim = target(prediction, x0, eps, alpha, sigma)
    loss = np.mean((0.5 * x.numpy() - aim.numpy()) ** 2)
    assert step.loss == pytest.approx(loss, rel=1e-4)
    assert (step.step, step.learning_rate) == (1, 0.1)
    assert step.seconds > 0
    asked, alphas, sigmas, labels = network.asked[0]
    torch.testing.assert_close(asked.double(), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(alphas.double(), alpha, rtol=0, atol=1e-5)
    torch.testing.assert_close(sigmas.double(), sigma, rtol=0, atol=1e-5)
    assert labels is None
    # Adam's first step is the learning rate, against the gradient's sign.
    gradient = np.mean(2 * (0.5 * x.numpy() - aim.numpy()) * x.numpy())
    assert network.weight.item() == pytest.approx(0.5 - 0.1 * np.sign(gradient), abs=1e-6)


def test_labels_are_hidden_at_the_rate_asked_for() -> None:
    labels = torch.arange(1000) % 3
    network = Line()
    run = trainer(TrainingConfig(batch_size=2048, label_dropout=0.25), network, labels=labels, classes=3)
    run.step()
    seen = network.asked[0][3]
    assert seen is not None
    index = torch.randint(1000, (2048,), generator=torch.Generator().manual_seed(0))
    shown = seen != 3
    assert torch.equal(seen[shown], labels[index][shown])
    # Five binomial standard deviations.
    assert (~shown).float().mean() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 2048))


@pytest.mark.parametrize(("dropout", "hidden"), [(0.0, 0), (1.0, 64)])
def test_no_label_or_every_label_is_hidden(dropout: float, hidden: int) -> None:
    network = Line()
    config = TrainingConfig(batch_size=64, label_dropout=dropout)
    trainer(config, network, labels=torch.zeros(1000, dtype=torch.long), classes=1).step()
    seen = network.asked[0][3]
    assert seen is not None
    assert int((seen == 1).sum()) == hidden


# The noise levels


@given(n=st.integers(1, 3000), mean=st.floats(-3, 2), std=st.floats(0.1, 2), seed=st.integers(0, 2**31))
def test_log_normal_levels_hit_every_stratum_once(n: int, mean: float, std: float, seed: int) -> None:
    config = TrainingConfig(p_mean=mean, p_std=std)
    alpha, sigma = draw_levels(n, config, SCHEDULE, torch.Generator().manual_seed(seed))
    assert alpha.shape == sigma.shape == (n,)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(n))
    z = ((sigma.double() / alpha.double()).log() - mean) / std
    share = torch.special.ndtr(z)
    # One in each n-th of the distribution: its empirical distribution is within 1/n, where independent draws
    # have 1/√n (Kolmogorov-Smirnov). 1e-4: float32, and the ends clipped at 1e-6.
    stratum = torch.arange(n)
    assert (share > stratum / n - 1e-4).all()
    assert (share < (stratum + 1) / n + 1e-4).all()


@given(n=st.integers(1, 2000), timesteps=st.integers(2, 2000), seed=st.integers(0, 2**31))
def test_uniform_levels_are_uniform_in_t(n: int, timesteps: int, seed: int) -> None:
    schedule = ScheduleConfig("karras", timesteps).make()
    config = TrainingConfig(noise_levels="uniform")
    t = schedule.nearest_timestep(*draw_levels(n, config, schedule, torch.Generator().manual_seed(seed)))
    assert (t - t.round()).abs().max() < 0.1  # every level is one of the table
    t = t.round()
    assert ((t >= 0) & (t < timesteps)).all()
    # Stratum i of n is [i, i+1) T/n, and t its floor.
    stratum = torch.arange(n)
    assert (t >= (stratum * timesteps / n).floor() - 1e-3 * timesteps).all()
    assert (t <= ((stratum + 1) * timesteps / n).ceil()).all()


@given(n=st.integers(1, 2000), seed=st.integers(0, 2**31))
def test_angle_levels_are_uniform_in_the_angle(n: int, seed: int) -> None:
    config = TrainingConfig(noise_levels="angle")
    alpha, sigma = draw_levels(n, config, SCHEDULE, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(n))
    share = torch.atan2(sigma.double(), alpha.double()) * (2 / torch.pi)
    stratum = torch.arange(n)
    assert (share > stratum / n - 1e-5).all()
    assert (share < (stratum + 1) / n + 1e-5).all()


def test_uniform_levels_never_fall_off_the_schedule() -> None:
    # (n - 1 + u)/n in float32 is 1 when u is close enough to it: once in 2,000 draws of 10,000.
    config, generator = TrainingConfig(noise_levels="uniform"), torch.Generator().manual_seed(14)
    for _ in range(20):
        alpha, _ = draw_levels(10_000, config, SCHEDULE, generator)
        assert alpha.min() == SCHEDULE.alphas_cumprod[-1].sqrt().float()
