"""What the parts of the MNIST tab share: the messages they send to its stage, their queue, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gradio as gr

from playground.diffusion.sampling import SamplePath
from playground.fair_lock import COMPUTE_LOCK
from playground.mnist.data import DIGITS
from playground.mnist.generate import thinned
from playground.mnist.jobs import reads_along, reads_forward
from playground.mnist.session import Made, MnistSession
from playground.mnist.settings import MnistSettings
from playground.mnist.trajectory import load_trajectory
from playground.refusal import Refusal
from playground.ui.mnist.stage import pack_path, pack_scene
from playground.ui.shared.notices import QUIET, Update, notice

SessionOf = Callable[[gr.Request], MnistSession]  # raises Gone
KEPT_STATES = 101  # of a run: what the browser receives, and what is kept to take home
FIRST_TITLE = "DDPM, 1,000 steps, every 5th kept (drawn beforehand)"
ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "mnist-aside"}


def packed_scene(session: MnistSession, settings: MnistSettings) -> str:
    """The session's images, one noise for each, and the schedule."""
    table = session.shown(settings.schedule.make())
    images = session.uploaded
    classes, name = (DIGITS, "MNIST test digits") if images is None else (images.classes, images.name)
    with COMPUTE_LOCK.work():
        reads, reads_t = reads_forward(table, classes)
    return pack_scene(table, classes, name, reads, reads_t)


def packed_run(
    session: MnistSession, path: SamplePath, title: str, seconds: float, slot: int = 0, slots: int = 1
) -> str:
    """A run for the stage; it is also the one that Take it home saves."""
    kept = thinned(path, KEPT_STATES)
    session.made = [*(session.made if slot else []), Made(kept, title)]
    with COMPUTE_LOCK.work():
        reads = reads_along(kept, session.lab.model.classes if session.uploaded is None else ())
    caption = in_words(path, seconds)
    place: dict[str, Any] = {"slot": slot, "slots": slots, "comparison": session.comparisons}
    return pack_path(kept, reads, title=title, caption=caption, seconds=seconds, **place)


def in_words(path: SamplePath, seconds: float) -> str:
    """How many calls and seconds a run took, and its seed."""
    return f"{path.calls:,} network calls, {seconds:.1f} s, seed {path.seed}"


@lru_cache(maxsize=1)
def packed_first_run() -> str:
    """The shipped run, packed: the same string for every visitor."""
    path = load_trajectory()
    return pack_path(
        path, reads_along(path), title=FIRST_TITLE, caption=f"1,000 network calls, seed {path.seed}", seconds=None
    )


def attempt(word: gr.HTML, change: Callable[[], Update]) -> Update:
    """What `change` shows; where it is refused, the reason at `word`."""
    try:
        return {word: "", **change()}
    except Refusal as refusal:
        return {word: notice(str(refusal), wrong=True)}
