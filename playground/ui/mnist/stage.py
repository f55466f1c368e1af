"""The MNIST lab's stage: forward and reverse process, comparisons and live training, and what Python sends to it.

Four kinds of message, each a deflated string of `wire.pack`. A *scene* is sixteen images with their noise and the
schedule: the browser computes x_t = α_t x_0 + σ_t ε for every t. A *path* is one reverse run, as x̂_0 and ε̂ at each
state. *News* says what is going on. A *training frame* arrives as this component's value, everything else through the
channels that `mnist_channel` makes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import gradio as gr
from torch import Tensor

from playground.diffusion.sampling import SamplePath
from playground.mnist.lab import ForwardTable
from playground.mnist.live import Preview
from playground.ui.shared.component import channel, component
from playground.ui.shared.wire import Kind, pack

SCRIPTS = (
    "shared/wire",
    "shared/stage",
    "shared/html",
    "shared/canvas",
    "shared/charts",
    "shared/pixels",
    "shared/training",
    "mnist/page",
    "shared/pen",
    "mnist/films",
    "mnist/panels",
    "mnist/charts",
    "mnist/show",
    "mnist/words",
    "mnist/messages",
    "mnist/paper",
    "mnist/stage",
)
EPS_LIMIT = 6.0  # standard deviations: one outlier must not coarsen every other number; it only counts where σ is small


def mnist_stage() -> gr.HTML:
    """Draws; tells of ready, generate, stop, another, train, pause, reset, rewind, drawn and masked.

    `drawn` and `masked` carry `pixels`, base64 of 112×112 bytes, row by row: 0 paper, 255 ink or covered.
    """
    return component("pg-mnist", *SCRIPTS)


def mnist_channel(kind: Literal["scene", "path", "news", "file"]) -> gr.HTML:
    """A way for Python to send this kind of message."""
    return channel(f"mnist-{kind}")


def pack_scene(
    table: ForwardTable,
    classes: Sequence[str],
    name: str,
    reads: Tensor | None = None,
    reads_t: Tensor | None = None,
) -> str:
    """Images, the one noise of each, and the schedule; `name`: of the data.

    `reads` (R, N, classes): the probabilities that a classifier gives at the timesteps `reads_t` (R,), in order of t.
    """
    schedule = table.schedule
    meta = {
        "T": len(schedule),
        "schedule": schedule.name,
        "warning": schedule.warning,
        "labels": [None] * len(table.x0) if table.labels is None else table.labels.tolist(),
        "classes": list(classes),
        "name": name,
    }
    arrays: dict[str, tuple[Tensor, Kind]] = {
        "x0": (table.x0, "i16"),
        "eps": (table.eps, "i16"),
        "alphas": (schedule.alphas, "f32"),
        "sigmas": (schedule.sigmas, "f32"),
    }
    if reads is not None and reads_t is not None:
        arrays |= {"reads": (reads, "i8"), "reads_t": (reads_t, "f32")}
    return pack(meta, compress=True, **arrays)


def pack_path(
    path: SamplePath,
    reads: Tensor | None = None,
    *,
    title: str,
    caption: str,
    seconds: float | None,
    slot: int = 0,
    slots: int = 1,
    comparison: str | int = 0,
) -> str:
    """A reverse run, every state of it; `reads` (K+1, N, classes): the probabilities that a classifier gives x̂_0.

    `slots` runs with the same `comparison` stand side by side, in the order of their `slot`.
    """
    meta = {
        "slot": slot,
        "slots": slots,
        "id": comparison,
        "title": title,
        "caption": caption,
        "labels": [] if path.labels is None else path.labels.tolist(),
        "seconds": seconds,
        "calls": path.calls,
        "seed": path.seed,
    }
    arrays: dict[str, tuple[Tensor, Kind]] = {
        "t": (path.t, "f32"),
        "alpha": (path.alpha, "f32"),
        "sigma": (path.sigma, "f32"),
        "x0": (path.x0, "i8"),
        "eps": (path.eps.clamp(-EPS_LIMIT, EPS_LIMIT), "i8"),
    }
    if reads is not None:
        arrays["reads"] = (reads, "i8")
    return pack(meta, compress=True, **arrays)


def pack_news(
    status: str | None = None,
    *,
    wrong: bool = False,
    progress: tuple[int, int] | None = None,
    running: bool | None = None,
    sampling: bool | None = None,
) -> str:
    """What is going on, in words for the visitor; `progress`: (k, K), or None while nothing runs."""
    # The page is told of changed values only: without `at`, a refusal repeated would be shown once.
    meta: dict[str, Any] = {"wrong": wrong, "progress": progress, "at": time.time_ns()}
    said = {"status": status, "running": running, "sampling": sampling}
    return pack(meta | {key: value for key, value in said.items() if value is not None})


def pack_frame(preview: Preview, run: int, calm: bool = False) -> str:
    """One look at a training run; `run`: its number, higher for every new one; `calm`: its note reports no fault."""
    meta = {
        "run": run,
        "step": preview.step,
        "losses": preview.losses,
        "rate": preview.steps_per_second,
        "seconds": preview.seconds,
        "running": preview.running,
        "right": preview.right,
        "note": preview.note,
        "calm": calm,
    }
    arrays: dict[str, tuple[Tensor, Kind]] = {"x": (preview.x, "i8")}
    if preview.labels is not None:
        arrays["labels"] = (preview.labels, "f32")
    return pack(meta, compress=True, **arrays)
