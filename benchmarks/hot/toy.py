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
    now = lab.now()

    yield "300 training steps", lambda: sum(step.loss for step in ToyLab().train(300))
    for sampler in SAMPLERS:
        yield f"1,200 samples, 20 steps of {sampler}", partial(lab.sample, 1_200, sampler=sampler, steps=20)
    yield "quality of 2,000 samples", partial(now.quality, 2_000)
    yield "100 samples by the exact denoiser", partial(now.sample, 100, exact=True)
    yield "arrows at 10 timesteps", lambda: list(now.learned_fields(list(range(0, 1000, 100))))
    yield "loss by timestep", now.loss_by_timestep
