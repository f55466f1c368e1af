"""What the MNIST stage is sent, inflated and read back as the layout is documented."""

import base64
import json
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from playground.diffusion.sampling import SamplePath
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.lab import ForwardTable
from playground.mnist.live import Preview
from playground.ui.mnist import stage as digits
from playground.ui.mnist.stage import (
    EPS_LIMIT,
    mnist_channel,
    mnist_stage,
    pack_frame,
    pack_news,
    pack_path,
    pack_scene,
)
from playground.ui.shared.component import ROOMS
from playground.ui.shared.wire import Kind, pack

TYPES = {"i16": "<i2", "i8": "<i1", "f32": "<f4"}
kinds: st.SearchStrategy[Kind] = st.sampled_from(["i16", "i8", "f32"])
finite = arrays(np.float32, array_shapes(max_dims=3, min_side=0, max_side=7), elements=st.floats(-100, 100, width=32))


def unpack(text: str) -> tuple[Any, dict[str, np.ndarray], dict[str, str]]:
    """meta, the arrays as numbers, and how each was sent."""
    raw = base64.b64decode(text, validate=True)
    (length,) = struct.unpack_from("<I", raw)
    header, body = json.loads(raw[4 : 4 + length]), raw[4 + length :]
    if header.get("deflated"):
        body = zlib.decompress(body)
    found, sent = {}, {}
    for entry in header["arrays"]:
        assert entry["at"] % 4 == 0
        numbers = np.frombuffer(body, TYPES[entry["kind"]], math.prod(entry["shape"]), entry["at"])
        found[entry["name"]] = numbers.reshape(entry["shape"]).astype(np.float64) * entry["scale"]
        sent[entry["name"]] = entry["kind"]
    return header["meta"], found, sent


def a_table(channels: int = 1, side: int = 28, schedule: str = "cosine") -> ForwardTable:
    rng = torch.Generator().manual_seed(0)
    x0 = torch.rand(16, channels, side, side, generator=rng) * 2 - 1
    eps = torch.randn(x0.shape, generator=rng)
    return ForwardTable(x0, eps, torch.arange(16) % 10, ScheduleConfig(schedule, 1000).make())


def a_path(states: int = 6, n: int = 16, channels: int = 1, labels: bool = True) -> SamplePath:
    rng = torch.Generator().manual_seed(1)
    angle = torch.linspace(math.pi / 2, 0, states)
    x0 = torch.rand(states, n, channels, 28, 28, generator=rng) * 2 - 1
    eps = torch.randn(x0.shape, generator=rng)
    alpha, sigma = angle.cos(), angle.sin()
    x = alpha.reshape(-1, 1, 1, 1, 1) * x0 + sigma.reshape(-1, 1, 1, 1, 1) * eps
    t = torch.cat([torch.linspace(999, 99.5, states - 1), torch.tensor([-1.0])])
    return SamplePath(x, x0, eps, t, alpha, sigma, torch.arange(n) % 10 if labels else None, 2 * states, seed=5)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.tuples(finite, kinds), max_size=4))
def test_a_deflated_message_says_the_same(sent: dict[str, tuple[np.ndarray, Kind]]) -> None:
    tensors = {f"a{name}": (torch.from_numpy(array), kind) for name, (array, kind) in sent.items()}
    plain, deflated = unpack(pack({"step": 3}, **tensors)), unpack(pack({"step": 3}, compress=True, **tensors))
    assert plain[0] == deflated[0]
    assert plain[2] == deflated[2]
    for name in tensors:
        np.testing.assert_array_equal(plain[1][name], deflated[1][name])


def test_what_is_mostly_paper_crosses_in_a_fraction() -> None:
    paper = torch.full((20, 16, 1, 28, 28), -1.0)
    paper[..., 10:14, 10:14] = 1
    assert len(pack({}, compress=True, x=(paper, "i8"))) < len(pack({}, x=(paper, "i8"))) / 20


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (1, 14)])
def test_the_browser_can_noise_every_image_to_every_t(channels: int, side: int) -> None:
    table = a_table(channels, side)
    reads, reads_t = torch.rand(7, 16, 10).softmax(2), torch.linspace(0, 999, 7)
    meta, found, _ = unpack(pack_scene(table, [str(k) for k in range(10)], "MNIST", reads, reads_t))
    assert meta == {
        "T": 1000,
        "schedule": "cosine",
        "warning": table.schedule.warning,
        "labels": [k % 10 for k in range(16)],
        "classes": [str(k) for k in range(10)],
        "name": "MNIST",
    }
    assert found["x0"].shape == found["eps"].shape == (16, channels, side, side)
    for t in (0, 431, 999):
        x_t = found["alphas"][t] * found["x0"] + found["sigmas"][t] * found["eps"]
        # i16: half a step of the digits, and half a step of noise that reaches 5 standard deviations
        np.testing.assert_allclose(x_t, table.at(t).numpy(), atol=(1 + 5) / 2 / 32767 + 1e-6)
    np.testing.assert_allclose(found["reads"], reads.numpy(), atol=1 / 2 / 127 + 1e-6)
    np.testing.assert_array_equal(found["reads_t"], reads_t.numpy())


