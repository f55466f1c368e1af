"""Pictures as PNG files that know how they were made, and the way back. Files that are read come from strangers."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from playground.diffusion.samplers import SAMPLERS
from playground.refusal import Refusal
from playground.settings import SETTINGS
from playground.stable_diffusion.request import Request

KEY = "diffusion-playground"
FORMAT = "stable-diffusion/1"
MAX_TEXT = 20_000  # characters; a request with the longest prompts has some 2,500
Kind = Literal["text", "img2img", "inpaint"]


class PictureError(Refusal):
    """This file cannot be read; the message says why."""


@dataclass(frozen=True)
class Parameters:
    """How one picture was made. `kind`: from words alone, or also from a picture, which the file does not hold."""

    model: str
    request: Request
    kind: Kind = "text"


@dataclass(frozen=True, eq=False)
class OpenedPicture:
    """A PNG that was read: its `image` (3, H, W) in [0, 1], and how it was made, or `words` where it does not say."""

    image: Tensor
    parameters: Parameters | None
    words: str


def to_png(image: Tensor, parameters: Parameters) -> bytes:
    """`image` (3, H, W) in [0, 1] as a PNG with `parameters` inside: as JSON under our own key, and as the text that
    AUTOMATIC1111's web UI writes, which other programs read.
    """
    info = PngInfo()
    info.add_itxt(KEY, json.dumps(_as_table(parameters)), zip=False)
    info.add_itxt("parameters", as_line(parameters), zip=False)
    pixels = (image.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def read_png(data: bytes) -> OpenedPicture:
    """The inverse of `to_png`. Raises PictureError for what is no PNG, too large, or has damaged parameters."""
    if len(data) > SETTINGS.max_picture_bytes:
        raise PictureError(f"The file has {len(data):,} bytes, the limit is {SETTINGS.max_picture_bytes:,}.")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
            width, height = file.size
            if width * height > SETTINGS.max_image_pixels:  # judged by the header: nothing is unpacked yet
                raise PictureError(
                    f"The picture has {width * height:,} pixels, the limit is {SETTINGS.max_image_pixels:,}."
                )
            pixels = np.array(file.convert("RGB"))
            text = getattr(file, "text", {}).get(KEY)  # after the pixels: it may stand behind them
    except PictureError:
        raise
    except Exception as error:  # a hostile file fails in any of a dozen ways
        raise PictureError("This is no PNG file, or it is damaged.") from error
    image = torch.from_numpy(pixels).movedim(-1, 0).float() / 255
    if text is None:
        return OpenedPicture(image, None, "This PNG does not say how it was made: only the picture was taken over.")
    return OpenedPicture(image, parse(str(text)), "")


def parse(text: str) -> Parameters:
    """Parameters from their JSON. Raises PictureError for anything that `to_png` would not have written."""
    if len(text) > MAX_TEXT:
        raise PictureError(f"The parameters in this PNG have {len(text):,} characters: none of ours are so long.")
    try:
        table = json.loads(text)
        knobs = dict(table["request"])
        knobs["seeds"] = tuple(knobs["seeds"])
        known = {knob.name for knob in dataclasses.fields(Request)}
        if set(table) != {"format", "model", "kind", "request"} or set(knobs) != known or table["format"] != FORMAT:
            raise ValueError("other names than ours")
        if not isinstance(table["model"], str) or len(table["model"]) > 200 or table["kind"] not in get_args(Kind):
            raise ValueError("no model, or none of our kinds")
        return Parameters(table["model"], Request(**knobs), table["kind"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:  # RequestError is a ValueError
        raise PictureError("The parameters in this PNG are damaged, or were not written by this playground.") from error


def as_line(parameters: Parameters) -> str:
    """The parameters as AUTOMATIC1111's web UI writes them: the prompts, then a line of names and values."""
    request = parameters.request
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    values = {
        "Steps": request.steps,
        "Sampler": SAMPLERS[request.scheduler].title,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seeds[0],
        "Size": f"{request.width}x{request.height}",
        "Model": parameters.model,
    }
    if parameters.kind != "text":
        values["Denoising strength"] = f"{request.strength:g}"
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in values.items())])


def _as_table(parameters: Parameters) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": parameters.model,
        "kind": parameters.kind,
        "request": dataclasses.asdict(parameters.request),
    }
