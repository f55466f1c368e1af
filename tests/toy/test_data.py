"""The built-in point clouds: each follows its law, and its support is where it has mass."""

import math

import numpy as np
import pytest
import torch

from playground.toy.data import DATASETS, DataError, make_cloud

N = 100_000
EVERY = pytest.mark.parametrize("name", list(DATASETS))


# ---- The data sets


@EVERY
def test_shapes_types_and_labels(name: str) -> None:
    cloud = make_cloud(name, 5000, seed=0)
    assert cloud.points.shape == (5000, 2)
    assert cloud.points.dtype == torch.float32
    assert cloud.points.isfinite().all()
    assert cloud.points.abs().max() < 1.5
    assert cloud.points.amax(dim=0).min() > 0.5, "fills about [-1, 1]²"
    assert cloud.points.amin(dim=0).max() < -0.45, "fills about [-1, 1]²"
    if cloud.classes:
        assert cloud.labels is not None
        assert cloud.labels.shape == (5000,)
        assert cloud.labels.dtype == torch.int64
        assert sorted(set(cloud.labels.tolist())) == list(range(len(cloud.classes)))
        assert len(set(cloud.classes)) == len(cloud.classes)
    else:
        assert cloud.labels is None


@EVERY
def test_points_are_on_their_support(name: str) -> None:
    cloud = make_cloud(name, N, seed=1)
    assert cloud.support is not None
    on = cloud.support(cloud.points)
    assert on.shape == (N,)
    assert on.dtype == torch.bool
    # In 2-D, P(|x - mean| <= 3 std) = 1 - exp(-9/2); a point may also lie within 3 std of a neighbour's mean.
    expected = 1 - math.exp(-4.5) if name == "gaussian_mixture" else 1.0
    assert on.double().mean() >= expected - 4 * math.sqrt(expected * (1 - expected) / N)


@EVERY
def test_points_far_away_are_off_the_support(name: str) -> None:
    support = DATASETS[name].support
    theta = torch.linspace(0, 6.3, 500)
    assert not support(2 * torch.stack((theta.cos(), theta.sin()), dim=1)).any()


# Worked out by hand: holes, gaps between arms, and the places just outside an edge.
OFF = {
    "spiral": [(0, 0), (0.2, 0), (0.45, 0), (-0.45, 0), (-0.63, 0), (0, 0.6), (0.24, -0.01), (-0.95, -0.01)],
    "disc_grid": [(0, 0), (1, 0.89), (1 / 3 + 0.08, 1 / 3 + 0.08), (-1.11, 1)],
    "gaussian_mixture": [(0, 0), (0.49, 0), (1.11, 0), (0, 0.45)],
    "two_discs": [(0, 0), (-0.5, -0.19), (-0.8, -0.8), (0.5, -0.01), (0.9, 0.9), (-0.5, 0.5)],
    "ramp": [(1.01, 0), (-1.01, 0), (0, 1.01), (0, -1.01)],
    "two_moons": [(-0.9, -0.16), (-0.3, -0.15), (0.9, 0.16), (0.3, 0.15), (-0.3, 0.53), (0, 0)],
    "swiss_roll": [(0, 0), (0.01, -0.35), (0, -0.5), (-0.01, 0.95), (0, 0.99), (0.3, 0.3)],
    "checkerboard": [(-0.75, -0.24), (-0.25, -0.75), (0.02, -0.02), (0.75, -0.75), (1.01, 0.75)],
    "rings": [(0, 0), (0.25, 0), (0, 0.45), (-0.55, 0), (0, -0.75), (0.95, 0)],
    "pinwheel": [(0, 0), (0.19, 0), (0.5, 0), (0.8935, -0.1077), (0, 0.9)],
    "heart": [(0, 0.8), (0.9, 0.9), (0.9, -0.6), (0, -0.97), (-0.7, -0.5)],
    "dinosaur": [(0.1, -0.1), (-0.3, 0.5), (0.66, 0.6), (0, -0.6), (0.9, 0)],
}


@EVERY
def test_points_beside_the_shape_are_off_the_support(name: str) -> None:
    off = torch.tensor(OFF[name])
    assert DATASETS[name].support(off).tolist() == [False] * len(off)


@EVERY
def test_the_support_is_no_larger_than_the_cloud(name: str) -> None:
    # A support that is too generous has places with no point of a dense cloud nearby.
    cloud = make_cloud(name, N, seed=2)
    places = 2.6 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(3)) - 1.3
    inside = places[DATASETS[name].support(places)]
    if name == "ramp":
        inside = inside[inside[:, 0] < 0.8]  # the density falls to 0 at x = 1
    assert len(inside) > 10
    assert torch.cdist(inside, cloud.points).amin(dim=1).max() < 0.05


@EVERY
def test_the_seed_decides_the_cloud(name: str) -> None:
    first, again, other = (make_cloud(name, 100, seed) for seed in (7, 7, 8))
    assert torch.equal(first.points, again.points)
    if first.labels is not None and again.labels is not None:
        assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.points, other.points)