def test_a_scene_may_have_no_reader_and_tells_of_a_bad_schedule() -> None:
    meta, found, _ = unpack(pack_scene(a_table(schedule="scaled_linear"), ["a"], "Others"))
    assert set(found) == {"x0", "eps", "alphas", "sigmas"}
    assert meta["warning"] == ScheduleConfig("scaled_linear", 1000).make().warning


def test_a_path_holds_every_state_within_half_a_step() -> None:
    path = a_path()
    reads = torch.rand(6, 16, 10)
    text = pack_path(path, reads, title="DDIM", caption="5 steps", seconds=1.5, slot=1, slots=2, comparison="a")
    meta, found, sent = unpack(text)
    assert meta == {
        "slot": 1,
        "slots": 2,
        "id": "a",
        "title": "DDIM",
        "caption": "5 steps",
        "labels": [k % 10 for k in range(16)],
        "seconds": 1.5,
        "calls": 12,
        "seed": 5,
    }
    assert (sent["x0"], sent["eps"], sent["reads"]) == ("i8", "i8", "i8")
    np.testing.assert_array_equal(found["t"], path.t.numpy())
    np.testing.assert_allclose(found["x0"], path.x0.numpy(), atol=0.5 / 127 + 1e-6)
    np.testing.assert_allclose(found["eps"], path.eps.numpy(), atol=EPS_LIMIT / 127 / 2 + 1e-6)
    alpha, sigma = (found[name].reshape(-1, 1, 1, 1, 1) for name in ("alpha", "sigma"))
    error = np.abs(alpha * found["x0"] + sigma * found["eps"] - path.x.numpy())
    assert error.max() <= (0.5 + EPS_LIMIT / 2) / 127
    assert error[-1].max() <= 0.5 / 127 + 1e-6  # arrived: no noise, so no error of it


def test_one_wild_pixel_does_not_coarsen_the_noise() -> None:
    path = a_path(labels=False)
    path.eps[-1, 0, 0, 0, 0] = 400.0  # ε̂ = (x - α x̂_0) / σ where hardly any σ is left
    meta, found, _ = unpack(pack_path(path, title="", caption="", seconds=0.1))
    assert meta["labels"] == []
    assert (meta["slot"], meta["slots"]) == (0, 1)
    assert found["eps"].max() == pytest.approx(EPS_LIMIT)
    np.testing.assert_allclose(found["eps"][:-1], path.eps[:-1].numpy(), atol=EPS_LIMIT / 127 / 2 + 1e-6)


def test_a_training_frame() -> None:
    x = torch.linspace(-1, 1, 16 * 14 * 14).reshape(16, 1, 14, 14)
    preview = Preview(40, x, torch.arange(16) % 10, [(20, 0.5), (40, 0.25)], 12.5, 3.0, 0.75, True)
    meta, found, _ = unpack(pack_frame(preview, run=2))
    assert meta == {
        "run": 2,
        "step": 40,
        "losses": [[20, 0.5], [40, 0.25]],
        "rate": 12.5,
        "seconds": 3.0,
        "running": True,
        "right": 0.75,
        "note": "",
        "calm": False,
    }
    np.testing.assert_allclose(found["x"], x.numpy(), atol=0.5 / 127 + 1e-6)
    assert found["labels"].tolist() == [k % 10 for k in range(16)]


def test_news_says_only_what_it_knows() -> None:
    first, second = (unpack(pack_news("Choose a class.", wrong=True))[0] for _ in range(2))
    assert first.pop("at") != second.pop("at"), "the page hears of new values alone"
    assert first == second == {"status": "Choose a class.", "wrong": True, "progress": None}
    going = unpack(pack_news(progress=(3, 20), sampling=True))[0]
    going.pop("at")
    assert going == {
        "wrong": False,
        "progress": [3, 20],
        "sampling": True,
    }


def test_the_stage_is_whole() -> None:
    script = mnist_stage().js_on_load
    assert script is not None
    for name in digits.SCRIPTS:
        source = (ROOMS / f"{name}.js").read_text(encoding="utf-8")
        assert source in script
    assert "http" not in script, "nothing is loaded from elsewhere"
    assert "playground:mnist-path" in str(mnist_channel("path").js_on_load)
