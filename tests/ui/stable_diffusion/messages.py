"""What a page of the Stable Diffusion tab says to the server, and what it is told."""

import base64
import dataclasses
import json
import random
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np

from playground.ui.stable_diffusion.knobs import DrawSettings, all_knobs
from playground.ui.stable_diffusion.tab import StableDiffusionTab

TYPES = {"i16": "<i2", "i8": "<i1", "f32": "<f4"}
QUICK = {"steps": 3, "images": 2}


def unpack(text: str) -> tuple[Any, dict[str, np.ndarray]]:
    """meta, and the arrays as numbers."""
    raw = base64.b64decode(text, validate=True)
    (length,) = struct.unpack_from("<I", raw)
    header, body = json.loads(raw[4 : 4 + length]), raw[4 + length :]
    body = zlib.decompress(body) if header.get("deflated") else body
    found = {}
    for entry in header["arrays"]:
        shape = entry["shape"]
        numbers = np.frombuffer(body, TYPES[entry["kind"]], int(np.prod(shape)), entry["at"])
        found[entry["name"]] = numbers.reshape(shape).astype(np.float64) * entry["scale"]
    return header["meta"], found


def said(**changes: Any) -> list[Any]:
    """The page's values, as they come for a DrawSettings."""
    settings = dataclasses.replace(DrawSettings.of("tiny"), **changes)
    head = [settings.model, settings.prompt, settings.negative_prompt, settings.seed, settings.lock]
    return [*head, *(knob.value(settings) for knob in all_knobs())]


def covered(share: slice) -> str:
    pixels = np.zeros((128, 128), np.uint8)
    pixels[share] = 255
    return base64.b64encode(pixels.tobytes()).decode()


def page(tab: StableDiffusionTab, name: str | None = None) -> Any:
    """A request of one open page, new without a name."""
    request = SimpleNamespace(session_hash=name or str(random.random()))
    tab.sessions.visitor(request.session_hash)
    return request


def event(**data: Any) -> Any:
    return SimpleNamespace(_data=data)


def told(tab: StableDiffusionTab, updates: Any) -> list[Any]:
    """The messages of the stage, in order: their meta."""
    return [unpack(update[tab.stage])[0] for update in updates if tab.stage in update]


def news(tab: StableDiffusionTab, updates: Any) -> list[Any]:
    return [unpack(update[tab.news])[0] for update in updates if tab.news in update]


def drawn(tab: StableDiffusionTab) -> tuple[Any, Any]:
    """A page with two pictures, and its session."""
    request = page(tab)
    list(tab._draw(request, event(mode="one"), *said(**QUICK)))
    return request, tab.sessions.known(request.session_hash).stable_diffusion
