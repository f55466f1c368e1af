"""The exact denoiser against float64 brute force, quadrature, closed forms and automatic derivatives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import ExactDenoiser, GaussianMixture

torch.set_num_threads(1)

VP_LEVELS = [(math.sqrt(1 - s * s), s) for s in (0.002, 0.004, 0.02, 0.1, 0.5, 0.9, 0.9999)]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def brute_weights(points: Tensor, x: Tensor, alpha: float, sigma: float) -> np.ndarray:
    """Posterior weights (M, N) from centred differences, numpy float64."""
    differences = x.double().numpy()[:, None] - alpha * points.double().numpy()[None]
    logits = -np.square(differences).sum(axis=2) / (2 * sigma**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def mixture(dim: int = 2, std: float = 0.3) -> GaussianMixture:
    return GaussianMixture(
        randn(3, dim, seed=1, dtype=torch.float64), std, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    )


def distributions() -> list[ExactDenoiser | GaussianMixture]:
    return [ExactDenoiser(randn(7, 2, dtype=torch.float64)), mixture()]


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


# Both distributions


@pytest.mark.parametrize("distribution", distributions(), ids=["points", "mixture"])
@pytest.mark.parametrize("sigma", [0.05, 0.5, 0.95])
def test_score_is_the_gradient_of_log_density(distribution: ExactDenoiser | GaussianMixture, sigma: float) -> None:
    alpha = math.sqrt(1 - sigma**2)
    x = randn(20, 2, seed=2, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(distribution.log_density(x, alpha, sigma).sum(), x)
    score = distribution.score(x, alpha, sigma).detach()
    torch.testing.assert_close(score, gradient, rtol=1e-9, atol=1e-9)
    # Central differences: a check that does not pass through the same backward.
    step = 1e-5
    for d in range(2):
        move = step * torch.eye(2, dtype=torch.float64)[d]
        with torch.no_grad():
            rise = distribution.log_density(x + move, alpha, sigma) - distribution.log_density(x - move, alpha, sigma)
        torch.testing.assert_close(score[:, d], rise / (2 * step), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("distribution", distributions(), ids=["points", "mixture"])
def test_score_is_tweedies(distribution: ExactDenoiser | GaussianMixture) -> None:
    x, alpha, sigma = randn(20, 2, seed=2, dtype=torch.float64), 0.8, 0.6
    tweedie = (alpha * distribution(x, alpha, sigma) - x) / sigma**2
    torch.testing.assert_close(distribution.score(x, alpha, sigma), tweedie)


@pytest.mark.parametrize("distribution", distributions(), ids=["points", "mixture"])
@pytest.mark.parametrize("sigma", [0.1, 0.6])
def test_posterior_variance_is_second_order_tweedie(
    distribution: ExactDenoiser | GaussianMixture, sigma: float
) -> None:
    # Cov[x0 | x] = (sigma / alpha)^2 (I + sigma^2 Hessian log p_t)
    alpha = math.sqrt(1 - sigma**2)
    x = randn(10, 2, seed=2, dtype=torch.float64)
    for row in x:
        hessian = torch.autograd.functional.hessian(
            lambda point: distribution.log_density(point[None], alpha, sigma)[0], row
        )
        expected = (sigma / alpha) ** 2 * (1 + sigma**2 * hessian.trace() / 2)
        actual = distribution.posterior_variance(row[None], alpha, sigma)[0]
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("distribution", distributions(), ids=["points", "mixture"])
def test_density_integrates_to_one(distribution: ExactDenoiser | GaussianMixture) -> None:
    axis = torch.linspace(-8, 8, 321, dtype=torch.float64)
    density = distribution.log_density(torch.cartesian_prod(axis, axis), 0.8, 0.6).exp()
    assert density.sum().item() * (16 / 320) ** 2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("distribution", distributions(), ids=["points", "mixture"])
def test_nan_stays_in_its_row(distribution: ExactDenoiser | GaussianMixture) -> None:
    x = torch.zeros(3, 2)
    x[1, 0] = torch.nan
    assert distribution(x, 0.8, 0.6).isnan().any(dim=1).tolist() == [False, True, False]


# Mixture


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.5), (0.8, 0.6), (0.1, 0.99), (0.0, 1.0), (1.0, 0.0)])
def test_one_gaussian_has_the_textbook_posterior(alpha: float, sigma: float) -> None:
    mean, std = torch.tensor([[0.5, -1.0]], dtype=torch.float64), 0.7
    gaussian = GaussianMixture(mean, std, torch.ones(1))
    x = randn(20, 2, dtype=torch.float64)
    variance = alpha**2 * std**2 + sigma**2
    posterior = (sigma**2 * mean + alpha * std**2 * x) / variance
    torch.testing.assert_close(gaussian(x, alpha, sigma), posterior)
    torch.testing.assert_close(gaussian.score(x, alpha, sigma), (alpha * mean - x) / variance)
    log_density = torch.distributions.Normal(alpha * mean, math.sqrt(variance)).log_prob(x).sum(dim=1)
    torch.testing.assert_close(gaussian.log_density(x, alpha, sigma), log_density)
    torch.testing.assert_close(
        gaussian.posterior_variance(x, alpha, sigma),
        torch.full((20,), std**2 * sigma**2 / variance, dtype=torch.float64),
    )


@pytest.mark.parametrize(("alpha", "sigma"), [(0.99, 0.1), (0.8, 0.6), (0.3, 0.95)])
def test_mixture_is_bayes_by_quadrature(alpha: float, sigma: float) -> None:
    truth = mixture(dim=1)
    x0 = np.linspace(-8, 8, 40_001)
    prior = sum(
        weight * np.exp(-((x0 - mean) ** 2) / (2 * truth.std**2))
        for weight, mean in zip(truth.weights.tolist(), truth.means[:, 0].tolist(), strict=True)
    )
    x = np.linspace(-3, 3, 13)
    posterior = prior * np.exp(-((x[:, None] - alpha * x0) ** 2) / (2 * sigma**2))  # (13, 40001)
    posterior /= posterior.sum(axis=1, keepdims=True)
    mean = posterior @ x0
    variance = posterior @ x0**2 - mean**2
    rows = torch.from_numpy(x)[:, None]
    np.testing.assert_allclose(truth(rows, alpha, sigma)[:, 0], mean, atol=1e-8)
    np.testing.assert_allclose(truth.posterior_variance(rows, alpha, sigma), variance, atol=1e-8)


def test_mixture_without_spread_is_the_finite_data_set() -> None:
    # Unequal weights as repeated points: 1/4 and 3/4.
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    weighted = GaussianMixture(points[:2], 0.0, torch.tensor([0.25, 0.75]))
    x = randn(20, 2)
    torch.testing.assert_close(weighted(x, 0.8, 0.6), ExactDenoiser(points)(x, 0.8, 0.6))


def test_a_component_of_weight_zero_is_not_there() -> None:
    means = torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    both, one = (
        GaussianMixture(means, 0.1, torch.tensor([1.0, 0.0])),
        GaussianMixture(means[:1], 0.1, torch.ones(1)),
    )
    x = means + 0.1
    torch.testing.assert_close(both(x, 0.8, 0.6), one(x, 0.8, 0.6))
    torch.testing.assert_close(both.log_density(x, 0.8, 0.6), one.log_density(x, 0.8, 0.6))


def test_samples_have_the_mixtures_moments() -> None:
    truth = mixture()
    samples = truth.sample(100_000, torch.Generator().manual_seed(0))
    assert samples.shape == (100_000, 2)
    assert samples.dtype == torch.float64
    mean = truth.weights @ truth.means
    centred = truth.means - mean
    covariance = (truth.weights[:, None] * centred).T @ centred + truth.std**2 * torch.eye(2)
    # Five standard errors of a mean over 100,000.
    torch.testing.assert_close(samples.mean(dim=0), mean, rtol=0, atol=5 * covariance.diag().max().item() ** 0.5 / 316)
    torch.testing.assert_close(samples.T.cov(), covariance, rtol=0.02, atol=0.02)
    assert torch.equal(samples, truth.sample(100_000, torch.Generator().manual_seed(0)))


def test_the_posterior_mean_errs_by_its_own_variance() -> None:
    # E |x0 - E[x0|x]|^2 / D = E Var, on draws the denoiser has not seen.
    truth, alpha, sigma = mixture(), 0.8, 0.6
    x0 = truth.sample(100_000, torch.Generator().manual_seed(0))
    x = alpha * x0 + sigma * randn(100_000, 2, seed=1, dtype=torch.float64)
    error = (truth(x, alpha, sigma) - x0).square().mean().item()
    assert error == pytest.approx(truth.posterior_variance(x, alpha, sigma).mean().item(), rel=0.02)


# Refusals


def test_bad_constructions_are_refused() -> None:
    ones = torch.ones(1)
    for means in (torch.zeros(2), torch.zeros(0, 2), torch.tensor([[torch.nan, 0.0]])):
        with pytest.raises(ValueError, match="means must be finite"):
            GaussianMixture(means, 1.0, ones)
        with pytest.raises(ValueError, match="means must be finite"):
            ExactDenoiser(means)
    for std in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="std must be"):
            GaussianMixture(torch.zeros(1, 2), std, ones)
    with pytest.raises(ValueError, match="weights must be"):
        GaussianMixture(torch.zeros(2, 2), 1.0, ones)
    for weights in ([0.5, 0.6], [1.5, -0.5], [math.nan, 1.0]):
        with pytest.raises(ValueError, match="sum to 1"):
            GaussianMixture(torch.zeros(2, 2), 1.0, torch.tensor(weights))
    for labels in (torch.zeros(3).long(), torch.zeros(2), torch.tensor([0, -1])):
        with pytest.raises(ValueError, match="labels must be"):
            ExactDenoiser(torch.zeros(2, 2), labels)


def test_bad_calls_are_refused() -> None:
    denoiser, x = ExactDenoiser(randn(4, 2), torch.tensor([0, 0, 1, 1])), torch.zeros(3, 2)
    for wrong in (torch.zeros(2), torch.zeros(3, 1)):
        with pytest.raises(ValueError, match="x must be"):
            denoiser(wrong, 0.8, 0.6)
    for alpha, sigma in ((0.8, -0.1), (0.8, math.nan), (math.nan, 0.6)):
        with pytest.raises(ValueError, match="sigma not negative"):
            denoiser(x, alpha, sigma)
    for level in (torch.ones(2), torch.ones(3, 1)):
        with pytest.raises(ValueError, match="alpha and sigma are scalars"):
            denoiser(x, 0.8, level)
    with pytest.raises(ValueError, match="no points of class 2"):
        denoiser(x, 0.8, 0.6, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="labels must be"):
        denoiser(x, 0.8, 0.6, torch.zeros(2).long())
    with pytest.raises(ValueError, match="sigma must be positive"):
        denoiser.score(x, 0.8, 0.0)
    with pytest.raises(ValueError, match="sigma must be positive"):
        denoiser.log_density(x, 0.8, 0.0)
