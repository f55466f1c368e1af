"""Every kind of network keeps the one interface; each against what it is said to be; each learns."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.mnist.networks import KINDS, NetworkConfig, NetworkError, make_network
from tests.mnist.network_cases import CLASSES, CONFIGS, LEVEL, every_kind, network, randn

# One interface


@pytest.mark.parametrize("shape", [(c, side, side) for c in (1, 3) for side in (14, 28, 32)], ids=str)
@every_kind
def test_a_prediction_has_the_shape_of_its_image(config: NetworkConfig, shape: tuple[int, int, int]) -> None:
    net, x = network(config, shape), randn(2, *shape)
    with torch.no_grad():
        output = net(x, *LEVEL, torch.tensor([0, CLASSES]))
    assert output.shape == x.shape
    assert output.isfinite().all()


@given(
    st.builds(
        NetworkConfig,
        kind=st.sampled_from(list(KINDS)),
        channels=st.lists(st.sampled_from([8, 16, 24]), min_size=1, max_size=4),
        patch=st.sampled_from([1, 2, 4]),
        norm=st.sampled_from(["group", "batch"]),
        residual=st.booleans(),
        attention=st.booleans(),
        depth=st.integers(1, 2),
    ),
    st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24)),
    st.integers(0, 3),
)
@settings(max_examples=100)
def test_images_fit_or_are_refused_with_what_would(
    config: NetworkConfig, shape: tuple[int, int, int], classes: int
) -> None:
    channels, *sides = shape
    unit = config.multiple
    if any(side % unit or side < 2 * unit for side in sides):
        with pytest.raises(NetworkError, match=rf"multiples of {unit} pixels.* Resize to \d+"):
            make_network(config, shape, classes, seed=0)
        shape = (channels, 2 * unit, 3 * unit)
    net = make_network(config, shape, classes, seed=0).eval()
    with torch.no_grad():
        assert net(randn(1, *shape), *LEVEL).shape == (1, *shape)


@every_kind
@given(sigma=st.floats(0, 1), labels=st.lists(st.integers(0, CLASSES), min_size=1, max_size=3))
@settings(max_examples=10)
def test_a_level_for_all_is_that_level_for_each(config: NetworkConfig, sigma: float, labels: list[int]) -> None:
    net, n = network(config), len(labels)
    x, alpha = randn(n, 1, 14, 14), torch.tensor(math.sqrt(1 - sigma**2))
    with torch.no_grad():
        for_all = net(x, alpha, torch.tensor(sigma), torch.tensor(labels))
        for_each = net(x, alpha.expand(n, 1, 1, 1), torch.full((n, 1, 1, 1), sigma), torch.tensor(labels))
    torch.testing.assert_close(for_all, for_each, rtol=1e-4, atol=1e-4)


@every_kind
def test_the_last_label_stands_for_unknown(config: NetworkConfig) -> None:
    net, x = network(config), randn(3, 1, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(net(x, *LEVEL), net(x, *LEVEL, torch.full((3,), CLASSES)))
        without = network(config, classes=0)
        torch.testing.assert_close(without(x, *LEVEL), without(x, *LEVEL, torch.zeros(3, dtype=torch.long)))


@every_kind
def test_the_label_and_the_level_matter(config: NetworkConfig) -> None:
    net, x = network(config), randn(1, 1, 14, 14)
    levels = [(torch.tensor(math.cos(a)), torch.tensor(math.sin(a))) for a in (0.0, 0.5, 1.0, math.pi / 2)]
    with torch.no_grad():
        by_label = torch.cat([net(x, *LEVEL, torch.tensor([label])) for label in range(CLASSES + 1)]).flatten(1)
        by_level = torch.cat([net(x, *level) for level in levels]).flatten(1)
    for outputs in (by_label, by_level):
        assert torch.pdist(outputs).min() > 1e-2 * outputs.norm(dim=1).mean()


@every_kind
def test_gradients_reach_every_weight(config: NetworkConfig) -> None:
    net, n = network(config).train(), CLASSES + 1
    angle = torch.linspace(0.1, 1.4, n).reshape(n, 1, 1, 1)
    output = net(randn(n, 1, 14, 14), angle.cos(), angle.sin(), torch.arange(n))
    (output - randn(n, 1, 14, 14, seed=1)).square().mean().backward()
    # A number added to all keys cancels in the softmax: the one place where no gradient is right.
    gradients = {name: p.grad for name, p in net.named_parameters() if not name.endswith("to_k.bias")}
    assert [name for name, grad in gradients.items() if grad is None or grad.abs().max() < 1e-6] == []


# First weights


@every_kind
def test_the_first_weights_are_the_seeds_and_torchs_generator_is_left_alone(config: NetworkConfig) -> None:
    before = torch.get_rng_state()
    one, same, other = (make_network(config, (1, 28, 28), CLASSES, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_networks_made_at_the_same_time_are_those_made_alone() -> None:
    def weights(seed: int) -> Tensor:
        net = make_network(CONFIGS["small"], (1, 28, 28), CLASSES, seed)
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(weights, range(12)))
    assert all(torch.equal(found, weights(seed)) for seed, found in enumerate(together))


@pytest.mark.parametrize("name", ["small", "small, one level of patches", "dit"])
def test_the_first_prediction_is_zero(name: str) -> None:
    net, x = make_network(CONFIGS[name], (3, 28, 28), CLASSES, seed=0), randn(2, 3, 28, 28)
    assert torch.equal(net(x, *LEVEL, torch.tensor([1, 2])), torch.zeros_like(x))
