"""How arrays cross to the browser: once, quantised, as one base64 string.

Layout: 4 bytes little-endian length of a JSON header, the header (`meta` and where each array lies), the arrays. An
"i16" or "i8" array is a quantised one: its numbers times `scale`. Where the header says `deflated`, the arrays are, as
one zlib stream. wire.js reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Literal, overload

import numpy as np
from torch import Tensor

Kind = Literal["i16", "i8", "f32"]
LIMITS: dict[str, int] = {"i16": 32767, "i8": 127}
FAST = 1  # zlib's level: noise hardly shrinks at any, and the background of digits does at the first
DTYPES: dict[str, str] = {"i16": "<i2", "i8": "<i1", "f32": "<f4"}


@overload  # twice, or a type checker would fear that `**arrays` might hold one named compress
def pack(meta: dict[str, Any], **arrays: tuple[Tensor, Kind]) -> str: ...
@overload
def pack(meta: dict[str, Any], *, compress: bool, **arrays: tuple[Tensor, Kind]) -> str: ...
def pack(meta: dict[str, Any], *, compress: Any = False, **arrays: tuple[Tensor, Kind]) -> str:
    """`meta` (plain JSON; no NaN) and named arrays as one base64 string. Values must be finite.

    `compress`: deflate the arrays; the browser then needs `unpackLater`.
    """
    header: list[dict[str, Any]] = []
    body = bytearray()
    for name, (tensor, kind) in arrays.items():
        values = tensor.detach().numpy().astype(np.float32)
        scale = 1.0
        if kind in LIMITS:
            scale = float(np.abs(values).max(initial=1e-9)) / LIMITS[kind]
            values = np.round(values / scale)
        header.append({"name": name, "kind": kind, "shape": list(values.shape), "scale": scale, "at": len(body)})
        body += values.astype(DTYPES[kind]).tobytes()
        body += b"\0" * (-len(body) % 4)  # typed arrays in the browser start at a multiple of their size
    head: dict[str, Any] = {"meta": meta, "arrays": header}
    if compress:
        head["deflated"] = True
        body = bytearray(zlib.compress(body, FAST))
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return base64.b64encode(len(text).to_bytes(4, "little") + text + body).decode()
