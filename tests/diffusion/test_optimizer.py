"""The optimiser against torch's, on weights in torch's default layout; its state in memory and in a file."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from playground.diffusion.optimizer import MUON_RATE, OPTIMIZERS, Optimizer, OptimizerName, as_matrix
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Trainer, TrainingConfig
from playground.storage import decode, encode, flatten, unflatten

Knobs = list[tuple[float, float, float]]  # learning rate, β₂, weight decay of each step

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
knobs = st.lists(
    st.tuples(st.floats(1e-5, 1e-1), st.floats(0, 0.999), st.floats(0, 0.1)), min_size=1, max_size=5
)  # they may change between two steps


class Convolutions(nn.Module):
    """Two levels, a norm and a linear layer: weights of every kind that a network on images has."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(4, 32, 3, padding=1)
            self.shrink = nn.Conv2d(32, 16, 3, stride=2, padding=1)
            self.norm = nn.GroupNorm(4, 16)
            self.level = nn.Linear(2, 16)
            self.mix = nn.Conv2d(16, 48, 1)
            self.grow = nn.ConvTranspose2d(48, 16, 2, stride=2)
            self.last = nn.Conv2d(16, 4, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level = self.level(torch.cat([alpha, sigma], 1).flatten(1))[:, :, None, None]
        h = self.norm(self.shrink(self.first(x).relu())) + level
        return self.last(self.grow(self.mix(h).relu()).relu())


INNER = {"shrink.weight", "mix.weight", "grow.weight"}  # between 16 or more channels on both sides


def gradients(network: nn.Module, step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(p.shape, generator=generator) for name, p in network.named_parameters()}


def take_steps(network: nn.Module, optimizer: Optimizer, steps: Knobs, first: int = 0) -> None:
    for step, (rate, beta2, weight_decay) in enumerate(steps, start=first):
        for name, grad in gradients(network, step).items():
            parameter = network.get_parameter(name)
            parameter.grad = torch.empty_like(parameter).copy_(grad)  # laid out as the weight, as autograd does it
        optimizer.step(rate, beta2, weight_decay)


def torchs_own(network: nn.Module, inner: set[str], steps: Knobs) -> dict[str, Tensor]:
    """The weights after `steps` of torch.optim, Muon on those named `inner`: as matrices there."""
    weights = {
        name: nn.Parameter((as_matrix(p.detach()) if name in inner else p.detach()).clone().contiguous())
        for name, p in network.named_parameters()
    }
    adamw = torch.optim.AdamW([p for name, p in weights.items() if name not in inner])
    muon = torch.optim.Muon([weights[name] for name in sorted(inner)]) if inner else None
    for step, (rate, beta2, weight_decay) in enumerate(steps):
        for name, grad in gradients(network, step).items():
            weights[name].grad = as_matrix(grad).contiguous() if name in inner else grad
        adamw.param_groups[0] |= {"lr": rate, "betas": (0.9, beta2), "weight_decay": weight_decay}
        adamw.step()
        if muon:
            muon.param_groups[0] |= {"lr": rate * MUON_RATE, "weight_decay": weight_decay}
            muon.step()
    return {name: p.detach() for name, p in weights.items()}


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_a_convolution_as_a_matrix_is_what_it_does_to_a_patch(outputs: int, inputs: int, side: int) -> None:
    generator = torch.Generator().manual_seed(outputs)
    weight = torch.randn(outputs, inputs, side, side, generator=generator)
    patch = torch.randn(inputs, side, side, generator=generator)
    expected = nn.functional.conv2d(patch[None], weight).flatten()
    torch.testing.assert_close(as_matrix(weight) @ patch.permute(1, 2, 0).flatten(), expected)


@given(knobs)
@settings(max_examples=10)
def test_adamw_is_torchs_step_for_step(steps: Knobs) -> None:
    network = Convolutions()
    expected = torchs_own(network, set(), steps)
    take_steps(network, Optimizer(network, "adamw"), steps)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-4, atol=1e-6)


