"""What a lab tells at one moment: score field, loss by timestep, quality, each against its closed form."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.prediction import PREDICTIONS, Prediction, target, to_eps
from playground.diffusion.schedule_config import ScheduleConfig
from playground.toy import LabError, ToyConfig, ToyLab
from playground.toy.data import DataError, make_cloud
from tests.toy.fields import field_of
from tests.toy.labs import SMALL, TRIANGLE, losses, samples, standard

# ---- The score field


@pytest.mark.parametrize("schedule", ["karras", "flow"])
def test_the_exact_field_is_the_gradient_of_the_log_density(schedule: str) -> None:
    lab = ToyLab(SMALL.changed(schedule=ScheduleConfig(schedule)))
    exact, points, h = ExactDenoiser(standard(lab)), lab.cloud.points.double(), 1e-5
    std = (points - points.mean(0)).square().mean().sqrt()
    for t in (150, 500, 999):
        field = field_of(lab.now(), t, grid=7)
        assert field.points.shape == field.exact.shape == field.learned.shape == (49, 2)
        ratio = float(lab.schedule.sigmas[t] / lab.schedule.alphas[t])
        alpha, sigma = 1 / math.hypot(1, ratio), ratio / math.hypot(1, ratio)
        scale = math.hypot(float(lab.schedule.alphas[t]), float(lab.schedule.sigmas[t]))
        x = (field.points.double() - points.mean(0)) / std / scale
        for axis in (0, 1):
            step = torch.zeros(2, dtype=torch.float64)
            step[axis] = h
            slope = (exact.log_density(x + step, alpha, sigma) - exact.log_density(x - step, alpha, sigma)) / (2 * h)
            torch.testing.assert_close(field.exact[:, axis].double(), sigma * slope, atol=2e-3, rtol=2e-3)


def test_the_lattice_runs_row_by_row_from_the_lower_left_over_the_window() -> None:
    lab = ToyLab(SMALL)
    x, y, half = lab.now().window
    points = field_of(lab.now(), 10, grid=3).points
    expected = [(x + i * half, y + j * half) for j in (-1, 0, 1) for i in (-1, 0, 1)]
    torch.testing.assert_close(points, torch.tensor(expected))
    assert ((lab.cloud.points - torch.tensor([x, y])).abs() < half).all(), "the window shows all the data"
    for grid in (1, 65):
        with pytest.raises(LabError, match="grid"):
            field_of(lab.now(), 10, grid=grid)
    for t in (-1, 1000):
        with pytest.raises(LabError, match="999"):
            field_of(lab.now(), t)


# Root mean square of learned minus exact, in units of the noise, where the density is above a tenth of its peak.
# Measured: 0.154, 0.038, 0.010; an untrained network has 0.859, 0.153 (and at 700, where all is Gaussian, 0.010).
@pytest.mark.parametrize(("t", "limit"), [(300, 0.28), (500, 0.07), (700, 0.025)])
def test_the_learned_field_is_the_exact_one_where_the_data_are(trained: ToyLab, t: int, limit: float) -> None:
    def error(lab: ToyLab) -> float:
        field = field_of(lab.now(), t)
        alpha = float(lab.schedule.alphas[t])
        x = (field.points - lab.mean) / lab.std
        density = ExactDenoiser(standard(lab)).log_density(x.double(), alpha, math.sqrt(1 - alpha**2)).exp()
        dense = density > 0.1 * density.max()
        assert dense.sum() > 100
        return float((field.learned - field.exact)[dense].square().sum(1).mean().sqrt())

    assert error(trained) < limit
    assert error(ToyLab()) > 2 * limit or t == 700


def test_many_fields_are_each_field() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 10)
    now = lab.now()
    fields = zip(now.learned_fields([5, 700], 6), now.exact_fields([5, 700], 6), strict=True)
    for t, (learned, exact) in zip((5, 700), fields, strict=True):
        assert learned.shape == exact.shape == (36, 2)
        assert torch.equal(learned, field_of(lab.now(), t, 6).learned)
        assert torch.equal(exact, field_of(lab.now(), t, 6).exact)


def test_the_field_is_of_the_class_to_draw() -> None:
    lab = ToyLab(SMALL.changed(dataset="two_moons", conditional=True))
    losses(lab, 60)
    every = field_of(lab.now(), 600, 5)
    assert lab.update(label=1, guidance_scale=1.5) == "live"
    now, field, x = lab.now(), field_of(lab.now(), 600, 5), (every.points - lab.mean) / lab.std
    alpha, sigma = now._level(600)
    x_t = x / float(lab.schedule.scales[600])
    one = torch.ones(25, dtype=torch.int64)
    with torch.no_grad():
        learned = (alpha * now.denoiser(one, 1.5)(x_t, alpha, sigma) - x_t) / sigma
    torch.testing.assert_close(field.learned, learned)
    # The exact score of class 1 alone, extrapolated from that of all: s = 1.5 goes half as far again.
    assert lab.cloud.labels is not None
    alone = ExactDenoiser(now.x0[lab.cloud.labels == 1])(x_t, alpha, sigma)
    together = now.exact(x_t, alpha, sigma)
    torch.testing.assert_close(field.exact, (alpha * (1.5 * alone - 0.5 * together) - x_t) / sigma)
    assert (field.exact - every.exact).abs().max() > 0.1


def test_the_window_of_a_tight_cluster_far_from_the_middle() -> None:
    points = torch.tensor([1.3, -1.2]) + 0.01 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    lab = ToyLab(ToyConfig(points=points, network=SMALL.network))
    assert lab.std == pytest.approx(0.01, rel=0.1)
    x, y, half = lab.now().window
    assert [x, y] == pytest.approx([1.3, -1.2], abs=0.02)
    assert 0.02 < half < 0.06, "the cluster fills it"
    assert lab.sample(200).x[0].sub(torch.tensor([x, y])).abs().le(half).double().mean() > 0.9, "and noise fits in"
    assert standard(lab).std(0) == pytest.approx([1, 1], abs=0.15)


def test_a_snapshot_does_not_change() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 5)
    now = lab.now()
    x, field, loss = now.sample(20).x, field_of(now, 300, 4), now.loss_by_timestep(10, 4)
    losses(lab, 5)
    lab.update(schedule=ScheduleConfig("linear", 50))
    lab.update(dataset="heart", **{"network.width": 8})
    assert (now.step, now.run, lab.run) == (5, 1, 2)
    assert torch.equal(now.sample(20).x, x)
    assert torch.equal(field_of(now, 300, 4).learned, field.learned)
    assert torch.equal(now.loss_by_timestep(10, 4).loss, loss.loss)
    with pytest.raises(dataclasses.FrozenInstanceError):
        now.step = 6  # type: ignore[misc]


# ---- Loss by timestep


def squared_errors(lab: ToyLab, t: Tensor, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the exact posterior mean as the network, on the lab's own draws: squared errors of the prediction, and what
    they are on average given x_t; both (bins, n), by brute force in float64.
    """
    *draws, labels = lab.now()._probe(t, n)
    alpha, sigma, x0, eps = (draw.double() for draw in draws)
    x, points = alpha * x0 + sigma * eps, standard(lab)
    squares = (x[:, None] - alpha[:, :, None] * points).square().sum(2)  # (bins * n, N)
    if labels is not None and lab.cloud.labels is not None:
        squares[labels[:, None] != lab.cloud.labels] = math.inf
    weights = (-squares / (2 * sigma**2)).softmax(1)
    x0_hat = weights @ points
    spread = (weights @ points.square() - x0_hat.square()).mean(1)
    prediction = lab.config.training.prediction
    wanted = target(prediction, x0, eps, alpha, sigma)
    found = target(prediction, x0_hat, to_eps(x0_hat, x, alpha, sigma), alpha, sigma)
    # The prediction is affine in x0 given x_t, so its variance is that of x0 times the squared slope.
    slope = target(prediction, x0 + 1, to_eps(x0 + 1, x, alpha, sigma), alpha, sigma) - wanted
    errors = (found - wanted).square().mean(1)
    return errors.reshape(-1, n).numpy(), (slope[:, 0].square() * spread).reshape(-1, n).numpy()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_floor_is_the_exact_denoisers_loss(prediction: str, conditional: bool) -> None:
    lab = ToyLab(SMALL.changed(conditional=conditional, **{"training.prediction": prediction}))
    n, bins = 2000, 7
    by_timestep = lab.now().loss_by_timestep(n, bins)
    assert by_timestep.t.tolist() == [0, 166, 333, 500, 666, 832, 999]
    errors, expected = squared_errors(lab, by_timestep.t, n)
    np.testing.assert_allclose(by_timestep.floor.numpy(), expected.mean(1), rtol=1e-3, atol=1e-6)
    # What the floor stands for: the best network's loss. Each draw's error is its mean given x_t, plus chance.
    chance = (errors - expected).std(1) / math.sqrt(n)
    assert (np.abs(errors.mean(1) - expected.mean(1)) < 4.5 * chance + 1e-6).all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_loss_is_the_mean_squared_error(prediction: Prediction, conditional: bool) -> None:
    """As training has it, on the same draws: the two agree on average, and differ by chance on a few draws."""
    config = ToyConfig(dataset="disc_grid", n_points=1000, conditional=conditional)
    lab = ToyLab(config.changed(**{"training.prediction": prediction}))
    losses(lab, 100)
    n, bins, now = 1000, 8, lab.now()
    by_timestep = now.loss_by_timestep(n, bins)
    alpha, sigma, x0, eps, labels = now._probe(by_timestep.t, n)
    with torch.no_grad():
        output = now.network(alpha * x0 + sigma * eps, alpha, sigma, labels).double()
    wanted = target(prediction, x0.double(), eps.double(), alpha.double(), sigma.double())
    plain = (output - wanted).square().mean(1).reshape(bins, n)
    chance = plain.std(1) / math.sqrt(n)
    assert ((plain.mean(1) - by_timestep.loss).abs() < 4.5 * chance + 1e-6).all()
    assert (by_timestep.loss > by_timestep.floor).all()


