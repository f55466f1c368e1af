"""Norms, parameters, learning and refusals of the image networks."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from playground.diffusion.optimizer import Optimizer
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Trainer, TrainingConfig, draw_batch
from playground.mnist.classic import EMBEDDING, DoubleConv
from playground.mnist.data import mnist
from playground.mnist.dit import DiT, DiTBlock, positions
from playground.mnist.networks import KINDS, MAX_PARAMETERS, NARROW, NetworkConfig, NetworkError, make_network
from playground.mnist.unet2d import DiffusersUNet
from tests.mnist.network_cases import CLASSES, CONFIGS, LEVEL, every_kind, network, randn

NOTEBOOK = NetworkConfig("classic", (64, 128, 256, 512, 1024), patch=1, norm="batch", residual=False, attention=False)


# Norms


def mixing(config: NetworkConfig, train: bool) -> float:
    """How far a prediction depends on the rest of its batch, in shares of its size."""
    net, x = network(config).train(train), randn(6, 1, 14, 14)
    x[3:] *= 3
    with torch.no_grad():
        whole, part = net(x, *LEVEL)[:3], net(x[:3], *LEVEL)
    return float((whole - part).norm() / whole.norm())


def test_only_batch_norm_mixes_the_images_of_a_batch_and_only_while_it_trains() -> None:
    batch = CONFIGS["classic, batch norm"]
    assert mixing(batch, train=True) > 0.1
    assert mixing(batch, train=False) < 1e-5
    for config in CONFIGS.values():
        if config is not batch:
            assert mixing(config, train=True) < 1e-5


# What each is said to be


def test_the_course_notebooks_network_is_within_reach() -> None:
    net = make_network(NOTEBOOK, (1, 32, 32), CLASSES, seed=0).eval()
    # The notebook's has 31.8 million; ours reads the level in the first block too, and a class.
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(31.8e6, rel=0.005)
    with torch.no_grad():
        assert net(randn(1, 1, 32, 32), *LEVEL).shape == (1, 1, 32, 32)


@pytest.mark.parametrize("residual", [False, True])
def test_a_double_convolution_is_the_plain_one(residual: bool) -> None:
    block = DoubleConv(4, 16, "batch", residual).eval()
    nn.init.zeros_(block.add.bias)
    x = randn(2, 4, 6, 6)
    plain = nn.Sequential(block.conv1, block.norm1, nn.ReLU(), block.conv2, block.norm2).eval()
    expected = plain(x) + (block.around(x) if block.around else 0)
    torch.testing.assert_close(block(x, torch.zeros(2, EMBEDDING)), F.relu(expected))
    assert (block.around is not None) == residual


def test_attention_is_a_switch() -> None:
    def last_pixel_hears_of_the_first(attention: bool) -> bool:
        # Batch norm, as group norm hears of the whole image; 28 pixels away is further than the convolutions reach.
        net = network(dataclasses.replace(CONFIGS["classic, batch norm"], attention=attention), (1, 28, 28))
        x = randn(1, 1, 28, 28).requires_grad_()
        (gradient,) = torch.autograd.grad(net(x, *LEVEL)[0, 0, -1, -1], x)
        return bool(gradient[0, 0, 0, 0] != 0)

    assert last_pixel_hears_of_the_first(attention=True)
    assert not last_pixel_hears_of_the_first(attention=False)


@pytest.mark.parametrize("attention", [False, True])
def test_diffusers_network_attends_in_the_middle(attention: bool) -> None:
    names = dict(network(dataclasses.replace(CONFIGS["unet2d"], attention=attention)).named_parameters())
    attentive = {name.split(".attentions")[0] for name in names if ".to_q." in name}
    assert attentive == ({"unet.mid_block"} if attention else set())


def test_diffusers_network_is_asked_in_timesteps() -> None:
    net, x, labels = network(CONFIGS["unet2d"], (3, 16, 16)), randn(3, 3, 16, 16), torch.tensor([0, 4, CLASSES])
    assert isinstance(net, DiffusersUNet)
    t = torch.tensor([0.0, 250.0, 1000.0])
    angle = (t / 1000 * math.pi / 2).reshape(3, 1, 1, 1)
    with torch.no_grad():
        expected = net.unet(x, t, labels).sample
        torch.testing.assert_close(net(x, angle.cos(), angle.sin(), labels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "width"), [(7, 16), (14, 64)])
def test_positions_are_diffusers(side: int, width: int) -> None:
    expected = get_2d_sincos_pos_embed(width, side, base_size=side, output_type="pt")
    torch.testing.assert_close(positions(side, side, width), expected.float())


def test_a_transformer_block_with_open_gates_is_torchs_encoder_layer() -> None:
    width = 32
    block = DiTBlock(width)
    with torch.no_grad():
        block.modulation.bias.copy_(torch.tensor([0.0, 0, 1, 0, 0, 1]).repeat_interleave(width))  # the gates at 1
    layer = nn.TransformerEncoderLayer(
        width, 4, 4 * width, 0.0, lambda x: F.gelu(x, approximate="tanh"), 1e-6, batch_first=True, norm_first=True
    )
    first, _, second = block.mlp
    layer.linear1.load_state_dict(first.state_dict())
    layer.linear2.load_state_dict(second.state_dict())
    layer.self_attn.load_state_dict(
        {"in_proj_weight": block.qkv.weight, "in_proj_bias": block.qkv.bias}
        | {f"out_proj.{name}": value for name, value in block.out.state_dict().items()}
    )
    x = randn(2, 9, width)
    torch.testing.assert_close(block(x, randn(2, width)), layer(x))


def test_a_transformer_block_begins_as_the_identity() -> None:
    x = randn(2, 9, 32)
    assert torch.equal(DiTBlock(32)(x, randn(2, 32)), x)


def test_a_patch_comes_back_to_its_place() -> None:
    """With blocks that do nothing, every output patch depends on the input patch at the same place, and on no other."""
    net = DiT(0, (2, 8, 12), width=16, depth=2, patch=4)
    nn.init.normal_(net.last.weight)
    x = randn(1, 2, 8, 12).requires_grad_()
    for row, column in ((0, 0), (5, 2), (3, 11)):
        (grad,) = torch.autograd.grad(net(x, *LEVEL)[0, 1, row, column], x)
        expected = torch.zeros(8, 12, dtype=torch.bool)
        expected[row // 4 * 4 :, column // 4 * 4 :][:4, :4] = True
        assert torch.equal((grad[0] != 0).any(0), expected)


# Learning


@every_kind
def test_every_kind_learns(config: NetworkConfig) -> None:
    everything = mnist("train")
    assert everything.labels is not None
    digits = dataclasses.replace(everything, images=everything.images[:64]).resized(14)
    labels = everything.labels[:64]
    schedule = ScheduleConfig("cosine", 1000).make()
    training = TrainingConfig(noise_levels="angle", batch_size=32, learning_rate=4e-3, warmup_steps=5)
    run = Trainer(make_network(config, (1, 14, 14), CLASSES, 0), digits, schedule, training, 0, labels, CLASSES)
    fixed = draw_batch(digits[torch.arange(64)], labels, CLASSES, training, schedule, torch.Generator().manual_seed(1))

    def loss(net: nn.Module) -> float:
        with torch.no_grad():
            return fixed.loss(net, training.prediction).item()

    before = loss(copy.deepcopy(run.network).eval())
    list(run.steps(40))
    # The average is what samples are drawn from. An untrained network, or one that always says 0, is at .9 or more.
    after = loss(run.ema)
    assert before > 0.8
    assert after < 0.65


@every_kind
def test_every_kind_can_be_stepped_by_muon(config: NetworkConfig) -> None:
    parts = Optimizer(make_network(config, (1, 28, 28), CLASSES, 0), "muon").parts
    assert ("muon" in parts) == (config.kind != "dit")  # no convolutions there: AdamW steps all of it


# Refusals


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"kind": "transformer"}, "one of small, classic, unet2d, dit"),
        ({"kind": 1}, "kind must be"),
        ({"norm": "layer"}, "group or batch"),
        ({"channels": ()}, "1 to 5 levels"),
        ({"channels": (16,) * 6}, "1 to 5 levels"),
        ({"channels": (0,)}, "8 … 1,024"),
        ({"channels": (16, 2048)}, "8 … 1,024"),
        ({"channels": (16.0,)}, "8 … 1,024"),
        ({"channels": ("16",)}, "8 … 1,024"),
        ({"channels": (20,)}, "groups of 8"),
        ({"patch": 3}, "1, 2 or 4"),
        ({"patch": 2.0}, "patch must be a whole number"),
        ({"depth": 0}, r"1 … 24"),
        ({"depth": 25}, r"1 … 24"),
        ({"depth": math.nan}, "depth must be a whole number"),
        ({"residual": 1}, "residual must be true or false"),
        ({"attention": "yes"}, "attention must be true or false"),
    ],
    ids=str,
)
def test_no_such_network(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        NetworkConfig(**knobs)


@pytest.mark.parametrize(
    ("config", "side", "words"),
    [
        (NetworkConfig("small"), 14, "multiples of 4 pixels, at least 8: 14×14 does not fit. Resize to 16, or"),
        (NetworkConfig("classic", (16, 16, 16)), 14, "multiples of 4 pixels.*Resize to 16"),
        (NetworkConfig("unet2d", (16,) * 5), 28, "multiples of 16 pixels.*Resize to 32"),
        (NetworkConfig("dit", (16,)), 27, "multiples of 2 pixels.*Resize to 28"),
        (NetworkConfig("dit", (16,), patch=4), 1, "multiples of 4 pixels.*Resize to 8"),
        (NetworkConfig("unet2d", (16,) * 5), 16, "at least 32.*Resize to 32"),
    ],
)
def test_sides_that_do_not_fit(config: NetworkConfig, side: int, words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        make_network(config, (1, side, side), CLASSES, 0)


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest tensor in memory had."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        if isinstance(made, Tensor) and made.device.type != "meta":
            self.numel = max(self.numel, made.numel())
        return made


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_weights_are_refused_before_they_are_made(kind: Any) -> None:
    wide = NetworkConfig(kind, (1024,) * 5, patch=1, depth=24)  # 0.9 to 3.6 GB
    with (
        LargestTensor() as made,
        pytest.raises(NetworkError, match=r"\d{3},\d{3},\d{3} weights are too many here.*Take fewer channels"),
    ):
        make_network(wide, (1, 32, 32), CLASSES, 0)
    assert made.numel < 10_000
    with LargestTensor() as made:
        make_network(dataclasses.replace(wide, channels=(256,), depth=1), (1, 32, 32), CLASSES, 0)
    assert made.numel > 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_networks_need_not_be_counted(kind: Any) -> None:
    with torch.device("meta"):
        net = make_network(NetworkConfig(kind, (NARROW,) * 5, depth=24, patch=4), (3, 128, 128), 1000, 0)
    assert sum(p.numel() for p in net.parameters()) < MAX_PARAMETERS
