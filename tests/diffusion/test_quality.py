"""Quality, excess and the Fréchet distance, against closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.metrics import (
    Quality,
    energy_distance,
    excess,
    frechet_distance,
    off_support,
    quality,
    sliced_wasserstein,
)
from tests.diffusion.clouds import in_unit_disc, normal_quantiles, randn

DISTANCES = [sliced_wasserstein, energy_distance, frechet_distance]


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