def test_a_trained_network_comes_close_to_the_floor(trained: ToyLab) -> None:
    by_timestep = trained.now().loss_by_timestep(n=2000, bins=8)
    # At t = 0 only a network that knows all points by heart would: measured 4.6, then 1.08 and at most 1.04.
    assert (by_timestep.loss[1:] < 1.2 * by_timestep.floor[1:]).all()
    untrained = ToyLab().now().loss_by_timestep(n=2000, bins=8)
    assert torch.equal(untrained.floor, by_timestep.floor)
    assert (untrained.loss[:4] > 1.1 * untrained.floor[:4]).all()


def test_the_floor_follows_the_knobs() -> None:
    def floor(lab: ToyLab) -> torch.Tensor:
        return lab.now().loss_by_timestep(20, 4).floor

    lab = ToyLab(SMALL)
    for k in range(100):
        floor(lab)
        place = id(lab.schedule)
        for timesteps in range(300 + 7 * k, 304 + 7 * k):  # until a schedule gets the first one's place in memory
            lab.update(**{"schedule.timesteps": timesteps})
            if id(lab.schedule) == place:
                assert torch.equal(floor(lab), floor(ToyLab(lab.config)))
    for changes in (
        {"training.prediction": "x0"},
        {"dataset": "heart"},
        {"schedule.name": "linear"},
        {"schedule.beta_end": 0.1},
    ):
        lab.update(**changes)
        assert torch.equal(floor(lab), floor(ToyLab(lab.config)))


