"""An experiment in one file: safetensors, with the configuration in its header. Nothing in it can run code."""

from __future__ import annotations

import json
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from playground.toy.config import LabError

FORMAT = "diffusion-playground/toy/1"


def flatten(state: dict[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A nested state as tensors by path and plain values by path. Lists (Adam's settings) follow from the config."""
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


def encode(config: dict[str, Any], tensors: dict[str, Tensor], rest: dict[str, Any]) -> bytes:
    """One safetensors file."""
    return save(tensors, {"format": FORMAT, "config": json.dumps(config), "state": json.dumps(rest)})


def decode(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Config, tensors and the rest, as `encode` took them. Raises LabError with words for a visitor."""
    try:
        tensors = load(data)
    except Exception as error:  # a hostile header fails in any of a dozen ways, in safetensors and in torch
        raise LabError(
            "This is no safetensors file, or it was cut short. Choose one saved by this playground."
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if header.get("format") != FORMAT:
        raise LabError("This safetensors file is not a toy lab's experiment. Choose one saved by this playground.")
    try:
        config, rest = json.loads(header["config"]), json.loads(header["state"])
    except (KeyError, ValueError, RecursionError) as error:
        raise LabError("This experiment's header is damaged: its configuration cannot be read.") from error
    if not isinstance(config, dict) or not isinstance(rest, dict):
        raise LabError("This experiment's header is damaged: its configuration is not a table of names and values.")
    return config, tensors, rest
