"""The network of the toy lab: a multilayer perceptron that is told where a point is and how noisy it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from playground.diffusion.knobs import check_types
from playground.refusal import Refusal

Activation = Literal["silu", "relu", "gelu", "tanh"]
TimeEmbedding = Literal["sinusoidal", "append"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
TIME_EMBEDDINGS: tuple[TimeEmbedding, ...] = get_args(TimeEmbedding)

FREQUENCY_SCALE = 2.0  # standard deviation of the random frequencies, for data of unit variance
TIME_FREQUENCIES = 8
LOG_RATIO_RANGE = 8.0  # ln(σ/α) beyond ±8 is all signal or all noise


class NetworkError(Refusal):
    """There is no such network; the message says which knob to turn."""


@dataclass(frozen=True)
class NetworkConfig:
    """The perceptron's shape. The defaults are the Fast recipe's; minidiffusion has width 256, ReLU, "append", 0."""

    width: int = 64
    depth: int = 3  # hidden layers
    activation: Activation = "silu"
    time_embedding: TimeEmbedding = "sinusoidal"
    fourier_features: int = 64  # random frequencies of x; 0 is none
    damp_features: bool = True  # fade a feature where the noise is larger than its wavelength

    def __post_init__(self) -> None:
        check_types(self, NetworkError)
        if not 4 <= self.width <= 256 or not 1 <= self.depth <= 6 or not 0 <= self.fourier_features <= 128:
            raise NetworkError("Width must lie in 4 … 256, depth in 1 … 6, Fourier features in 0 … 128.")
        if self.activation not in ACTIVATIONS:
            raise NetworkError(f"Unknown activation {self.activation!r}: choose one of {', '.join(ACTIVATIONS)}.")
        if self.time_embedding not in TIME_EMBEDDINGS:
            raise NetworkError(
                f"Unknown time embedding {self.time_embedding!r}: choose one of {', '.join(TIME_EMBEDDINGS)}."
            )


class PointMLP(nn.Module):
    """(x_t, noise level, optional class) → prediction (N, 2).

    The level comes as (α, σ), never as an integer t, so the same weights serve every schedule and sampler.
    """

    frequencies: Tensor  # (2, F)
    damping: Tensor  # (F,)

    def __init__(self, config: NetworkConfig, classes: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        rng = torch.Generator().manual_seed(seed)
        frequencies = FREQUENCY_SCALE * torch.randn(2, config.fourier_features, generator=rng)
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("damping", frequencies.square().sum(0) / 2)
        level_size = 2 * TIME_FREQUENCIES if config.time_embedding == "sinusoidal" else 1
        # skip_init: by default nn draws initial weights from torch's global generator.
        self.point = skip_init(nn.Linear, 2 + 2 * config.fourier_features, config.width)
        self.level = skip_init(nn.Linear, level_size, config.width, bias=False)
        rows = classes + 1  # the last one stands for an unknown class
        self.label = skip_init(nn.Embedding, rows, config.width) if classes else None
        hidden = [skip_init(nn.Linear, config.width, config.width) for _ in range(config.depth - 1)]
        self.hidden = nn.ModuleList(hidden)
        self.out = skip_init(nn.Linear, config.width, 2)
        self.activation = ACTIVATIONS[config.activation]()
        self._initialise(rng)

    def _initialise(self, rng: torch.Generator) -> None:
        """torch's default initialisation, from this seed; the output starts at 0, the mean of every target."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                nn.init.uniform_(module.weight, -bound, bound, generator=rng)
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -bound, bound, generator=rng)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.1, generator=rng)

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """`x` (N, 2) with α² + σ² = 1; `alpha`, `sigma` (N, 1) or 0-d; `labels` (N,), None or `classes` = unknown."""
        alpha, sigma = alpha.reshape(-1, 1), sigma.reshape(-1, 1)  # (N, 1) or (1, 1)
        h = self.point(self._features(x, sigma)) + self.level(self._level(alpha, sigma))
        if self.label is not None:
            unknown = torch.full((1,), self.label.num_embeddings - 1)
            h = h + self.label(unknown if labels is None else labels)
        h = self.activation(h)
        for layer in self.hidden:
            h = self.activation(layer(h))
        return self.out(h)

    def _features(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x and sin, cos of w·x (Tancik et al. 2020). Under noise σ, E sin w·(αx_0 + σε) = e^{-|w|²σ²/2} sin αw·x_0:
        scaled by that factor, a feature fades where noise drowns it, instead of feeding noise to the network.
        """
        if not self.config.fourier_features:
            return x
        angles = x @ self.frequencies  # (N, F)
        waves = torch.stack([angles.sin(), angles.cos()])  # (2, N, F)
        if self.config.damp_features:
            waves = waves * torch.exp(-self.damping * sigma.square())
        return torch.cat([x, waves[0], waves[1]], 1)

    def _level(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        if self.config.time_embedding == "append":
            return torch.atan2(sigma, alpha) * (2 / math.pi) - 0.5  # (N, 1) in [-½, ½], as minidiffusion's t/(T-1) - ½
        ratio = (sigma.log() - alpha.log()).clamp(-LOG_RATIO_RANGE, LOG_RATIO_RANGE)  # (N, 1) ln(σ/α)
        angles = 0.5 * ratio * torch.arange(1, TIME_FREQUENCIES + 1)  # (N, 8)
        return torch.cat([angles.sin(), angles.cos()], 1)
