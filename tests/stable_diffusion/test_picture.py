"""The PNG round trip, and PNGs from strangers."""

import dataclasses
import io
import json
import struct
import zlib
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from playground.diffusion.sampling_config import scheduled
from playground.stable_diffusion.picture import KEY, Parameters, PictureError, as_line, parse, read_png, to_png
from playground.stable_diffusion.request import Request
from tests.stable_diffusion.tiny import PROMPT

MADE = Parameters("tiny", Request(PROMPT, "blue", 12, 4.5, "euler_a", (2**32 - 1,), 40, 24))


def png(text: dict[str, str] | None = None, size: tuple[int, int] = (8, 8)) -> bytes:
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(added: bytes, before: bytes = b"IDAT") -> bytes:
    whole = png()
    place = whole.index(before) - 4
    return whole[:place] + added + whole[place:]


@settings(max_examples=50, deadline=None)
@given(
    prompt=st.text(min_size=1, max_size=60).filter(str.strip),
    negative=st.text(max_size=30),
    guidance_scale=st.floats(0, 30),
    scheduler=st.sampled_from(sorted(scheduled())),
    seed=st.integers(0, 2**32 - 1),
    strength=st.floats(0.01, 1),
    kind=st.sampled_from(["text", "img2img", "inpaint"]),
)
def test_what_is_written_is_read(
    prompt: str, negative: str, guidance_scale: float, scheduler: str, seed: int, strength: float, kind: Any
) -> None:
    request = Request(prompt, negative, 20, guidance_scale, scheduler, (seed,), strength=strength)
    made = Parameters("tiny", request, kind)
    image = torch.rand(3, 8, 16)
    found = read_png(to_png(image, made))
    assert found.parameters == made
    assert found.words == ""
    assert found.image.shape == (3, 8, 16)
    assert (found.image - image).abs().max() <= 0.5 / 255 + 1e-6


def test_the_line_other_programs_read() -> None:
    with Image.open(io.BytesIO(to_png(torch.zeros(3, 8, 8), dataclasses.replace(MADE, kind="img2img")))) as file:
        line = file.text["parameters"]  # type: ignore[attr-defined]
    assert line == (
        "a red seven on a blue background\nNegative prompt: blue\n"
        "Steps: 12, Sampler: Euler ancestral, CFG scale: 4.5, Seed: 4294967295, Size: 24x40, Model: tiny, "
        "Denoising strength: 0.8"
    )
    assert "Negative" not in as_line(dataclasses.replace(MADE, request=Request(PROMPT)))


def test_a_foreign_png_gives_its_picture() -> None:
    for data in (png(), png({"parameters": "a cat\nSteps: 20", "prompt": "<script>alert(1)</script>"})):
        found = read_png(data)
        assert found.parameters is None
        assert "does not say how it was made" in found.words
        assert found.image.shape == (3, 8, 8)
    grey = io.BytesIO()
    Image.new("LA", (8, 8)).save(grey, "PNG")
    assert read_png(grey.getvalue()).image.shape == (3, 8, 8)


def table(**change: Any) -> str:
    whole = {
        "format": "stable-diffusion/1",
        "model": "tiny",
        "kind": "text",
        "request": dataclasses.asdict(MADE.request),
    }
    return json.dumps(whole | change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 10_000,
        table(format="stable-diffusion/2"),
        table(model=7),
        table(model="m" * 201),
        table(kind="eval"),
        table(extra=1),
        table(request={}),
        table(request={**dataclasses.asdict(MADE.request), "__class__": "x"}),
        table(request={**dataclasses.asdict(MADE.request), "steps": 10**9}),
        table(request={**dataclasses.asdict(MADE.request), "steps": "20"}),
        table(request={**dataclasses.asdict(MADE.request), "guidance_scale": float("nan")}),
        table(request={**dataclasses.asdict(MADE.request), "seeds": "12"}),
        table(request={**dataclasses.asdict(MADE.request), "seeds": [[1]]}),
        table(request={**dataclasses.asdict(MADE.request), "prompt": "a" * 9_999}),
        table(request={**dataclasses.asdict(MADE.request), "width": 10**6}),
    ],
)
def test_hostile_parameters_are_refused_in_words(text: str) -> None:
    with pytest.raises(PictureError, match="damaged, or were not written by this playground"):
        read_png(png({KEY: text}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_json_gets_through(value: Any) -> None:
    with pytest.raises(PictureError):
        parse(json.dumps(value))


def test_very_long_parameters() -> None:
    with pytest.raises(PictureError, match="30,000 characters"):
        read_png(png({KEY: "x" * 30_000}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no PNG"),
        (b"\x89PNG\r\n\x1a\n", "no PNG"),
        (b"GIF89a" + bytes(100), "no PNG"),
        (png()[:-30], "no PNG"),
        (png(size=(5_000, 4_000)), "20,000,000 pixels"),
        (bytes(20_000_001), "20,000,001 bytes"),
        # a text that unpacks to 200 MB
        (with_chunk(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200_000_000), 9))), "no PNG"),
        (with_chunk(chunk(b"iTXt", KEY.encode() + b"\0\1\0\0\0" + zlib.compress(bytes(200_000_000), 9))), "no PNG"),
    ],
    ids=["empty", "signature", "gif", "cut", "large", "heavy", "ztxt-bomb", "itxt-bomb"],
)
def test_what_is_no_picture_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        read_png(data)


def test_a_jpeg_that_calls_itself_png() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    with pytest.raises(PictureError):
        read_png(out.getvalue())


def test_a_header_that_lies_about_its_size() -> None:
    whole = bytearray(png())
    header = struct.pack(">II", 100_000, 100_000) + whole[24:29]
    whole[16:29] = header
    whole[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    with pytest.raises(PictureError):
        read_png(bytes(whole))
