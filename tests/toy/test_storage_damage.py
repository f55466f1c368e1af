"""Damaged, foreign and hostile experiment files are refused in words."""

import contextlib
import json
import math
import struct
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from playground.diffusion.training import Diverged
from playground.toy import LabError, ToyLab
from playground.toy.lab import FORMAT
from tests.toy.stored import GOOD, GOOD_USER_POINTS


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and the bytes after it."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def packed(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def changed(data: bytes, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None) -> bytes:
    """`data` with other values in its configuration and state."""
    header, body = parts(data)
    meta = header["__metadata__"]
    meta["config"] = json.dumps({**json.loads(meta["config"]), **(config or {})})
    meta["state"] = json.dumps({**json.loads(meta["state"]), **(state or {})})
    return packed(header, body)


def with_tensors(data: bytes, **tensors: Tensor) -> bytes:
    return save({**load(data), **tensors}, parts(data)[0]["__metadata__"])


def opened(data: bytes) -> None:
    """Open a file that may be malicious: it is used, or refused with a ValueError, and nothing else happens."""
    try:
        lab = ToyLab.from_bytes(data)
    except ValueError:
        return
    assert lab.sample(3).x.shape[1:] == (3, 2)
    with contextlib.suppress(Diverged):
        list(lab.train(steps=2))
    assert lab.to_bytes()


# ---- Damaged files


@pytest.mark.parametrize("length", [*range(20), len(GOOD) // 2, len(GOOD) - 1])
def test_a_file_cut_short(length: int) -> None:
    with pytest.raises(LabError, match="cut short"):
        ToyLab.from_bytes(GOOD[:length])


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for content in (data, struct.pack("<Q", len(data)) + data, packed(data, b""), packed(b"{" + data + b"}", b"")):
        with pytest.raises(ValueError):  # noqa: PT011
            ToyLab.from_bytes(content)


@settings(max_examples=150)
@given(st.sampled_from([GOOD, GOOD_USER_POINTS]), st.data())
def test_changed_bytes(good: bytes, data: st.DataObject) -> None:
    damaged, size = bytearray(good), int.from_bytes(good[:8], "little")
    end = data.draw(st.sampled_from([10, 8 + size, len(good) - 1]))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, end))] = data.draw(
            st.integers(0, 255) | st.sampled_from(list(b'0912"{[}].-,'))
        )
    opened(bytes(damaged))


@settings(max_examples=100)
@given(st.sampled_from([GOOD, GOOD_USER_POINTS]), st.data())
def test_bytes_lost_and_found(good: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(good)))
    opened(good[:start] + data.draw(st.binary(max_size=9)) + good[data.draw(st.integers(start, len(good))) :])


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(0, 3), max_size=2)
    | st.sampled_from([10**400, -(10**400), 10**18, 2**63, math.inf, math.nan, {}])
)


@settings(max_examples=150)
@given(st.sampled_from([GOOD, GOOD_USER_POINTS]), st.data())
def test_changed_fields(good: bytes, data: st.DataObject) -> None:
    header, _ = parts(good)
    config, state = (json.loads(header["__metadata__"][name]) for name in ("config", "state"))
    part = data.draw(st.sampled_from(["", "network", "training", "sampling", "state"]))
    table = {"": config, "state": state, **config}[part]
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(values)
    opened(changed(good, config, state))


@pytest.mark.parametrize(
    "state",
    [
        {"step_count": math.inf},
        {"step_count": math.nan},
        {"step_count": -1},
        {"step_count": -10},
        {"step_count": 10**10},
        {"step_count": 10**400},
        {"step_count": "many"},
        {"step_count": []},
        {"step_count": None},
        {"smooth_loss": 10**400},
        {"smooth_loss": {}},
    ],
)
def test_a_state_that_no_run_has(state: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="do not fit"):
        ToyLab.from_bytes(changed(GOOD, state=state))


def test_a_diverged_experiment_is_still_one() -> None:
    lab = ToyLab.from_bytes(changed(GOOD, state={"smooth_loss": math.nan}))
    assert lab.sample(5).x.isfinite().all()
    broken = with_tensors(GOOD, **{"ema/point.weight": torch.full_like(load(GOOD)["ema/point.weight"], math.nan)})
    assert ToyLab.from_bytes(broken).sample(5).x.isfinite().all()


def test_wrong_weights() -> None:
    tensors = load(GOOD)
    for name in [name for name in tensors if name != "points"]:
        old = tensors[name]
        for new in (old[..., None], old.reshape(-1)[:0], old.to(torch.float16), torch.zeros(old.numel() + 1)):
            with pytest.raises(LabError, match="do not fit"):
                ToyLab.from_bytes(with_tensors(GOOD, **{name: new.contiguous()}))
        missing = {other: tensor for other, tensor in tensors.items() if other != name}
        with pytest.raises(LabError, match="do not fit"):
            ToyLab.from_bytes(save(missing, parts(GOOD)[0]["__metadata__"]))


