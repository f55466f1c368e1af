"""Learning rate, average, resumption, divergence, and learning what is known."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from playground.diffusion.prediction import PREDICTIONS, Prediction, to_x0
from playground.diffusion.training import (
    Diverged,
    TrainingConfig,
    TrainingError,
    learning_rate_at,
)
from tests.diffusion.trainers import Line, cloud, trainer


class Small(nn.Module):
    """A perceptron of 32 neurons: 2 + 2 inputs, 2 outputs."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 2))

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(torch.cat([x, alpha.expand(len(x), 1), sigma.expand(len(x), 1)], 1))


# Rate, average, resumption


def rates(config: TrainingConfig, n: int, planned: int | None = None) -> list[float]:
    return [learning_rate_at(step, config, planned) for step in range(1, n + 1)]


def test_the_rate_warms_up() -> None:
    config = TrainingConfig(learning_rate=0.1, warmup_steps=4, decay="constant")
    assert rates(config, 7) == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.1])
    assert rates(TrainingConfig(learning_rate=0.1, warmup_steps=0, decay="constant"), 3) == [0.1] * 3


def test_the_rate_decays_with_time() -> None:
    config = TrainingConfig(learning_rate=0.1, warmup_steps=0, decay="with_time", decay_steps=100)
    found = rates(config, 1600)
    assert found[:100] == [0.1] * 100
    assert found[399] == pytest.approx(0.05)  # step 400: √(100/400)
    assert found[1599] == pytest.approx(0.025)
    assert (np.diff(found) <= 0).all()


def test_the_rate_falls_along_a_cosine() -> None:
    config = TrainingConfig(learning_rate=0.1, warmup_steps=0, decay="cosine")
    expected = [0.1 * (1 + math.cos(math.pi * k / 200)) / 2 for k in range(1, 201)]
    assert rates(config, 200, planned=200) == pytest.approx(expected, abs=1e-12)
    # With no end planned there is nothing to fall towards.
    assert rates(config, 5) == [0.1] * 5


def test_planned_steps_end_near_zero() -> None:
    run = trainer(TrainingConfig(decay="cosine", batch_size=8))
    steps = list(run.steps(60))
    assert [step.step for step in steps] == list(range(1, 61))
    assert steps[-1].learning_rate == pytest.approx(0, abs=1e-9)
    assert max(step.learning_rate for step in steps) > 0.005
    # Going on plans a new end; the 30 steps start above 0 again.
    more = list(run.steps(30))
    assert more[-1].step == 90
    assert more[0].learning_rate > 1e-4 > more[-1].learning_rate


def test_steps_without_a_number_go_on() -> None:
    run = trainer(TrainingConfig(batch_size=8))
    stream = run.steps()
    assert [next(stream).step for _ in range(5)] == [1, 2, 3, 4, 5]
    # Knobs may change between two steps.
    run.config = TrainingConfig(batch_size=8, learning_rate=0.5, warmup_steps=0)
    assert next(stream).learning_rate == 0.5


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_of_the_weights(decay: float) -> None:
    network = Line()
    run = trainer(TrainingConfig(batch_size=8, ema_decay=decay), network)
    average = 0.5
    for n in range(1, 30):
        run.step()
        keep = min(decay, (1 + n) / (10 + n))
        average = keep * average + (1 - keep) * network.weight.item()
        ema = next(run.ema.parameters())
        assert ema.item() == pytest.approx(average, abs=1e-5)
        assert not ema.requires_grad
    if decay == 0:
        assert ema.item() == network.weight.item()


