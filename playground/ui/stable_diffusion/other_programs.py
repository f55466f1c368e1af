"""PNGs of other programs: the "parameters" text of AUTOMATIC1111's stable-diffusion-webui, read as far as it goes."""

from __future__ import annotations

import io
import re
from typing import Any

from PIL import Image

from playground.diffusion.sampling_config import named
from playground.settings import SETTINGS

MAX_TEXT = 20_000  # characters
PAIR = re.compile(r"([A-Za-z][\w ]{0,30}):([^,\n]{1,80})(?:,|$)")


def read_settings(png: bytes) -> dict[str, Any]:
    """Fields of DrawSettings that a PNG, known to be one, carries; not its size, which belongs to its own model."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as file:
        file.load()  # texts may come after the pixels
        text = str(getattr(file, "text", {}).get("parameters", ""))
    return read_parameters(text) if 0 < len(text) <= MAX_TEXT else {}


def read_parameters(text: str) -> dict[str, Any]:
    """The prompts, and what is known here of the line of names and values; what does not fit is left out."""
    words, _, line = text.rstrip().rpartition("\n")
    found = {name.strip().lower(): value.strip() for name, value in PAIR.findall(line)}
    if "steps" not in found:
        return {}
    prompt, _, negative = words.partition("Negative prompt:")
    read: dict[str, Any] = {}
    for name, part in (("prompt", prompt), ("negative_prompt", negative)):
        read[name] = " ".join(part.split())[: SETTINGS.max_prompt_characters]
    for name, least, most in (("steps", 1, SETTINGS.max_denoising_steps), ("seed", 0, 2**32 - 1)):
        value = found.get(name, "")
        if re.fullmatch(r"\d{1,10}", value, re.ASCII) and least <= int(value) <= most:
            read[name] = int(value)
    scale = found.get("cfg scale", "")
    if re.fullmatch(r"\d{1,2}(\.\d{1,3})?", scale, re.ASCII) and float(scale) <= SETTINGS.max_guidance_scale:
        read["guidance_scale"] = max(1.0, float(scale))  # below 1 nothing is guided either
    if scheduler := named(found.get("sampler", "")):
        read["scheduler"] = scheduler
    return read
