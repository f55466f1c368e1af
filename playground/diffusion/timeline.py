"""A run's past: checkpoints to go back to, denser early on, where each step changes most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playground.diffusion.training import Trainer


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on from `step`."""

    step: int
    state: dict[str, Any]


class Timeline(list[Checkpoint]):
    """The checkpoints of one trainer from its present step on: `max_bytes` of them at most, but at least three."""

    def __init__(self, trainer: Trainer, max_bytes: int) -> None:
        super().__init__()
        self.trainer, self.max_bytes = trainer, max_bytes
        self.keep()

    def keep(self) -> None:
        """Add the current step; where that makes too many, drop the checkpoint that leaves the smallest gap."""
        if self and self[-1].step == self.trainer.step_count:
            return
        self.append(Checkpoint(self.trainer.step_count, self.trainer.state_dict()))
        size = 4 * 4 * sum(p.numel() for p in self.trainer.network.parameters())  # weights, average, Adam's two
        if len(self) > max(3, self.max_bytes // size):
            ratios = [(after.step + 1) / (before.step + 1) for before, after in zip(self, self[2:], strict=False)]
            del self[1 + ratios.index(min(ratios))]

    def keep_if_due(self) -> None:
        """Add the current step once it is some eight per cent beyond the last checkpoint."""
        if self.trainer.step_count >= self[-1].step * 1.08 + 4:
            self.keep()

    def rewind(self, step: int) -> int:
        """Back to the last checkpoint at or before `step`, or the first. Later ones are dropped: training forks here.

        Returns the step arrived at.
        """
        self[:] = [c for c in self if c.step <= step] or self[:1]
        self.trainer.load_state_dict(self[-1].state)
        return self[-1].step
