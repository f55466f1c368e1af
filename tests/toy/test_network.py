"""The toy network against its description: a plain perceptron, and the expectation of a wave under noise."""

import copy
import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from playground.toy.config import PRESETS
from playground.toy.network import ACTIVATIONS, TIME_EMBEDDINGS, NetworkConfig, NetworkError, PointMLP

MINIDIFFUSION = PRESETS["minidiffusion"].config.network


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def level(sigma: float) -> tuple[Tensor, Tensor]:
    return torch.tensor(math.sqrt(1 - sigma * sigma)), torch.tensor(sigma)


def network(config: NetworkConfig = NetworkConfig(), classes: int = 0, seed: int = 0) -> PointMLP:  # noqa: B008 (frozen)
    """A network whose output is not 0 everywhere, as it is at the start."""
    net = PointMLP(config, classes, seed)
    nn.init.normal_(net.out.weight, generator=torch.Generator().manual_seed(seed + 1))
    return net


configs = st.builds(
    NetworkConfig,
    width=st.integers(4, 40),
    depth=st.integers(1, 6),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    time_embedding=st.sampled_from(TIME_EMBEDDINGS),
    fourier_features=st.integers(0, 40),
    damp_features=st.booleans(),
)


@given(configs, st.integers(0, 5), st.integers(1, 7), st.floats(0, 1))
def test_a_level_for_all_is_that_level_for_each(config: NetworkConfig, classes: int, n: int, sigma: float) -> None:
    net, x, (alpha, sigma_) = network(config, classes), randn(n, 2), level(sigma)
    labels = torch.arange(n) % (classes + 1) if classes else None
    for_all = net(x, alpha, sigma_, labels)
    for_each = net(x, alpha.expand(n, 1), sigma_.expand(n, 1), labels)
    assert for_all.shape == (n, 2)
    assert for_all.isfinite().all()
    torch.testing.assert_close(for_all, for_each)


@given(configs, st.integers(2, 6))
def test_a_row_knows_nothing_of_the_others(config: NetworkConfig, n: int) -> None:
    net, x, sigma = network(config, classes=3), randn(n, 2), torch.linspace(0.1, 0.9, n)[:, None]
    alpha, labels = (1 - sigma**2).sqrt(), torch.arange(n) % 4
    alone = [net(x[i : i + 1], alpha[i : i + 1], sigma[i : i + 1], labels[i : i + 1]) for i in range(n)]
    torch.testing.assert_close(net(x, alpha, sigma, labels), torch.cat(alone))


def test_the_level_matters_and_its_ends_are_finite() -> None:
    x = randn(5, 2)
    for embedding in TIME_EMBEDDINGS:
        net = network(NetworkConfig(time_embedding=embedding))
        outputs = [net(x, *level(sigma)) for sigma in (0.0, 0.3, 0.9, 1.0)]
        assert all(output.isfinite().all() for output in outputs)
        assert all((a - b).abs().max() > 1e-3 for a, b in itertools.pairwise(outputs))


def test_the_last_label_stands_for_unknown() -> None:
    net, x, (alpha, sigma) = network(classes=3), randn(6, 2), level(0.5)
    unknown = net(x, alpha, sigma)
    assert torch.equal(unknown, net(x, alpha, sigma, torch.full((6,), 3)))
    for label in range(3):
        assert (net(x, alpha, sigma, torch.full((6,), label)) - unknown).abs().max() > 1e-3


@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.7])
def test_a_damped_feature_is_its_mean_under_noise(sigma: float) -> None:
    # E sin w·(α x0 + σ ε) over ε is the damped sine of the clean α x0, and so for the cosine.
    n, x0, (alpha, sigma_) = 40_000, randn(3, 2), level(sigma)
    damped = PointMLP(NetworkConfig(fourier_features=8))
    plain = PointMLP(NetworkConfig(fourier_features=8, damp_features=False))
    assert torch.equal(damped.frequencies, plain.frequencies)
    for k, point in enumerate(x0):
        noisy = alpha * point + sigma_ * randn(n, 2, seed=k + 1)
        waves = plain._features(noisy, sigma_.reshape(1, 1))[:, 2:].double()  # (n, 16)
        expected = damped._features((alpha * point)[None], sigma_.reshape(1, 1))[0, 2:].double()
        error = waves.std(0) / math.sqrt(n)
        assert ((waves.mean(0) - expected).abs() < 4.5 * error + 1e-6).all()


def test_frequencies_have_the_stated_spread() -> None:
    frequencies = torch.cat([PointMLP(NetworkConfig(fourier_features=128), seed=s).frequencies for s in range(20)], 1)
    assert frequencies.std() == pytest.approx(2.0, rel=4 / math.sqrt(2 * frequencies.numel()))
    assert not any("frequencies" in name for name, _ in PointMLP(NetworkConfig()).named_parameters()), "not trained"


@given(configs, st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_it_starts_at_zero_and_from_its_seed_alone(config: NetworkConfig, classes: int, seed: int) -> None:
    before = torch.get_rng_state()
    one, same, other = (PointMLP(config, classes, s) for s in (seed, seed, (seed + 1) % 2**32))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one(randn(4, 2), *level(0.4)), torch.zeros(4, 2))
    assert all(torch.equal(a, same.state_dict()[name]) for name, a in one.state_dict().items())
    assert not torch.equal(one.point.weight, other.point.weight)


def test_minidiffusion_is_a_plain_perceptron_of_x_y_t() -> None:
    """3 → 256 → 256 → 256 → 2; the first layer, split into the point's and the level's weights, is one function."""
    net = network(MINIDIFFUSION)
    plain = nn.Sequential(
        nn.Linear(3, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters()) == 133_122
    state: dict[str, Any] = {"0.weight": torch.cat([net.point.weight, net.level.weight], 1), "0.bias": net.point.bias}
    for place, layer in zip("246", [*net.hidden, net.out], strict=True):
        state |= {f"{place}.weight": layer.weight, f"{place}.bias": layer.bias}
    plain.load_state_dict(state)
    x, sigma = randn(50, 2), torch.linspace(0, 1, 50)[:, None]
    alpha = (1 - sigma**2).sqrt()
    time = torch.asin(sigma) / (math.pi / 2) - 0.5  # from -½, all signal, to ½, all noise
    torch.testing.assert_close(net(x, alpha, sigma), plain(torch.cat([x, time], 1)), atol=1e-4, rtol=1e-4)


def test_a_copy_is_the_same_function() -> None:
    net, x = network(classes=2), randn(5, 2)
    assert torch.equal(copy.deepcopy(net)(x, *level(0.2)), net(x, *level(0.2)))


@pytest.mark.parametrize(
    "knobs",
    [
        {"width": 3},
        {"width": 513},
        {"width": 64.0},
        {"width": True},
        {"width": "64"},
        {"width": 10**400},
        {"width": math.nan},
        {"depth": 0},
        {"depth": 9},
        {"fourier_features": -1},
        {"fourier_features": 257},
        {"fourier_features": None},
        {"activation": "swish"},
        {"activation": ["silu"]},
        {"time_embedding": "none"},
        {"time_embedding": 1},
        {"damp_features": 1},
    ],
)
def test_no_such_network(knobs: dict[str, Any]) -> None:
    with pytest.raises(NetworkError):
        NetworkConfig(**knobs)
    with pytest.raises(NetworkError):
        dataclasses.replace(NetworkConfig(), **knobs)
