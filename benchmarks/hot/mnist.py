"""The MNIST lab: sixteen digits at a time, as the page draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

DIGITS = [k % 10 for k in range(16)]


def figures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and work."""
    import torch

    from playground.diffusion.sampling import SAMPLERS
    from playground.mnist import cold
    from playground.mnist.lab import MnistLab

    torch.set_num_threads(1)
    lab, learner = MnistLab(), MnistLab()
    x0 = lab.real(0, 16)[0]
    restorer, degradation = cold.load_restorer("blur")

    def forward() -> object:
        table = lab.forward(0, 16)
        return [table.at(t) for t in (0, 250, 500, 750, 999)]

    def restore() -> object:
        return list(cold.restore(restorer, degradation, degradation(x0, cold.T), cold.T))

    def train() -> object:
        learner.begin()
        return list(learner.train(5))

    yield "16 digits, 20 guided steps", partial(lab.sample, DIGITS, guidance_scale=2.0, steps=20)
    for sampler in SAMPLERS:
        yield f"4 digits, 20 steps of {sampler}", partial(lab.sample, DIGITS[:4], sampler=sampler, steps=20)
    yield "16 digits, forward to five levels", forward
    yield "16 digits blurred and restored", restore
    yield "5 training steps from scratch", train
