"""Four predictions of one thing: each turns into the others, at any noise level."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.prediction import PREDICTIONS, Prediction, error_in_x0, target, to_eps, to_x0

# α and σ apart from one another: nothing here may lean on α² + σ² = 1.
LEVELS = st.tuples(st.floats(0.01, 10), st.floats(0.01, 10))


def draw(seed: int, n: int = 50) -> tuple[Tensor, Tensor]:
    """x0 and eps, float64 (n, 2)."""
    both = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return both[0], both[1]


@given(prediction=st.sampled_from(PREDICTIONS), level=LEVELS, seed=st.integers(0, 2**31))
def test_a_perfect_output_gives_x0_and_eps_back(prediction: Prediction, level: tuple[float, float], seed: int) -> None:
    (alpha, sigma), (x0, eps) = level, draw(seed)
    x = alpha * x0 + sigma * eps
    output = target(prediction, x0, eps, alpha, sigma)
    # Subtracting near-equals costs at most max(α, σ)/min(α, σ) = 1e3 in the 1e-16 of a float64, squared for v.
    torch.testing.assert_close(to_x0(prediction, output, x, alpha, sigma), x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(to_eps(x0, x, alpha, sigma), eps, rtol=0, atol=1e-9)


@given(
    prediction=st.sampled_from(PREDICTIONS),
    level=LEVELS,
    seed=st.integers(0, 2**31),
    others=st.sampled_from(PREDICTIONS),
)
def test_any_output_is_read_the_same_in_every_language(
    prediction: Prediction, others: Prediction, level: tuple[float, float], seed: int
) -> None:
    # Not a perfect output but any: what it says of x0, said as another prediction, says the same x0.
    (alpha, sigma), (output, x) = level, draw(seed)
    x0 = to_x0(prediction, output, x, alpha, sigma)
    again = target(others, x0, to_eps(x0, x, alpha, sigma), alpha, sigma)
    scale = 1 + x0.abs().max().item()
    torch.testing.assert_close(to_x0(others, again, x, alpha, sigma), x0, rtol=0, atol=1e-8 * scale)


@given(prediction=st.sampled_from(PREDICTIONS), level=LEVELS, seed=st.integers(0, 2**31))
def test_error_in_x0_is_a_finite_perturbation(prediction: Prediction, level: tuple[float, float], seed: int) -> None:
    # At a fixed x_t, an x̂0 that is off by d makes an output that is off by √c · d. Linear, so d may be large.
    (alpha, sigma), (x0, eps) = level, draw(seed)
    x, wrong = alpha * x0 + sigma * eps, x0 + 1.0
    off = target(prediction, wrong, to_eps(wrong, x, alpha, sigma), alpha, sigma) - target(
        prediction, x0, eps, alpha, sigma
    )
    factor = float(error_in_x0(prediction, alpha, sigma))
    np.testing.assert_allclose(off.square(), factor, rtol=1e-6, atol=1e-9)


def test_the_definitions() -> None:
    x0, eps = draw(0)
    alpha, sigma = math.cos(0.3), math.sin(0.3)
    assert target("noise", x0, eps, alpha, sigma) is eps
    assert target("x0", x0, eps, alpha, sigma) is x0
    torch.testing.assert_close(target("flow", x0, eps, alpha, sigma), eps - x0)
    # v is the velocity dx/dφ along the circle x_φ = cos φ x0 + sin φ ε (Salimans & Ho 2022, appendix D).
    step = 1e-6
    ahead, behind = (math.cos(0.3 + h) * x0 + math.sin(0.3 + h) * eps for h in (step, -step))
    torch.testing.assert_close(target("v", x0, eps, alpha, sigma), (ahead - behind) / (2 * step), rtol=0, atol=1e-8)
    # And the flow is dx/du along the straight path x_u = (1 - u) x0 + u ε.
    torch.testing.assert_close(target("flow", x0, eps, 0.7, 0.3), (0.2 * x0 + 0.8 * eps) - (1.2 * x0 - 0.2 * eps))


@pytest.mark.parametrize("prediction", ["x0", "v", "flow"])
def test_no_signal_left(prediction: Prediction) -> None:
    # α = 0, x_t = ε: zero terminal SNR. All but the noise prediction still say what x̂0 is.
    x0, eps = draw(0)
    output = target(prediction, x0, eps, 0.0, 1.0)
    assert output.isfinite().all()
    torch.testing.assert_close(to_x0(prediction, output, eps, 0.0, 1.0), x0)
    assert math.isfinite(float(error_in_x0(prediction, 0.0, 1.0)))


def test_noise_prediction_says_nothing_of_x0_without_signal() -> None:
    _, eps = draw(0)
    zero = torch.tensor(0.0, dtype=torch.float64)
    assert not to_x0("noise", eps, eps, zero, 1 - zero).isfinite().any()
    assert error_in_x0("noise", 0.0, 1.0) == 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_level_a_row_is_a_call_a_row(prediction: Prediction) -> None:
    x0, eps = draw(0, n=5)
    alpha = torch.tensor([0.1, 0.5, 0.9, 0.99, 2.0], dtype=torch.float64)[:, None]
    sigma = torch.tensor([1.0, 0.5, 0.3, 0.01, 3.0], dtype=torch.float64)[:, None]
    x = alpha * x0 + sigma * eps
    outputs = target(prediction, x0, eps, alpha, sigma)
    read = to_x0(prediction, outputs, x, alpha, sigma)
    factors = torch.as_tensor(error_in_x0(prediction, alpha, sigma))
    assert factors.shape == (5, 1)
    for row in range(5):
        a, s = alpha[row].item(), sigma[row].item()
        torch.testing.assert_close(outputs[row], target(prediction, x0[row], eps[row], a, s))
        torch.testing.assert_close(read[row], to_x0(prediction, outputs[row], x[row], a, s))
        assert factors[row].item() == pytest.approx(float(error_in_x0(prediction, a, s)))


def test_unknown_predictions_are_refused() -> None:
    x = torch.zeros(1, 2)
    for call in (
        lambda: target("epsilon", x, x, 0.8, 0.6),  # type: ignore[arg-type]
        lambda: to_x0("epsilon", x, x, 0.8, 0.6),  # type: ignore[arg-type]
        lambda: error_in_x0("epsilon", 0.8, 0.6),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=r"'epsilon'.*noise, x0, v, flow"):
            call()
