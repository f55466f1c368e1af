"""The toy lab's stage: canvas, transport bar and charts in one component, and what Python sends to it.

Three kinds of message, each a string of `wire.pack`. A *scene* is the setting: data, noise schedule, window. A *frame*
is a run at one moment. It may carry a *study*: a sampled path, score fields, the loss by timestep. Frames of a run
arrive as this component's value; everything else through a Channel, so that no message overtakes another.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import torch

from playground.toy import ToyLab
from playground.toy.live import FIELD_GRID, START_SEED, Frame, Study
from playground.ui.shared.component import component
from playground.ui.shared.wire import Kind, pack

SCRIPTS = (
    "shared/wire",
    "shared/stage",
    "shared/html",
    "shared/canvas",
    "shared/charts",
    "shared/training",
    "toy/page",
    "toy/draw",
    "toy/strokes",
    "toy/words",
    "toy/stage",
)
SHOWN_POINTS = 1_500  # of the data; more would only make a darker blot
ARROW_LIMIT = 8.0  # in units of the noise; longer arrows are shortened to this


def toy_stage() -> gr.HTML:
    """Draws frames; reports train, pause, one_step, reset, rewind, look, drawn, speed and ready."""
    return component("pg-toy", *SCRIPTS)


def pack_scene(lab: ToyLab, look: str, link: str, running: bool) -> str:
    """Data, schedule and window of `lab`; `look`: what to look for; `link`: the query that restores it."""
    points = lab.cloud.points[:SHOWN_POINTS]
    eps = torch.randn(points.shape, generator=torch.Generator().manual_seed(START_SEED))
    config = lab.config
    meta = {
        "run": lab.run,
        # All that the exact score depends on, as text: JavaScript would take any two tables for the same.
        "key": json.dumps([lab.run, config.schedule.to_dict(), config.label, config.guidance_scale]),
        "link": link,
        "running": running,
        "warning": lab.schedule.warning,
        "T": len(lab.schedule),
        "window": lab.now().window,
        "mean": lab.mean.tolist(),
        "std": float(lab.std),
        "grid": FIELD_GRID,
        "look": look,
    }
    return pack(
        meta,
        points=(points, "i16"),
        eps=(eps, "i16"),
        alphas=(lab.schedule.alphas, "f32"),
        sigmas=(lab.schedule.sigmas, "f32"),
    )


def pack_frame(frame: Frame, **meta: Any) -> str:
    """`frame`, with its study if it has one."""
    facts: dict[str, Any] = {
        "run": frame.run,
        "step": frame.step,
        "losses": frame.losses,
        "rate": frame.steps_per_second,
        "distance": frame.distance,
        "floor": frame.floor,
        "running": frame.running,
        "note": frame.note,
        "calls": frame.calls,
        **meta,
    }
    return pack(facts, x=(frame.x, "i16"), **(_study(frame.study) if frame.study else {}))


def _study(study: Study) -> dict[str, tuple[torch.Tensor, Kind]]:
    arrays: dict[str, tuple[torch.Tensor, Kind]] = {
        "path_t": (study.path_t, "f32"),
        "path_x": (study.path_x, "i16"),
        "path_x0": (study.path_x0, "i16"),
        "field_t": (study.field_t, "f32"),
        "learned": (_shortened(study.learned), "i8"),
        "by_t": (study.by_timestep.t, "f32"),
        "by_loss": (study.by_timestep.loss, "f32"),
        "by_floor": (study.by_timestep.floor, "f32"),
    }
    if study.exact is not None:
        arrays["exact"] = (_shortened(study.exact), "i8")
    return arrays


def _shortened(field: torch.Tensor) -> torch.Tensor:
    """Arrows (…, 2), none longer than ARROW_LIMIT, their directions unchanged."""
    length = field.norm(dim=-1, keepdim=True)
    return field * (ARROW_LIMIT / length.clamp_min(ARROW_LIMIT))
