"""The exact denoiser of a mixture, what it shares with that of a finite set, and refusals."""

import math

import numpy as np
import pytest
import torch

from playground.diffusion.exact import ExactDenoiser, GaussianMixture
from tests.diffusion.exact_cases import randn


def mixture(dim: int = 2, std: float = 0.3) -> GaussianMixture:
    return GaussianMixture(
        randn(3, dim, seed=1, dtype=torch.float64), std, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    )


def distributions() -> list[ExactDenoiser | GaussianMixture]:
    return [ExactDenoiser(randn(7, 2, dtype=torch.float64)), mixture()]


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
