"""The message to the browser, read back as the layout is documented."""

import base64
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from playground.ui.shared.wire import Kind, pack

SIZES = {"i16": 2, "i8": 1, "f32": 4}
TYPES = {"i16": "<i2", "i8": "<i1", "f32": "<f4"}
STEPS = {"i16": 32767, "i8": 127}
kinds: st.SearchStrategy[Kind] = st.sampled_from(["i16", "i8", "f32"])
finite = arrays(
    np.float32,
    array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


def unpack(text: str) -> tuple[Any, dict[str, np.ndarray], list[dict[str, Any]]]:
    """meta, the arrays as numbers times `scale`, and the header's entries."""
    raw = base64.b64decode(text, validate=True)
    (length,) = struct.unpack_from("<I", raw)
    assert length % 4 == 0, "the arrays start at a multiple of 4"
    header = json.loads(raw[4 : 4 + length])
    assert set(header) == {"meta", "arrays"}
    found = {}
    for entry in header["arrays"]:
        assert entry["at"] % 4 == 0
        count = math.prod(entry["shape"])
        start = 4 + length + entry["at"]
        assert start + count * SIZES[entry["kind"]] <= len(raw)
        numbers = np.frombuffer(raw, TYPES[entry["kind"]], count, start).astype(np.float64) * entry["scale"]
        found[entry["name"]] = numbers.reshape(entry["shape"])
    return header["meta"], found, header["arrays"]


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=5), st.tuples(finite, kinds), max_size=4))
def test_arrays_arrive(sent: dict[str, tuple[np.ndarray, Kind]]) -> None:
    sent = {f"a{name}": pair for name, pair in sent.items()}
    tensors = {name: (torch.from_numpy(array), kind) for name, (array, kind) in sent.items()}
    meta, found, entries = unpack(pack({"step": 3}, **tensors))
    assert meta == {"step": 3}
    assert list(found) == list(sent)
    for entry in entries:
        array, kind = sent[entry["name"]]
        assert (entry["kind"], tuple(entry["shape"])) == (kind, array.shape)
        error = np.abs(found[entry["name"]] - array).max(initial=0)
        if kind == "f32":
            assert (error, entry["scale"]) == (0, 1)
        else:
            largest = float(np.abs(array).max(initial=1e-9))
            assert entry["scale"] == pytest.approx(largest / STEPS[kind])
            assert error <= entry["scale"] * (0.5 + 1e-3)  # float32 divides before it rounds


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_meta_arrives(value: Any) -> None:
    meta, found, _ = unpack(pack({"value": value}, x=(torch.tensor([1.0]), "i8")))
    assert meta == {"value": value}
    assert found["x"].tolist() == [1.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_meta_is_finite(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        pack({"loss": [value]})


def test_the_largest_number_is_exact_and_nothing_overflows() -> None:
    limits: tuple[tuple[Kind, int], ...] = (("i16", 32767), ("i8", 127))
    for kind, limit in limits:
        _, found, _ = unpack(pack({}, x=(torch.tensor([3.7, -3.7, 0.0]), kind)))
        np.testing.assert_allclose(found["x"], [3.7, -3.7, 0], rtol=1e-6)
        assert round(found["x"][0] / (3.7 / limit)) == limit
    _, found, _ = unpack(pack({}, zero=(torch.zeros(2, 3), "i8"), none=(torch.zeros(0, 2), "i16")))
    assert found["zero"].tolist() == [[0] * 3] * 2
    assert found["none"].shape == (0, 2)


def test_integers_and_gradients_are_sent_as_numbers() -> None:
    _, found, _ = unpack(pack({}, t=(torch.tensor([0, 999]), "f32"), x=(torch.ones(2, requires_grad=True), "f32")))
    assert found["t"].tolist() == [0, 999]
    assert found["x"].tolist() == [1, 1]
