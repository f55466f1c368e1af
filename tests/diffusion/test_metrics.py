"""The metrics against numpy float64 brute force and closed forms."""

import math

import numpy as np
import pytest
import torch

from playground.diffusion.metrics import (
    energy_distance,
    off_support,
    sliced_wasserstein,
)
from tests.diffusion.clouds import in_unit_disc, normal_quantiles, randn

torch.set_num_threads(1)


# Sliced Wasserstein


def test_sliced_wasserstein_is_the_brute_force() -> None:
    a, b = randn(40, 2), 2 * randn(40, 2, seed=1)
    squares = []
    for j in range(500):
        direction = np.array([math.cos(math.pi * j / 500), math.sin(math.pi * j / 500)])
        u, v = np.sort(a.double().numpy() @ direction), np.sort(b.double().numpy() @ direction)
        squares.append(np.mean((u - v) ** 2))
    assert sliced_wasserstein(a, b) == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-12)


def test_sliced_wasserstein_of_unequal_sizes_compares_interpolated_quantiles() -> None:
    a, b = randn(70, 2), randn(200, 2, seed=1) + 1
    levels = (np.arange(200) + 0.5) / 200
    squares = []
    for j in range(50):
        direction = np.array([math.cos(math.pi * j / 50), math.sin(math.pi * j / 50)])
        u, v = a.double().numpy() @ direction, b.double().numpy() @ direction
        difference = np.quantile(u, levels, method="hazen") - np.quantile(v, levels, method="hazen")
        squares.append(np.mean(difference**2))
    expected = math.sqrt(np.mean(squares))
    assert sliced_wasserstein(a, b, projections=50) == pytest.approx(expected, rel=1e-12)
    assert sliced_wasserstein(b, a, projections=50) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("projections", [2, 7, 500])
def test_sliced_wasserstein_of_a_shift_in_the_plane(projections: int) -> None:
    # The mean of (d . u)^2 over evenly spaced angles is |d|^2 / 2, exactly.
    a = randn(100, 2).double()
    d = torch.tensor([3.0, -4.0], dtype=torch.float64)
    assert sliced_wasserstein(a, a + d, projections) == pytest.approx(5 / math.sqrt(2), rel=1e-12)


def test_sliced_wasserstein_of_a_shift_in_space() -> None:
    a = randn(50, 8).double()
    d = torch.ones(8, dtype=torch.float64)
    # |d|^2 / D on average; 20,000 random directions know it to 1 %.
    assert sliced_wasserstein(a, a + d, projections=20_000) == pytest.approx(1, rel=0.01)


def test_sliced_wasserstein_of_a_scaling() -> None:
    # W2(2a, a) of a projection is its root mean square, so SW2^2 = mean |a|^2 / 2 in the plane.
    a = randn(100, 2).double()
    expected = math.sqrt(a.square().sum(dim=1).mean().item() / 2)
    assert sliced_wasserstein(2 * a, a) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sizes", [(4000, 4000), (4000, 1000)])
def test_wasserstein_between_gaussians_on_a_line(sizes: tuple[int, int]) -> None:
    # W2^2 = (m1 - m2)^2 + (s1 - s2)^2; cutting a normal into quantiles costs its tails a little.
    a, b = normal_quantiles(sizes[0], 1.0, 2.0), normal_quantiles(sizes[1], -0.5, 0.5)
    assert sliced_wasserstein(a, b) == pytest.approx(math.hypot(1.5, 1.5), rel=2e-3)


def test_random_directions_come_from_the_seed() -> None:
    a, b = randn(50, 5), randn(50, 5, seed=1)
    assert sliced_wasserstein(a, b) == sliced_wasserstein(a, b)
    assert sliced_wasserstein(a, b, seed=0) != sliced_wasserstein(a, b, seed=1)


# Energy distance


