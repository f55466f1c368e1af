"""Model offload: the parts of a shared model move to the GPU and back, but never while a step uses them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, TypeVar

Step = TypeVar("Step")


class Offload:
    """Runs on one offloaded pipeline of diffusers: its parts move while a step computes, and when a run is over."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._computing = threading.Lock()
        self._over = False  # a run has ended since the parts were last brought back

    def run(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The same steps, one at a time over all runs. However a run ends, the parts go back to main memory as soon as
        no step is being computed.
        """
        try:
            while True:
                with self._computing:
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                self._bring_back()
                yield step
        finally:
            self._over = True
            self._bring_back()

    def _bring_back(self) -> None:
        """Unless a step is being computed: then that run comes here next. Nothing waits, because a run may be closed by
        the server's event loop, or by the garbage collector in the middle of that very step.
        """
        while self._over and self._computing.acquire(blocking=False):
            try:
                self._over = False
                self._pipeline.maybe_free_model_hooks()
            finally:
                self._computing.release()
