"""StableDiffusionLab: text to image, free of any page.

lab = StableDiffusionLab("tiny")
for step in lab.generate("a red seven on a blue background", steps=20, guidance_scale=4.0, seed=0): ...
step.images            # (N, 3, H, W) floats in [0, 1]: the picture
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.stable_diffusion import generation, models, speed
from playground.stable_diffusion.generation import DenoisingStep
from playground.stable_diffusion.grid import Axis, Grid, plan_grid
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError, seeds_from

KNOBS = frozenset(Request.__dataclass_fields__) - {"prompt"}


@dataclass(frozen=True)
class Token:
    """A piece of the prompt, and its number in the model's vocabulary. `cut`: beyond what the model reads."""

    text: str
    id: int
    cut: bool


class StableDiffusionLab:
    """Experiments on one model of the catalogue, or on one in memory."""

    def __init__(self, model: str | Loaded = "tiny") -> None:
        """Raises ModelError."""
        self.loaded = models.load(model) if isinstance(model, str) else model

    def request(self, prompt: str, *, seed: int = 0, images: int | None = None, **knobs: Any) -> Request:
        """A run of this model, with its defaults for what is not given. Of `images` pictures, picture k has `seed` + k,
        unless `seeds` names them all. Raises RequestError.
        """
        if unknown := set(knobs) - KNOBS:
            raise RequestError(f"No such knob: {', '.join(sorted(unknown))}.")
        defaults = self.loaded.model.defaults
        knobs.setdefault("seeds", None)
        if knobs["seeds"] is None:
            knobs["seeds"] = seeds_from(seed, 1 if images is None else images)
        model = {
            "steps": defaults.steps,
            "guidance_scale": defaults.guidance_scale,
            "scheduler": defaults.scheduler,
            "height": defaults.size,
            "width": defaults.size,
            "preview": defaults.preview,
        }
        return Request(prompt, **{**model, **knobs, "seeds": tuple(knobs["seeds"])})

    def generate(
        self, prompt: str, *, init_image: Tensor | None = None, mask: Tensor | None = None, **knobs: Any
    ) -> Iterator[DenoisingStep]:
        """Draw, a step at a time: the knobs of `request`; `init_image` (3, H, W) in [0, 1] to start from, and a `mask`
        (H, W), True where to repaint.

        Raises RequestError, SamplerError, GenerationError.
        """
        return generation.generate(self.loaded, self.request(prompt, **knobs), init_image, mask)

    def expected_seconds(self, request: Request) -> float:
        """About how long `request` will take, from the U-Net calls of the last run or, before the first, from one that
        is timed now.
        """
        return speed.expected_seconds(self.loaded, request)

    def tokens(self, prompt: str) -> tuple[Token, ...]:
        """The pieces into which the model divides `prompt`, without the marks at both ends."""
        tokenizer = self.loaded.pipeline.tokenizer
        with self.loaded.tokenizing:
            ids = tokenizer(prompt, truncation=False, verbose=False).input_ids[1:-1]
        room = tokenizer.model_max_length - 2
        return tuple(Token(tokenizer.decode([id_]).strip(), id_, place >= room) for place, id_ in enumerate(ids))

    def grid(
        self,
        prompt: str,
        x: Axis,
        y: Axis | None = None,
        *,
        init_image: Tensor | None = None,
        mask: Tensor | None = None,
        **knobs: Any,
    ) -> Grid:
        """Pictures from the same noise, one knob changing along each axis, row by row: `x=("guidance_scale", [1, 8])`,
        `y=("steps", [5, 20])`; also "scheduler", "seed", and "word", whose first value is the word to be replaced: of
        both axes, where each begins with another. `init_image` and `mask` as in `generate`, for all of them.

            for cell, step in lab.grid(...): ...   # every step of every picture; cell.row, cell.column, step.images

        All is checked before the first step. Raises as `generate`.
        """
        return Grid(self.loaded, plan_grid(self.request, prompt, x, y, knobs), init_image, mask)