def test_a_random_state_that_is_none() -> None:
    for fill in (0, 255):
        state = torch.full_like(load(GOOD)["generator"], fill)
        with pytest.raises(LabError, match="do not fit"):
            ToyLab.from_bytes(with_tensors(GOOD, generator=state))


@pytest.mark.parametrize(
    "points",
    [
        torch.zeros(4, 2),
        torch.full((4, 2), math.nan),
        torch.rand(4, 3),
        torch.rand(4),
        torch.rand(0, 2),
        torch.rand(4, 2).bfloat16(),
        torch.rand(4, 2).to(torch.float8_e5m2),
        torch.rand(4, 2).double(),
        torch.eye(2).long(),
        torch.eye(2).bool(),
        torch.eye(2).to(torch.complex64),
        1e9 * torch.eye(2),
    ],
    ids=lambda points: f"{points.dtype}{list(points.shape)}",
)
def test_points_that_are_none(points: Tensor) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        ToyLab.from_bytes(with_tensors(GOOD, points=points))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (torch.tensor([0, 0, 1]), ["3", "7"]),
        (torch.tensor([0, 0, 1, 2]), ["3", "7"]),
        (torch.tensor([0, 0, 1, -1]), ["3", "7"]),
        (torch.tensor([0.0, 0.0, 1.0, 1.0]), ["3", "7"]),
        (torch.tensor([[0, 0, 1, 1]]), ["3", "7"]),
        (torch.tensor([0, 0, 1, 1]), None),
        (torch.tensor([0, 0, 1, 1]), []),
        (torch.tensor([0, 0, 1, 1]), "37"),
        (torch.tensor([0, 0, 1, 1]), [""] * 1_000_000),
    ],
    ids=range(9),
)
def test_labels_that_are_none(labels: Tensor, classes: Any) -> None:
    with pytest.raises(LabError, match="class labels"):
        ToyLab.from_bytes(changed(with_tensors(GOOD_USER_POINTS, labels=labels), state={"classes": classes}))


# ---- Other files, and bombs


def test_other_safetensors_files() -> None:
    config = parts(GOOD)[0]["__metadata__"]["config"]
    metas: list[dict[str, str] | None] = [
        None,
        {},
        {"format": "pt"},
        {"format": "diffusion-playground/toy/2", "config": config, "state": "{}"},
    ]
    for meta in metas:
        with pytest.raises(LabError, match="not a toy lab's experiment"):
            ToyLab.from_bytes(save({"weight": torch.zeros(2)}, meta))
    header, body = parts(GOOD)
    header["__metadata__"] = None
    with pytest.raises(LabError):
        ToyLab.from_bytes(packed(header, body))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", "NaN", "[" * 100_000, '{"a":' * 100_000, "1" * 5000])
@pytest.mark.parametrize("field", ["config", "state"])
def test_a_damaged_header(field: str, text: str) -> None:
    header, body = parts(GOOD)
    header["__metadata__"][field] = text
    with pytest.raises(LabError, match="header is damaged"):
        ToyLab.from_bytes(packed(header, body))
    del header["__metadata__"][field]
    with pytest.raises(LabError, match="header is damaged"):
        ToyLab.from_bytes(packed(header, body))


# Each would take hours, or more memory than there is, if it were believed.
@pytest.mark.parametrize(
    "config",
    [
        {"network": {"width": 10**9}},
        {"network": {"depth": 10**9}},
        {"network": {"fourier_features": 10**9}},
        {"n_points": 10**12},
        {"schedule": {"name": "linear", "timesteps": 10**9}},
        {"schedule": "linear", "timesteps": 10**9},
        {"training": {"batch_size": 10**12}},
        {"sampling": {"steps": 10**9}},
        {"sampling": {"sampler": "annealed_langevin", "langevin_inner": 10**9}},
        {"seed": 10**30},
        {"training": {"p_mean": 1e30}},
    ],
    ids=str,
)
def test_bombs_in_the_configuration(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each part's own)
        ToyLab.from_bytes(changed(GOOD, config))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0, 10**18, 10**18], "data_offsets": [0, 0]},
        {"dtype": "F8_E8M0", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "F4", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "X1", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**63]},
    ],
    ids=range(6),
)
def test_bombs_among_the_tensors(entry: dict[str, Any]) -> None:
    header, body = parts(GOOD)
    header["more"] = entry
    with pytest.raises(LabError):
        ToyLab.from_bytes(packed(header, body))


def test_a_header_longer_than_the_file() -> None:
    for size in (2**40, 2**63, 2**64 - 1):
        with pytest.raises(LabError, match="cut short"):
            ToyLab.from_bytes(struct.pack("<Q", size) + GOOD[8:])


def test_the_format_is_named() -> None:
    assert parts(GOOD)[0]["__metadata__"]["format"] == FORMAT == "diffusion-playground/toy/1"