@given(knobs)
@settings(max_examples=10)
def test_muon_is_torchs_on_inner_convolutions_and_adamw_on_the_rest(steps: Knobs) -> None:
    network = Convolutions()
    expected = torchs_own(network, INNER, steps)
    take_steps(network, Optimizer(network, "muon"), steps)
    for name, parameter in network.named_parameters():
        found = as_matrix(parameter.detach()) if name in INNER else parameter.detach()
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)


def test_muons_step_has_equal_singular_values() -> None:
    # Jordan et al. 2024: their five Newton-Schulz steps end near 1, between 0.7 and 1.2.
    network, rate = Convolutions(), 0.01
    before = {name: as_matrix(network.get_parameter(name).detach()).clone() for name in INNER}
    take_steps(network, Optimizer(network, "muon"), [(rate, 0.99, 0.0)])
    for name in INNER:
        step = as_matrix(network.get_parameter(name).detach()) - before[name]
        tall = math.sqrt(max(1.0, step.shape[0] / step.shape[1]))
        values = torch.linalg.svdvals(step) / (rate * MUON_RATE * tall)
        assert 0.6 < values.min() < values.max() < 1.3


def test_without_inner_convolutions_muon_is_adamw() -> None:
    network = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    steps = [(0.01, 0.9, 0.01)] * 3
    expected = torchs_own(network, set(), steps)
    take_steps(network, Optimizer(network, "muon"), steps)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-4, atol=1e-6)


def test_muon_refuses_weights_that_a_step_would_not_reach() -> None:
    contiguous = Convolutions().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="channels-last"):
        Optimizer(contiguous, "muon")
    Optimizer(contiguous, "adamw")


@every_optimizer
def test_weights_without_a_gradient_stay(name: OptimizerName) -> None:
    network = Convolutions()
    before = copy.deepcopy(network.state_dict())
    Optimizer(network, name).step(0.1, 0.99, 0.1)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_optimizer
def test_a_state_continues_to_the_bit(name: OptimizerName) -> None:
    steps: Knobs = [(0.01, 0.99, 0.01), (0.02, 0.9, 0.0), (0.005, 0.95, 0.1)]
    network = Convolutions()
    optimizer = Optimizer(network, name)
    take_steps(network, optimizer, steps)
    weights, state = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    take_steps(network, optimizer, steps, first=3)
    # Into another network and an optimiser that has been elsewhere.
    other = Convolutions(seed=1)
    restored = Optimizer(other, name)
    take_steps(other, restored, steps, first=9)
    other.load_state_dict(weights)
    restored.load_state_dict(state)
    take_steps(other, restored, steps, first=3)
    for a, b in zip(other.parameters(), network.parameters(), strict=True):
        assert torch.equal(a, b)


@every_optimizer
@pytest.mark.parametrize("taken_at", [1, 6])
def test_a_trainer_continues_to_the_bit_from_a_file(name: OptimizerName, taken_at: int) -> None:
    def trainer(seed: int) -> Trainer:
        images = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        config = TrainingConfig(batch_size=8, optimizer=name, learning_rate=3e-3, weight_decay=0.01, max_grad_norm=1.0)
        return Trainer(Convolutions(seed), images, ScheduleConfig("cosine", 100).make(), config, seed)

    original = trainer(seed=0)
    list(original.steps(taken_at))
    file = encode("test/1", {}, *flatten(original.state_dict()))
    losses = [step.loss for step in original.steps(10)]

    other = trainer(seed=1)  # of other weights and random numbers, and not a step taken
    _, tensors, rest = decode(file, "test/1", "a checkpoint")
    other.load_state_dict(unflatten(other.blank_state(), tensors, rest))
    assert [step.loss for step in other.steps(10)] == losses
    assert_same(other.state_dict(), original.state_dict())


def assert_same(a: Any, b: Any) -> None:
    """Two nested states are equal, tensors to the bit."""
    tensors_a, rest_a = flatten(a)
    tensors_b, rest_b = flatten(b)
    assert rest_a == rest_b
    assert tensors_a.keys() == tensors_b.keys()
    assert [name for name, tensor in tensors_a.items() if not torch.equal(tensor, tensors_b[name])] == []
