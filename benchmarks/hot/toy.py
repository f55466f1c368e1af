"""The toy lab: training, every sampler, and what the page asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial


def figures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and work."""
    import torch

    from playground.diffusion.sampling import SAMPLERS
    from playground.toy import ToyLab

    torch.set_num_threads(1)
    lab = ToyLab()
    for _ in lab.train(100):
        pass

    yield "300 training steps", lambda: sum(step.loss for step in ToyLab().train(300))
    for sampler in SAMPLERS:
        yield f"1,200 samples, 20 steps of {sampler}", partial(lab.sample, 1_200, sampler=sampler, steps=20)
    yield "quality of 2,000 samples", partial(lab.quality, 2_000)