def test_spiral_is_minidiffusions() -> None:
    points, labels = DATASETS["spiral"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    x, y = points.double().T.numpy()
    rho, angle = np.hypot(x, y), np.arctan2(y, x) % (2 * np.pi)
    # The arm passes each angle at most twice, 0.433 apart in ρ and 0.15 wide: ρ tells which turn it is.
    turns = angle[:, None] + 2 * np.pi * np.arange(2)  # (n, 2)
    rest = rho[:, None] - 0.25 - 0.65 * turns / (3 * np.pi)
    fits = (rest > -1e-5) & (rest < 0.15 + 1e-5) & (turns < 3 * np.pi + 1e-5)
    assert (fits.sum(axis=1) == 1).all()
    u, v = turns[fits] / (3 * np.pi), rest[fits] / 0.15
    for uniform in (u, v):  # on [0, 1]: Kolmogorov-Smirnov at about the 1e-4 level
        assert np.abs(np.sort(uniform) - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N)
    assert abs(np.corrcoef(u, v)[0, 1]) < 4 / math.sqrt(N)
    inner = np.abs(u * 3 % 1 - 0.5) < 0.499  # away from the borders between half turns
    assert (labels.numpy()[inner] == np.floor(3 * u[inner])).all()


def test_disc_grid_is_minidiffusions() -> None:
    points, labels = DATASETS["disc_grid"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    xy = points.double().numpy()
    cell = np.clip(np.round((xy + 1) * 1.5), 0, 3)  # column and row, from the lower left
    offset = xy - (cell / 1.5 - 1)
    radius2 = (offset**2).sum(axis=1) / 0.01
    assert radius2.max() <= 1 + 1e-4
    assert np.abs(np.sort(radius2) - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N), "uniform in area"
    assert (labels.numpy() == 4 * (3 - cell[:, 1]) + cell[:, 0]).all()
    assert DATASETS["disc_grid"].classes[int(labels[xy.sum(axis=1).argmax()])] == "row 1, column 4"
    counts = np.bincount(labels.numpy(), minlength=16)
    assert ((counts - N / 16) ** 2 / (N / 16)).sum() < 44, "chi-squared, 15 degrees of freedom, level 1e-4"


def test_two_discs_and_ramp_are_minidiffusions() -> None:
    points, q = DATASETS["two_discs"].sample(N, torch.Generator().manual_seed(0))
    assert q is not None
    radius = (points + 0.5 - q[:, None]).norm(dim=1) / (0.3 + 0.2 * q)
    assert radius.max() <= 1 + 1e-5
    assert (radius**2).mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * N))
    assert q.double().mean() == pytest.approx(0.5, abs=4 / math.sqrt(4 * N))
    ramp, _ = DATASETS["ramp"].sample(N, torch.Generator().manual_seed(0))
    x, y = ((ramp + 1) / 2).double().T.numpy()
    rank = (np.arange(N) + 0.5) / N
    assert np.abs(np.sort(x) - (1 - np.sqrt(1 - rank))).max() < 0.02, "P(min(U, U') <= x) = 1 - (1 - x)²"
    assert np.abs(np.sort(y) - rank).max() < 2.2 / math.sqrt(N)


def test_gaussian_mixture_has_its_moments() -> None:
    points, labels = DATASETS["gaussian_mixture"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    for k in range(8):
        mine = points[labels == k].double()
        angle = 2 * math.pi * k / 8
        mean = torch.tensor([0.8 * math.cos(angle), 0.8 * math.sin(angle)], dtype=torch.float64)
        assert len(mine) == pytest.approx(N / 8, abs=4 * math.sqrt(N * 7 / 64))
        assert (mine.mean(dim=0) - mean).abs().max() < 5 * 0.1 / math.sqrt(len(mine))
        assert (mine.T.cov() - 0.01 * torch.eye(2)).abs().max() < 5 * 0.01 * math.sqrt(2 / len(mine))


@pytest.mark.parametrize("name", ["two_moons", "rings", "pinwheel"])
def test_classes_are_apart(name: str) -> None:
    cloud = make_cloud(name, 4000, seed=0)
    assert cloud.labels is not None
    different = cloud.labels[:, None] != cloud.labels
    assert torch.cdist(cloud.points, cloud.points)[different].min() > 0.03


def test_make_cloud_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(DataError, match=r"spiral.*dinosaur"):
        make_cloud("nessie", 100, 0)
    for n in (-1, 0, 1, 100_001):
        with pytest.raises(DataError, match="from 2 to 100,000"):
            make_cloud("spiral", n, 0)
    with pytest.raises(DataError, match="from 2 to 10"):
        make_cloud("spiral", 11, 0, max_points=10)
    assert len(make_cloud("spiral", 2, 0).points) == 2
