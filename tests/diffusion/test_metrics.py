"""The metrics against numpy float64 brute force and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.metrics import (
    Quality,
    energy_distance,
    excess,
    frechet_distance,
    off_support,
    quality,
    sliced_wasserstein,
)

torch.set_num_threads(1)

DISTANCES = [sliced_wasserstein, energy_distance, frechet_distance]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normal_quantiles(n: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """A normal as its own quantiles, (n, 1): a sample without sampling noise."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (mean + std * math.sqrt(2) * torch.erfinv(2 * levels - 1))[:, None]


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


# Off the support


def in_unit_disc(points: Tensor) -> Tensor:
    return points.norm(dim=1) <= 1


def test_off_support_counts_what_is_outside_and_what_is_not_a_number() -> None:
    points = torch.tensor([[0.0, 0.0], [0.5, 0.5], [2.0, 0.0], [torch.nan, 0.0], [0.0, -torch.inf]])
    assert off_support(points, in_unit_disc) == pytest.approx(3 / 5)
    # Even where the support would let them in.
    assert off_support(points, lambda p: torch.ones(len(p), dtype=torch.bool)) == pytest.approx(2 / 5)
    assert off_support(points[:2], in_unit_disc) == 0
    assert off_support(points[2:], in_unit_disc) == 1
    assert off_support(points[3:], in_unit_disc) == 1


# Excess and Quality


def test_excess() -> None:
    assert excess(5, 4) == pytest.approx(3)
    assert excess(4, 5) == 0
    assert excess(2, 0) == 2


def test_quality_puts_each_figure_beside_its_floor() -> None:
    samples, reference, reference2 = randn(200, 2) + 1, randn(200, 2, seed=1), randn(200, 2, seed=2)
    result = quality(samples, reference, reference2, in_unit_disc)
    assert result == Quality(
        distance=sliced_wasserstein(samples, reference),
        distance_floor=sliced_wasserstein(reference2, reference),
        energy=energy_distance(samples, reference),
        energy_floor=energy_distance(reference2, reference),
        off=off_support(samples, in_unit_disc),
        off_floor=off_support(reference2, in_unit_disc),
        n=200,
    )
    assert result.distance > result.distance_floor
    assert result.energy > result.energy_floor
    assert result.excess == pytest.approx(math.sqrt(result.distance**2 - result.distance_floor**2))


def test_quality_without_a_support() -> None:
    result = quality(randn(20, 2), randn(20, 2, seed=1), randn(20, 2, seed=2))
    assert result.off is None
    assert result.off_floor is None


def test_floors_shrink_with_n() -> None:
    def floors(n: int) -> tuple[float, float]:
        pairs = [(randn(n, 2, seed=i), randn(n, 2, seed=100 + i)) for i in range(10)]
        return (
            float(np.mean([sliced_wasserstein(a, b, projections=50) for a, b in pairs])),
            float(np.std([energy_distance(a, b) for a, b in pairs])),
        )

    (distance_small, energy_small), (distance_large, energy_large) = floors(50), floors(800)
    # 16 times the points: about a quarter of the distance, a sixteenth of the energy's spread.
    assert distance_large < distance_small / 2
    assert energy_large < energy_small / 4


# Fréchet


def test_frechet_of_features_with_set_moments() -> None:
    # Whitened, then coloured: the sample mean and covariance are exactly the ones asked for.
    white = randn(500, 4).double()
    white = white - white.mean(dim=0)
    white = white @ torch.linalg.inv(torch.linalg.cholesky(white.T.cov())).T
    mean_a, mean_b = torch.zeros(4, dtype=torch.float64), torch.tensor([1.0, 2.0, 0.0, -1.0]).double()

    # Covariances that commute: tr = sum (s_i - t_i)^2.
    s, t = torch.tensor([1.0, 2.0, 3.0, 0.0]).double(), torch.tensor([2.0, 0.5, 3.0, 1.0]).double()
    commuting = frechet_distance(mean_a + white * s, mean_b + white * t)
    assert commuting == pytest.approx(6 + (1 + 2.25 + 0 + 1), abs=1e-6)

    # And two that do not, with the eigenvalues of S_a S_b itself from numpy.
    root_a, root_b = randn(4, 4, seed=1).double(), randn(4, 4, seed=2).double()
    cov_a, cov_b = (root_a @ root_a.T).numpy(), (root_b @ root_b.T).numpy()
    trace = np.trace(cov_a + cov_b) - 2 * np.sqrt(np.linalg.eigvals(cov_a @ cov_b)).real.sum()
    general = frechet_distance(mean_a + white @ root_a.T, mean_b + white @ root_b.T)
    assert general == pytest.approx(6 + trace, rel=1e-9)


def test_frechet_on_a_line_is_wasserstein_squared() -> None:
    a, b = normal_quantiles(4000, 1.0, 2.0), normal_quantiles(4000, -0.5, 0.5)
    assert frechet_distance(a, b) == pytest.approx(sliced_wasserstein(a, b) ** 2, rel=1e-3)


def test_frechet_of_fewer_rows_than_features() -> None:
    # Singular covariances, as from few images: no NaN, and nothing between a set and itself.
    a = randn(10, 64)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(a, a + 1) == pytest.approx(64, rel=1e-5)


# All distances


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(3, 40),
    m=st.integers(3, 40),
    shift=st.floats(-100, 100),
    scale=st.floats(0.01, 100),
)
@pytest.mark.parametrize(("distance", "degree"), [(sliced_wasserstein, 1), (energy_distance, 1), (frechet_distance, 2)])
def test_invariances(distance, degree: int, seed: int, n: int, m: int, shift: float, scale: float) -> None:
    a, b = randn(n, 2, seed=seed).double(), randn(m, 2, seed=seed + 1).double() + 0.5
    value = distance(a, b)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert distance(a[order], b) == pytest.approx(value, abs=1e-7)
    assert distance(b, a) == pytest.approx(value, abs=1e-7)
    assert distance(a + shift, b + shift) == pytest.approx(value, abs=1e-7)
    assert distance(scale * a, scale * b) == pytest.approx(scale**degree * value, rel=1e-6, abs=1e-6)


def test_a_set_is_at_no_distance_from_itself() -> None:
    a = randn(50, 2)
    assert sliced_wasserstein(a, a) == 0
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_bad_points_are_refused(distance) -> None:
    good = randn(10, 2)
    with pytest.raises(ValueError, match="at least"):
        distance(good, torch.zeros(0, 2))
    with pytest.raises(ValueError, match="expected"):
        distance(good, torch.zeros(10, 3))
    with pytest.raises(ValueError, match="expected"):
        distance(good, torch.zeros(10))
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="finite"):
            distance(good, torch.full((10, 2), bad))


def test_other_refusals() -> None:
    good = randn(10, 2)
    with pytest.raises(ValueError, match="projections"):
        sliced_wasserstein(good, good, projections=0)
    for distance in (energy_distance, frechet_distance):
        with pytest.raises(ValueError, match="at least 2"):
            distance(good[:1], good)
    with pytest.raises(ValueError, match="one size"):
        quality(good, good, good[:5])
    with pytest.raises(ValueError, match="N > 0"):
        off_support(torch.zeros(0, 2), in_unit_disc)
    with pytest.raises(ValueError, match="support must return"):
        off_support(good, lambda p: p)
    with pytest.raises(ValueError, match="support must return"):
        off_support(good, lambda p: p.norm(dim=1))
