"""A run's past: checkpoints to go back to, closer together where early steps change most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playground.diffusion.training import Trainer


@dataclass(frozen=True)
class Checkpoint:
    """One place on the timeline: everything needed to go on from `step`."""

    step: int
    state: dict[str, Any]


class Timeline(list[Checkpoint]):
    """The checkpoints of one trainer, from its present step on; of no more than `max_bytes` together, or three."""

    def __init__(self, trainer: Trainer, max_bytes: int) -> None:
        super().__init__()
        self.trainer, self.max_bytes = trainer, max_bytes
        self.keep()

    def keep(self) -> None:
        """Put this very step on the timeline, and let one go that is missed least where there are too many."""
        if self and self[-1].step == self.trainer.step_count:
            return
        self.append(Checkpoint(self.trainer.step_count, self.trainer.state_dict()))
        size = 4 * 4 * sum(p.numel() for p in self.trainer.network.parameters())  # weights, average, Adam's two
        if len(self) > max(3, self.max_bytes // size):
            ratios = [(after.step + 1) / (before.step + 1) for before, after in zip(self, self[2:], strict=False)]
            del self[1 + ratios.index(min(ratios))]

    def keep_if_due(self) -> None:
        """Put this step on the timeline when it is some eight per cent further than the last one there."""
        if self.trainer.step_count >= self[-1].step * 1.08 + 4:
            self.keep()

    def rewind(self, step: int) -> int:
        """Back to the last checkpoint at or before `step`, or the first; training from there forks, later ones go.

        Returns the step arrived at.
        """
        self[:] = [c for c in self if c.step <= step] or self[:1]
        self.trainer.load_state_dict(self[-1].state)
        return self[-1].step
