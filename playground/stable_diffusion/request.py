"""What to draw and how: one frozen dataclass, which is also stored in the PNG and in the gallery."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from playground.diffusion.knobs import check_types
from playground.refusal import Refusal
from playground.settings import SETTINGS

DEFAULT_SCHEDULER = "pndm"  # Stable Diffusion 1.4 came with it
Preview = Literal["decode", "linear", "none"]
PREVIEWS: tuple[Preview, ...] = get_args(Preview)
SIDE_STEP = 8  # pixels: what the pipeline demands, and what three halvings of a latent picture divide


class RequestError(Refusal):
    """This cannot be drawn; the message says which knob to turn."""


@dataclass(frozen=True)
class Request:
    """One run. Raises RequestError for what no model could draw; what a model cannot, `limits.check` says.

    `seeds`: one for each image; with the same seed, image k of many starts from the same noise as alone.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    guidance_scale: float = 3.0  # s, diffusers' convention: 1 is none; the paper's w (Ho & Salimans 2022) is s - 1
    scheduler: str = DEFAULT_SCHEDULER
    seeds: tuple[int, ...] = (0,)
    height: int = 32  # pixels
    width: int = 32
    strength: float = 0.8  # of img2img and inpainting: which share of the steps is walked
    preview: Preview = "decode"  # of x̂_0 at every step: a decoder, a linear map, or nothing until the end
    attention: bool = False  # record where each word acts

    def __post_init__(self) -> None:
        if isinstance(self.guidance_scale, float) and not math.isfinite(self.guidance_scale):
            raise RequestError(f"The guidance scale must be a number, 0 … {SETTINGS.max_guidance_scale:g}.")
        check_types(self, RequestError)
        _check_words("The prompt", self.prompt)
        _check_words("The negative prompt", self.negative_prompt)
        if not 0 <= self.guidance_scale <= SETTINGS.max_guidance_scale:
            raise RequestError(
                f"The guidance scale must lie in 0 … {SETTINGS.max_guidance_scale:g}; it is {self.guidance_scale:g}."
            )
        if not self.prompt.strip() and self.guided:
            raise RequestError(
                "Write what to draw: an empty prompt gives guidance nothing to point to. (With guidance 1 the model "
                "draws without any words.)"
            )
        if not 1 <= self.steps <= SETTINGS.max_denoising_steps:
            raise RequestError(f"Between 1 and {SETTINGS.max_denoising_steps:,} steps; not {self.steps:,}.")
        if self.steps * len(self.seeds) > SETTINGS.max_image_steps:
            raise RequestError(
                f"{self.images} images × {self.steps:,} steps are too many at once: take fewer of either (at most "
                f"{SETTINGS.max_image_steps:,} together)."
            )
        if not 1 <= len(self.seeds) <= SETTINGS.max_pictures:
            raise RequestError(f"Between 1 and {SETTINGS.max_pictures} images at a time; not {len(self.seeds):,}.")
        for seed in self.seeds:
            if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
                raise RequestError(f"A seed must be a whole number from 0 to 2³² - 1; {seed!r} is none.")
        for name, side in (("height", self.height), ("width", self.width)):
            if side % SIDE_STEP or not SIDE_STEP <= side <= SETTINGS.max_picture_side:
                near = min(max(round(side / SIDE_STEP), 1), SETTINGS.max_picture_side // SIDE_STEP) * SIDE_STEP
                raise RequestError(
                    f"The {name} must be a multiple of {SIDE_STEP} pixels, at most {SETTINGS.max_picture_side}; "
                    f"it is {side}. The nearest that fits is {near}."
                )
        if not 0 < self.strength <= 1:
            raise RequestError(f"The strength must be more than 0 and at most 1; it is {self.strength:g}.")
        if self.preview not in PREVIEWS:
            raise RequestError(f"No preview {self.preview!r}. Choose one of: {', '.join(PREVIEWS)}.")

    @property
    def images(self) -> int:
        """How many images, N."""
        return len(self.seeds)

    @property
    def guided(self) -> bool:
        """Whether each step asks the network twice, with the words and without: as diffusers, above 1 only."""
        return self.guidance_scale > 1


def seeds_from(seed: int, images: int) -> tuple[int, ...]:
    """`images` seeds that follow on `seed`, around the end: image k alone has seed + k. Raises RequestError."""
    if not 1 <= images <= SETTINGS.max_pictures:
        raise RequestError(f"Between 1 and {SETTINGS.max_pictures} images at a time; not {images:,}.")
    if not 0 <= seed < 2**32:
        raise RequestError(f"A seed must be a whole number from 0 to 2³² - 1; {seed!r} is none.")
    return tuple((seed + k) % 2**32 for k in range(images))


def _check_words(what: str, text: str) -> None:
    if len(text) > SETTINGS.max_prompt_characters:
        raise RequestError(
            f"{what} has {len(text):,} characters, the limit is {SETTINGS.max_prompt_characters:,}. "
            "CLIP reads 75 tokens of it at most, some fifty words; the tiny model 30: shorten it."
        )
