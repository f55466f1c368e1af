"""The exact denoiser against float64 brute force, quadrature, closed forms and automatic derivatives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import ExactDenoiser
from tests.diffusion.exact_cases import randn

torch.set_num_threads(1)

VP_LEVELS = [(math.sqrt(1 - s * s), s) for s in (0.002, 0.004, 0.02, 0.1, 0.5, 0.9, 0.9999)]


def brute_weights(points: Tensor, x: Tensor, alpha: float, sigma: float) -> np.ndarray:
    """Posterior weights (M, N) from centred differences, numpy float64."""
    differences = x.double().numpy()[:, None] - alpha * points.double().numpy()[None]
    logits = -np.square(differences).sum(axis=2) / (2 * sigma**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


# Finite data set


@pytest.mark.parametrize(("alpha", "sigma"), [*VP_LEVELS, (1.0, 80.0)])
def test_posterior_mean_is_the_float64_brute_force(alpha: float, sigma: float) -> None:
    # No near-tie is left out. Both sides start from the same float32 x and points and work in float64,
    # where even the off-data rows, whose posterior hangs on differences of 1e-5, agree.
    points = randn(5000, 2)
    noised = alpha * points[:100] + sigma * randn(100, 2, seed=1)
    x = torch.cat([noised, 3 * randn(100, 2, seed=2)])
    expected = brute_weights(points, x, alpha, sigma) @ points.double().numpy()
    actual = ExactDenoiser(points)(x, alpha, sigma)
    assert actual.dtype == torch.float32
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("alpha", "sigma"), VP_LEVELS)
def test_posterior_variance_is_the_float64_brute_force(alpha: float, sigma: float) -> None:
    points = randn(1000, 3)
    x = alpha * points[:50] + sigma * randn(50, 3, seed=1)
    weights, values = brute_weights(points, x, alpha, sigma), points.double().numpy()
    mean = weights @ values
    squares = np.square(values[None] - mean[:, None]).sum(axis=2)
    expected = (weights * squares).sum(axis=1) / 3
    actual = ExactDenoiser(points).posterior_variance(x, alpha, sigma)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-12)


def test_log_density_is_the_float64_brute_force() -> None:
    points, alpha, sigma = randn(500, 2), 0.8, 0.6
    x = randn(40, 2, seed=1)
    squares = np.square(x.double().numpy()[:, None] - alpha * points.double().numpy()[None]).sum(axis=2)
    expected = np.log(np.exp(-squares / (2 * sigma**2)).mean(axis=1) / (2 * np.pi * sigma**2))
    np.testing.assert_allclose(ExactDenoiser(points).log_density(x, alpha, sigma), expected, atol=1e-6)


def test_no_signal_gives_the_mean_of_the_points() -> None:
    points = randn(100, 2)
    mean = ExactDenoiser(points)(100 * randn(5, 2, seed=1), 0.0, 1.0)
    torch.testing.assert_close(mean, points.mean(dim=0).expand(5, 2))


@pytest.mark.parametrize("sigma", [0.0, 1e-30, 1e-12, 1e-6])
def test_no_noise_gives_the_nearest_point_of_x_over_alpha(sigma: float) -> None:
    points, alpha = randn(300, 2), 0.5
    x = alpha * (points[:50] + 1e-3 * randn(50, 2, seed=1))
    nearest = torch.cdist(x.double() / alpha, points.double()).argmin(dim=1)
    torch.testing.assert_close(ExactDenoiser(points)(x, alpha, sigma), points[nearest], rtol=0, atol=0)


def test_no_noise_splits_a_tie_evenly() -> None:
    denoiser = ExactDenoiser(torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 5.0]]))
    assert denoiser(torch.zeros(1, 2), 1.0, 0.0).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("size", [1e6, 1e30, 3e38])
@pytest.mark.parametrize("sigma", [0.0, 0.002, 1.0])
def test_huge_x_gives_the_point_furthest_that_way(size: float, sigma: float) -> None:
    points = randn(50, 2)
    direction = torch.nn.functional.normalize(randn(8, 2, seed=1), dim=1)
    furthest = (direction @ points.T).argmax(dim=1)
    torch.testing.assert_close(ExactDenoiser(points)(size * direction, 1.0, sigma), points[furthest])


def test_one_level_a_row_is_a_call_a_row() -> None:
    denoiser = ExactDenoiser(randn(200, 2))
    x, sigma = randn(7, 2, seed=1), torch.linspace(0, 1, 7)
    alpha = (1 - sigma**2).sqrt()
    together = denoiser(x, alpha, sigma)
    for row in range(7):
        alone = denoiser(x[row : row + 1], alpha[row], sigma[row].item())  # a 0-d tensor and a float
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize(("rows", "count"), [(0, 10), (33, 5000), (2, 170_000)])
def test_chunks_leave_no_seam(rows: int, count: int) -> None:
    points, x = randn(count, 2), randn(rows, 2, seed=1)
    denoiser = ExactDenoiser(points)
    expected = brute_weights(points, x, 0.8, 0.6) @ points.double().numpy() if rows else np.zeros((0, 2))
    np.testing.assert_allclose(denoiser(x, 0.8, 0.6).numpy(), expected, atol=1e-6)
    assert denoiser.posterior_variance(x, 0.8, 0.6).shape == (rows,)
    assert denoiser.log_density(x, 0.8, 0.6).shape == (rows,)


def test_a_class_is_the_denoiser_of_its_own_points() -> None:
    points, classes = randn(300, 2), torch.arange(300) % 3
    denoiser, x = ExactDenoiser(points, classes), randn(40, 2, seed=1)
    labels, sigma = torch.arange(40) % 4 - 1, torch.linspace(0.05, 0.9, 40)  # -1, 0, 1, 2
    alpha = (1 - sigma**2).sqrt()
    mean, score = denoiser(x, alpha, sigma, labels), denoiser.score(x, alpha, sigma, labels)
    for label in (-1, 0, 1, 2):
        rows = labels == label
        alone = ExactDenoiser(points if label == -1 else points[classes == label])
        torch.testing.assert_close(mean[rows], alone(x[rows], alpha[rows], sigma[rows]))
        torch.testing.assert_close(score[rows], alone.score(x[rows], alpha[rows], sigma[rows]))


def test_unconditional_needs_no_labels() -> None:
    denoiser, x = ExactDenoiser(randn(20, 2)), randn(5, 2, seed=1)
    torch.testing.assert_close(denoiser(x, 0.8, 0.6, torch.full((5,), -1)), denoiser(x, 0.8, 0.6))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sigma=st.floats(0.01, 0.99),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
)
def test_invariances(seed: int, sigma: float, shift: tuple[float, float]) -> None:
    alpha = math.sqrt(1 - sigma**2)
    points, x = randn(30, 2, seed=seed, dtype=torch.float64), randn(6, 2, seed=seed + 1, dtype=torch.float64)
    out = ExactDenoiser(points)(x, alpha, sigma)
    permutation = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ExactDenoiser(points[permutation])(x, alpha, sigma), out, rtol=0, atol=1e-8)
    offset = torch.tensor(shift, dtype=torch.float64)
    moved = ExactDenoiser(points + offset)(x + alpha * offset, alpha, sigma)
    torch.testing.assert_close(moved, out + offset, rtol=0, atol=1e-8)
    # A mean of the points lies in their bounding box.
    assert (out >= points.amin(dim=0) - 1e-12).all()
    assert (out <= points.amax(dim=0) + 1e-12).all()
