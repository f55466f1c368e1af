"""Experiments and weights as one safetensors file, the configuration in its header. No such file can run code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from playground.refusal import Refusal


class StorageError(Refusal):
    """This file cannot be read; the message says why."""


def flatten(state: dict[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A nested state as two flat tables by path, of tensors and of plain values. Lists (Adam's settings) are left out,
    as they follow from the config."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, value in state.items():
        path = f"{prefix}{key}"
        if isinstance(value, Tensor):
            tensors[path] = value.contiguous()
        elif isinstance(value, dict):
            below, others = flatten(value, f"{path}/")
            tensors |= below
            rest |= others
        elif not isinstance(value, list):
            rest[path] = value
    return tensors, rest


def unflatten(
    template: dict[str, Any], tensors: dict[str, Tensor], rest: dict[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """`template` with every value replaced by the one at its path. Raises KeyError or ValueError where none fits."""
    filled: dict[str, Any] = {}
    for key, value in template.items():
        path = f"{prefix}{key}"
        if isinstance(value, Tensor):
            filled[key] = tensors[path]
            if filled[key].shape != value.shape or filled[key].dtype != value.dtype:
                raise ValueError(f"{path} has shape {tuple(filled[key].shape)}, not {tuple(value.shape)}")
        elif isinstance(value, dict):
            filled[key] = unflatten(value, tensors, rest, f"{path}/")
        elif isinstance(value, list):
            filled[key] = value
        else:
            filled[key] = type(value)(rest[path]) if value is not None else None
    return filled


def encode(format: str, config: dict[str, Any], tensors: dict[str, Tensor], rest: dict[str, Any]) -> bytes:
    """One safetensors file."""
    return save(tensors, {"format": format, "config": json.dumps(config), "state": json.dumps(rest)})


def decode(data: bytes, format: str, what: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Config, tensors and the rest, as `encode` took them. Raises StorageError with a message for the visitor.

    `what`: the kind of file it should be, for that message.
    """
    try:
        tensors = load(data)
    except Exception as error:  # a malicious header can fail in a dozen ways, in safetensors and in torch
        raise StorageError(
            "This is no safetensors file, or it was cut short. Choose one saved by this playground."
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if header.get("format") != format:
        raise StorageError(f"This safetensors file is not {what}. Choose one saved by this playground.")
    try:
        config, rest = json.loads(header["config"]), json.loads(header["state"])
    except (KeyError, ValueError, RecursionError) as error:
        raise StorageError("This file's header is damaged: its configuration cannot be read.") from error
    if not isinstance(config, dict) or not isinstance(rest, dict):
        raise StorageError("This file's header is damaged: its configuration is not a table of names and values.")
    return config, tensors, rest


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data`, all or nothing: after a full disk or a kill the old file is still there."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