# ---- Quality, fresh data, user points


def rows(points: Tensor) -> set[tuple[float, ...]]:
    return {tuple(point) for point in points.tolist()}


def test_fresh_data_are_new_draws_of_the_same_law() -> None:
    lab = ToyLab(SMALL)
    fresh = lab.now().fresh(1000, 0)
    assert fresh.shape == (1000, 2)
    assert lab.cloud.support is not None
    assert lab.cloud.support(fresh).all()
    assert torch.equal(fresh, lab.now().fresh(1000, 0))
    assert not torch.equal(fresh, lab.now().fresh(1000, 1))
    assert not rows(fresh) & rows(lab.cloud.points), "training has seen none of them"
    assert ToyLab(SMALL.changed(seed=2**32 - 1)).now().fresh(5, 3).shape == (5, 2)


def test_fresh_user_points_are_a_draw_with_replacement() -> None:
    points = make_cloud("heart", 50, 0).points
    lab = ToyLab(ToyConfig(points=points))
    draw = lab.now().fresh(50, 0)
    assert rows(draw) < rows(points)
    assert torch.equal(draw, lab.now().fresh(50, 0))
    assert not torch.equal(draw, lab.now().fresh(50, 1))
    many = torch.cdist(lab.now().fresh(50_000, 1), points).argmin(1)
    counts = torch.bincount(many, minlength=50)
    assert ((counts - 1000) ** 2 / 1000).sum() < 99, "chi-squared, 49 degrees of freedom, level 3e-5"