class Normed(nn.Module):
    """Batch norm and a line: a network with statistics beside its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.line = nn.BatchNorm1d(2), Line()

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.line(self.norm(x), alpha, sigma, labels)


def test_the_average_has_the_statistics_of_batch_norm_and_only_reads_them() -> None:
    run = trainer(TrainingConfig(batch_size=64, ema_decay=0.999), Normed(), x0=cloud() + 3)
    list(run.steps(30))
    found, expected = dict(run.ema.named_buffers()), dict(run.network.named_buffers())
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert (found["norm.running_mean"] > 1).all()  # of data around 3 and noise, not of the start
    assert found["norm.num_batches_tracked"] == 30
    # Nothing that is asked of the average changes it, nor what it says of another row.
    x, level = cloud(4), (torch.tensor(0.6), torch.tensor(0.8))
    torch.testing.assert_close(run.ema(x, *level)[:1], run.ema(x[:1], *level))
    assert torch.equal(run.ema.get_buffer("norm.running_mean"), expected["norm.running_mean"])


@pytest.mark.parametrize("taken_at", [0, 1, 25])
@pytest.mark.parametrize("decay", ["with_time", "cosine"])
def test_a_state_continues_to_the_bit(taken_at: int, decay: Any) -> None:
    config = TrainingConfig(batch_size=16, decay=decay)
    labels = torch.arange(1000) % 2
    original = trainer(config, Small(), labels=labels, classes=2)
    original.planned_steps = 50
    for _ in range(taken_at):
        original.step()
    state = original.state_dict()
    losses = [original.step().loss for _ in range(50 - taken_at)]
    # Into a trainer of other weights and another seed that has been elsewhere; twice, for the state is a copy.
    other = trainer(config, Small(seed=9), seed=5, labels=labels, classes=2)
    list(other.steps(7))
    for _ in range(2):
        other.load_state_dict(state)
        assert other.step_count == taken_at
        assert [step.loss for step in other.steps(50 - taken_at)] == losses
        for ours, theirs in ((other.network, original.network), (other.ema, original.ema)):
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                assert torch.equal(a, b)
        assert other.smooth_loss == original.smooth_loss


def test_the_same_seed_is_the_same_run() -> None:
    def losses(seed: int, elsewhere: int) -> list[float]:
        torch.manual_seed(elsewhere)  # nothing may come from torch's global generator
        return [step.loss for step in trainer(network=Small(), seed=seed).steps(5)]

    assert losses(1, 2) == losses(1, 3)
    assert losses(1, 2) != losses(4, 2)


# Going wrong


def test_divergence_is_raised_with_the_rate() -> None:
    run = trainer(TrainingConfig(learning_rate=10.0, batch_size=64), Small())
    with pytest.raises(Diverged, match=r"diverged at step \d+.*The learning rate is 10; 0.01 or less works"):
        list(run.steps(2000))


def test_a_loss_that_is_no_number_is_divergence() -> None:
    run = trainer(network=Line(math.nan))
    with pytest.raises(Diverged, match="loss is nan"):
        run.step()


def test_one_wild_batch_is_not_divergence() -> None:
    # Once in a loss of about 1: the average over ten steps stays below a hundred.
    run = trainer(TrainingConfig(batch_size=64))
    list(run.steps(20))
    x0 = run.x0[torch.arange(len(run.x0))]
    run.x0 = 20 * x0
    assert run.step().loss > 40
    run.x0 = x0
    list(run.steps(20))


def test_after_divergence_a_state_leads_back() -> None:
    run = trainer(TrainingConfig(batch_size=64), Small())
    list(run.steps(10))
    state = run.state_dict()
    run.config = TrainingConfig(batch_size=64, learning_rate=100.0, warmup_steps=0)
    with pytest.raises(Diverged):
        list(run.steps(2000))
    run.load_state_dict(state)
    run.config = TrainingConfig(batch_size=64)
    assert all(step.loss < 10 for step in run.steps(10))


FLOATS = ["learning_rate", "p_mean", "p_std", "beta2", "ema_decay", "label_dropout"]


@pytest.mark.parametrize(
    "knobs",
    [
        *({name: value} for name in FLOATS for value in (math.nan, math.inf, -math.inf)),
        *({name: math.nan} for name in ("batch_size", "warmup_steps", "decay_steps")),
        {"prediction": "epsilon"},
        {"noise_levels": "linear"},
        {"decay": "exponential"},
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": 2049},
        {"learning_rate": 0.0},
        {"learning_rate": -0.01},
        {"learning_rate": 101.0},
        {"p_std": 0.0},
        {"p_std": -1.0},
        {"warmup_steps": -1},
        {"decay_steps": 0},
        {"ema_decay": 1.0},
        {"ema_decay": -0.1},
        {"beta2": 1.0},
        {"beta2": -0.1},
        {"label_dropout": -0.1},
        {"label_dropout": 1.1},
    ],
    ids=str,
)
def test_bad_knobs_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"\w{3}"):
        TrainingConfig(**knobs)


def test_refusals_name_the_knob() -> None:
    for knobs, words in (
        ({"batch_size": 0}, "batch size must lie in 1 … 2,048; it is 0"),
        ({"learning_rate": -1.0}, "learning rate must lie in .*it is -1"),
        ({"prediction": "epsilon"}, "noise, x0, v, flow"),
        ({"ema_decay": 1.0}, "EMA"),
    ):
        with pytest.raises(TrainingError, match=words):
            TrainingConfig(**dict[str, Any](knobs))


# Learning what is known


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_gaussian_is_learned(prediction: Prediction) -> None:
    # x0 ~ N(0, s² I): the best x̂0 is α s² / (α² s² + σ²) x, whatever is predicted.
    s = 0.5
    run = trainer(
        TrainingConfig(prediction, batch_size=512, learning_rate=1e-2, decay="cosine"), Small(), x0=cloud(5000, s)
    )
    before = copy.deepcopy(run.ema)
    list(run.steps(600))

    def error(network: nn.Module, ratio: float) -> float:
        """Root mean square of x̂0 - E[x0 | x], in shares of s, at one σ/α."""
        alpha, sigma = torch.tensor([[1 / math.hypot(1, ratio)]]), torch.tensor([[ratio / math.hypot(1, ratio)]])
        x = alpha * cloud(2000, s, seed=1) + sigma * cloud(2000, seed=2)
        best = alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x
        with torch.no_grad():
            found = to_x0(prediction, network(x, alpha, sigma), x, alpha, sigma)
        return (found - best).square().mean().sqrt().item() / s

    # ln σ is drawn around -1.2 ± 1.2: these levels are practised. A noise prediction's error counts σ/α times in x̂0;
    # twelve runs of three seeds ended between 0.007 and 0.113.
    for ratio in (0.1, 0.3, 1.0):
        assert error(run.ema, ratio) < 0.15
    assert error(run.ema, 1.0) < error(before, 1.0) / 4
