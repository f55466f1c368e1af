"""StableDiffusionLab: text to image, free of any page.

lab = StableDiffusionLab("tiny")
for step in lab.generate("a red seven on a blue background", steps=20, guidance_scale=4.0, seed=0): ...
step.images            # (N, 3, H, W) floats in [0, 1]: the picture
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from playground.stable_diffusion import generation, models
from playground.stable_diffusion.devices import expected_seconds
from playground.stable_diffusion.generation import DenoisingStep
from playground.stable_diffusion.grid import Axis, GridCell, plan_grid, run_grid
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.request import Request, RequestError, seeds_from
from playground.stable_diffusion.schedulers import SCHEDULERS

KNOBS = frozenset(Request.__dataclass_fields__) - {"prompt"}


@dataclass(frozen=True)
class Token:
    """A piece of the prompt as the model's vocabulary has it. `position`: of its attention map; `cut`: not seen."""

    text: str
    id: int
    position: int
    cut: bool


@dataclass(frozen=True)
class Part:
    """A part of the model in the diagram: how many weights it has, and the shapes of what goes in and comes out."""

    name: str
    weights: int
    input: tuple[int, ...]
    output: tuple[int, ...]


def _weights(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())


class StableDiffusionLab:
    """Experiments on one model of the catalogue, or on one in memory."""

    def __init__(self, model: str | Loaded = "tiny") -> None:
        """Raises ModelError."""
        self.loaded = models.load(model) if isinstance(model, str) else model

    def request(self, prompt: str, *, seed: int = 0, images: int | None = None, **knobs: Any) -> Request:
        """A run of this model, its defaults where nothing else is said. Of `images` pictures, picture k has `seed` + k,
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
        (H, W), True where to paint anew.

        Raises RequestError, SchedulerError, GenerationError.
        """
        return generation.generate(self.loaded, self.request(prompt, **knobs), init_image, mask)

    def expected_seconds(self, request: Request) -> float:
        """What `request` will take, about, from one U-Net call measured once. On a GPU it is not worth the asking."""
        calls = SCHEDULERS[request.scheduler].calls(request.steps)
        size = (request.height, request.width)
        return expected_seconds(self.loaded.seconds_per_pixel, calls, request.images, request.guided, *size)

    def parts(self, request: Request) -> tuple[Part, ...]:
        """The model's parts with the shapes that `request` sends through them."""
        pipeline, n = self.loaded.pipeline, request.images
        batch = 2 * n if request.guided else n
        tokens, width = pipeline.tokenizer.model_max_length, pipeline.unet.config.cross_attention_dim
        factor, channels = pipeline.vae_scale_factor, pipeline.unet.config.in_channels
        latent = (channels, request.height // factor, request.width // factor)
        return (
            Part("text_encoder", _weights(pipeline.text_encoder), (batch // n, tokens), (batch, tokens, width)),
            Part("unet", _weights(pipeline.unet), (batch, *latent), (batch, *latent)),
            Part("scheduler", 0, (n, *latent), (n, *latent)),
            Part("vae", _weights(pipeline.vae.decoder), (n, *latent), (n, 3, request.height, request.width)),
        )

    def tokens(self, prompt: str) -> tuple[Token, ...]:
        """The pieces that the model reads `prompt` in, without the marks at both ends; what does not fit is cut."""
        tokenizer = self.loaded.pipeline.tokenizer
        with self.loaded.tokenizing:
            ids = tokenizer(prompt, truncation=False, verbose=False).input_ids[1:-1]
        room = tokenizer.model_max_length - 2
        return tuple(
            Token(tokenizer.decode([id_]).strip(), id_, place, place > room) for place, id_ in enumerate(ids, start=1)
        )

    def guidance_sweep(self, prompt: str, scales: Sequence[float], **knobs: Any) -> Iterator[GridCell]:
        """One row of pictures from the same noise, guidance growing. Raises as `generate`."""
        return self.grid(prompt, ("guidance_scale", scales), **knobs)

    def grid(
        self,
        prompt: str,
        x: Axis,
        y: Axis | None = None,
        *,
        init_image: Tensor | None = None,
        mask: Tensor | None = None,
        **knobs: Any,
    ) -> Iterator[GridCell]:
        """Pictures from the same noise, one knob changing along each axis, row by row: `x=("guidance_scale", [1, 8])`,
        `y=("steps", [5, 20])`; also "scheduler", "seed", and "word", whose first value is the word to be replaced: of
        both axes, where each begins with another. `init_image` and `mask` as in `generate`, for all of them.

        Every step of every picture is handed out. All is checked before the first. Raises as `generate`.
        """
        cells = plan_grid(self.request, prompt, x, y, knobs)
        for cell in cells:
            generation.check(self.loaded, cell.request, init_image, mask)
        return run_grid(self.loaded, cells, init_image, mask)
