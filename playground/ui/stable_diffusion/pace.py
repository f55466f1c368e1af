"""How long a run will take, told before it starts: from measured calls of the U-Net."""

from __future__ import annotations

from collections.abc import Iterator

from playground.stable_diffusion import DenoisingStep, Request, StableDiffusionLab
from playground.stable_diffusion.devices import SMALL, expected_seconds, in_words
from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.models import Loaded
from playground.stable_diffusion.schedulers import SCHEDULERS


class Pace:
    """Seconds of a U-Net call for each pixel of a picture, by model: of this machine, so the same for all visitors."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def measured(self, lab: StableDiffusionLab) -> Iterator[str]:
        """Time one call of a large model that has no GPU, saying so: minutes are to be told before they are spent."""
        loaded = lab.loaded
        if loaded.model.bytes < SMALL or loaded.plan.device == "cuda" or loaded.model.name in self._seconds:
            return
        yield f"Timing one step of {loaded.model.title} on this machine …"
        request = lab.request("", guidance_scale=1.0, scheduler="ddim", steps=2, images=1, preview="none")
        self.learn(loaded, request, next(generate(loaded, request)))

    def learn(self, loaded: Loaded, request: Request, step: DenoisingStep | None) -> None:
        """What a run took, up to `step`."""
        if step is not None and step.calls:
            rows = request.images * (2 if request.guided else 1)
            calls = step.calls * rows * request.height * request.width
            self._seconds[loaded.model.name] = step.parts["unet"] / calls

    def in_words(self, loaded: Loaded, request: Request, prompts: int = 1) -> str:
        """What `request` will take, "about 3 min"; nothing where no call was ever timed."""
        if loaded.model.name not in self._seconds:
            return ""
        calls = prompts * SCHEDULERS[request.scheduler].calls(request.steps)
        pace = self._seconds[loaded.model.name]
        seconds = expected_seconds(pace, calls, request.images, request.guided, request.height, request.width)
        return f"expected: {in_words(seconds)}."
