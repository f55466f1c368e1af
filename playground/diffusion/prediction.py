"""What a network may predict, and how each prediction turns into the others.

With x_t = α x_0 + σ ε, knowing x_t and any one of these gives all the rest:
noise ε (Ho et al. 2020), x0, v = α ε - σ x_0 (Salimans & Ho 2022, appendix D), and the flow ε - x_0 (Lipman et al.
2023). No formula here assumes α² + σ² = 1.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

Prediction = Literal["noise", "x0", "v", "flow"]
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)

Level = float | Tensor  # α or σ: a number, or a tensor that broadcasts against x


def target(prediction: Prediction, x0: Tensor, eps: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """What a perfect network would output for `x0` and `eps` (N, …) at the level (α, σ)."""
    match prediction:
        case "noise":
            return eps
        case "x0":
            return x0
        case "v":
            return alpha * eps - sigma * x0
        case "flow":
            return eps - x0
    raise ValueError(f"Unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}.")


def to_x0(prediction: Prediction, output: Tensor, x: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """x̂_0 from a network's `output` at `x` (N, …). For noise prediction α must not be 0."""
    match prediction:
        case "noise":
            return (x - sigma * output) / alpha
        case "x0":
            return output
        case "v":
            return (alpha * x - sigma * output) / (alpha * alpha + sigma * sigma)
        case "flow":
            return (x - sigma * output) / (alpha + sigma)
    raise ValueError(f"Unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}.")


def to_eps(x0: Tensor, x: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """ε̂ = (x - α x̂_0) / σ; σ must not be 0."""
    return (x - alpha * x0) / sigma


def error_in_x0(prediction: Prediction, alpha: Level, sigma: Level) -> Level:
    """The factor c with (target - output)² = c · (x_0 - x̂_0)²: the weight that a plain squared error on this
    prediction gives to an error in x̂_0. Salimans & Ho 2022, §4, compare three of them.
    """
    match prediction:
        case "noise":
            return (alpha / sigma) ** 2
        case "x0":
            return alpha * 0 + 1.0
        case "v":
            return ((alpha * alpha + sigma * sigma) / sigma) ** 2
        case "flow":
            return ((alpha + sigma) / sigma) ** 2
    raise ValueError(f"Unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}.")