def test_user_points_have_a_floor() -> None:
    """Two draws of the same few points differ: their law is known that well, and no better."""
    quality = ToyLab(ToyConfig(points=make_cloud("heart", 50, 0).points)).quality(50)
    assert quality.off is None
    assert quality.distance_floor > 0.03
    assert quality.energy_floor != 0


def test_quality_reads_against_its_floor() -> None:
    lab = ToyLab()
    exact = lab.quality(1000, exact=True)
    assert exact.n == 1000
    assert exact.off is not None
    assert exact.distance < 3 * exact.distance_floor
    assert exact.off < 0.05
    assert lab.quality(500) == lab.quality(500)
    assert lab.quality(500) == lab.now().judge(samples(lab, 500))
    assert lab.quality(500, seed=1) != lab.quality(500)


@pytest.mark.parametrize(
    "points", [TRIANGLE, TRIANGLE[:2], np.array(TRIANGLE), torch.tensor(TRIANGLE), tuple(TRIANGLE)]
)
def test_user_points_are_learned(points: Any) -> None:
    lab = ToyLab(ToyConfig(points=points, network=SMALL.network))
    assert lab.cloud.points.tolist() == torch.tensor(TRIANGLE)[: len(points)].tolist()
    losses(lab, 300)
    x = samples(lab, 200)
    before = samples(ToyLab(lab.config), 200)
    near, far = (torch.cdist(s, lab.cloud.points).amin(1).median() for s in (x, before))
    assert near < 0.5 * far
    lab.now().window  # noqa: B018 (it can be drawn)
    field_of(lab.now(), 500, 4)
    lab.now().loss_by_timestep(8, 3)


def test_labelled_user_points_are_learned_by_class() -> None:
    cloud = make_cloud("two_discs", 400, 0)
    lab = ToyLab(ToyConfig(points=dataclasses.replace(cloud, name="mine"), conditional=True))
    losses(lab, 300)
    small, large = (samples(lab, 200, labels=k) for k in (0, 1))
    assert (small.sum(1) < 0).double().mean() > 0.95
    assert (large.sum(1) > 0).double().mean() > 0.95


@pytest.mark.parametrize("points", [[], [[0.0, 0.0]], [[1.0, 1.0]] * 5, [[0.0, math.nan], [1.0, 1.0]], "junk", 3])
def test_points_that_cannot_be_learned(points: Any) -> None:
    with pytest.raises(DataError):
        ToyLab(ToyConfig(points=points))
