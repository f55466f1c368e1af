"""The Stable Diffusion lab with the tiny model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

PROMPT = "a red seven on a blue background"


def figures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and work."""
    import torch

    from playground.stable_diffusion.lab import StableDiffusionLab

    torch.set_num_threads(1)
    lab = StableDiffusionLab("tiny")
    lab.loaded.pipeline.set_progress_bar_config(disable=True)

    yield "an image, 20 steps", lambda: list(lab.generate(PROMPT, steps=20))
    yield "an image, 20 steps, no previews", lambda: list(lab.generate(PROMPT, steps=20, preview="none"))
    yield "an image, 20 steps, attention maps", lambda: list(lab.generate(PROMPT, steps=20, attention=True))
    yield "four images, 20 steps", lambda: list(lab.generate(PROMPT, steps=20, images=4))
    yield "tokens of a prompt, 100 times", lambda: [lab.tokens(PROMPT) for _ in range(100)]