@pytest.mark.parametrize(("n", "m"), [(60, 60), (30, 80), (2, 3)])
def test_energy_distance_is_the_brute_force(n: int, m: int) -> None:
    a, b = randn(n, 3).double().numpy(), (0.5 * randn(m, 3, seed=1) + 0.3).double().numpy()

    def mean_distance(u: np.ndarray, v: np.ndarray, pairs: int) -> float:
        return float(sum(np.linalg.norm(x - y) for x in u for y in v) / pairs)

    expected = 2 * mean_distance(a, b, n * m) - mean_distance(a, a, n * (n - 1)) - mean_distance(b, b, m * (m - 1))
    actual = energy_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert actual == pytest.approx(expected, abs=1e-12)


def test_energy_distance_of_two_pairs_by_hand() -> None:
    # 2 (0+1+1+0)/4 - 1 - 1: the same points, and the unbiased statistic is negative.
    a = torch.tensor([[0.0], [1.0]])
    assert energy_distance(a, a) == pytest.approx(-1)


def test_energy_distance_of_two_places() -> None:
    # Point masses d apart: E = 2d.
    assert energy_distance(torch.zeros(10, 1), torch.full((7, 1), 3.0)) == pytest.approx(6)


def test_energy_distance_is_blind_to_a_common_offset() -> None:
    # Distances by matrix product would lose everything here.
    a, b = randn(50, 2).double(), randn(50, 2, seed=1).double()
    assert energy_distance(a + 1e6, b + 1e6) == pytest.approx(energy_distance(a, b), abs=1e-8)


def test_energy_distance_between_normals_on_a_line() -> None:
    # E|N(d, v)| = sqrt(2v/pi) exp(-d^2/2v) + d erf(d / sqrt(2v)), with v the two variances' sum.
    def mean_abs(d: float, v: float) -> float:
        return math.sqrt(2 * v / math.pi) * math.exp(-(d**2) / (2 * v)) + d * math.erf(d / math.sqrt(2 * v))

    a, b = normal_quantiles(3000, 0.0, 1.0), normal_quantiles(3000, 1.0, 2.0)
    expected = 2 * mean_abs(1.0, 5.0) - mean_abs(0.0, 2.0) - mean_abs(0.0, 8.0)
    assert energy_distance(a, b) == pytest.approx(expected, abs=2e-3)


def test_energy_distance_is_unbiased_between_draws_of_one_law() -> None:
    values = [energy_distance(randn(30, 2, seed=2 * i), randn(30, 2, seed=2 * i + 1)) for i in range(400)]
    standard_error = np.std(values) / math.sqrt(len(values))
    assert min(values) < 0
    # The V-statistic would be 2 E|a-a'| / 30 = 0.118 here, some 50 standard errors away.
    assert abs(np.mean(values)) < 4 * standard_error < 0.02


def test_energy_distance_spans_blocks() -> None:
    # 1,500 x 1,500 is more than one block of distances.
    a, b = randn(1500, 2).double(), randn(1400, 2, seed=1).double() + 0.5
    x, y = a.numpy(), b.numpy()

    def total(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.hypot(u[:, None, 0] - v[None, :, 0], u[:, None, 1] - v[None, :, 1]).sum())

    expected = 2 * total(x, y) / (1500 * 1400) - total(x, x) / (1500 * 1499) - total(y, y) / (1400 * 1399)
    assert energy_distance(a, b) == pytest.approx(expected, abs=1e-12)


def test_off_support_counts_what_is_outside_and_what_is_not_a_number() -> None:
    points = torch.tensor([[0.0, 0.0], [0.5, 0.5], [2.0, 0.0], [torch.nan, 0.0], [0.0, -torch.inf]])
    assert off_support(points, in_unit_disc) == pytest.approx(3 / 5)
    # Even where the support would let them in.
    assert off_support(points, lambda p: torch.ones(len(p), dtype=torch.bool)) == pytest.approx(2 / 5)
    assert off_support(points[:2], in_unit_disc) == 0
    assert off_support(points[2:], in_unit_disc) == 1
    assert off_support(points[3:], in_unit_disc) == 1
