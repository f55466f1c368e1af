"""The Schedules tab's stage: what Python sends to it, and the questions it asks without a queue.

The browser keeps the schedules' curves, digits and clouds with their noise, and mixes, draws and scrubs by itself. A
knob asks for its own schedule's curves alone (`read_curves`). Questions may come from anyone: each answer is either
what was asked for, or {"wrong": words for the visitor, "knob": the field at fault}.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
import torch
from torch import Tensor

from playground.diffusion.noise_schedule import MAX_TIMESTEPS, ScheduleError
from playground.diffusion.sampling import SamplerError, SamplingConfig
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES, by_curve
from playground.fair_lock import COMPUTE_LOCK
from playground.mnist.data import DIGITS, mnist
from playground.refusal import Refusal
from playground.schedules.curves import CURVES, curves, to_csv, to_json
from playground.schedules.diffusers_export import notes, scheduler_config, snippet
from playground.schedules.drawn import knots_from_stroke
from playground.schedules.steps import where
from playground.toy.data import DATASETS, make_cloud
from playground.ui.shared.component import channel, component
from playground.ui.shared.wire import Kind, pack

SCRIPTS = (
    "shared/wire",
    "shared/stage",
    "shared/html",
    "shared/canvas",
    "shared/pixels",
    "schedules/page",
    "schedules/cards",
    "schedules/knobs",
    "schedules/axes",
    "schedules/panels",
    "schedules/overlay",
    "schedules/pictures",
    "schedules/steps",
    "schedules/drawing",
    "schedules/quality",
    "schedules/facets",
    "schedules/export",
    "schedules/stage",
)
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SAMPLING_FIELDS = ("sampler", "steps", "spacing")  # that this tab turns
FIRST_SAMPLING = SamplingConfig("pndm", 10)  # what the steps figure opens with: its repeat is a sight
START = tuple(ScheduleConfig(name) for name in ("linear", "scaled_linear", "cosine", "karras"))
MOST_SCHEDULES = 12  # side by side: nobody can tell more colours apart
MOST_STROKE = 1_000  # points of a drawn curve
SHOWN_POINTS = 500  # of a cloud
SEED = 0  # of the digits and the noise that are shown
LARGEST = 1e30  # numbers reach the browser as float32: anything larger counts as infinite there
DENOISERS = {"exact": "exact, of the cloud", "toy": "toy network, trained live", "mnist": "MNIST model"}

Answer = dict[str, Any]


def schedules_stage(takers: dict[str, str]) -> gr.HTML:
    """Cards, curves, pictures, chart and snippets; tells of learn, measure, stop and use. `takers`: the tabs that
    take a schedule along, by id, with the words for their buttons.
    """
    return component(
        "pg-schedules",
        *SCRIPTS,
        server_functions=[read_scene, read_curves, read_steps, read_stroke, read_code, read_files],
        plotly=str(PLOTLY),
        takers=takers,
    )


def schedules_channel() -> gr.HTML:
    """A way for Python to send what was learned or measured."""
    return channel("schedules-news")


# --- questions --------------------------------------------------------------------------------------------------------


def _answering(answer: Callable[[Answer], Answer]) -> Callable[[Any], Answer]:
    """`answer` for whatever a browser sends; a refusal is an answer, too."""

    @wraps(answer)
    def answered(question: Any) -> Answer:
        if not isinstance(question, dict):
            return {"wrong": "The page sent a request that cannot be read. Reload it.", "knob": ""}
        try:
            with COMPUTE_LOCK.work():
                return answer(question)
        except Refusal as refusal:
            return {"wrong": str(refusal), "knob": refusal.knob}

    return answered


@_answering
def read_scene(question: Answer) -> Answer:
    """What never changes, and the curves of the first schedules."""
    return {"scene": _scene(), "curves": [_packed_curves(config) for config in START]}


@_answering
def read_curves(question: Answer) -> Answer:
    """The curves of `config`."""
    return {"curves": _packed_curves(ScheduleConfig.from_dict(question.get("config")))}


@_answering
def read_steps(question: Answer) -> Answer:
    """Where the steps of `sampling` fall on each of `configs`; one that cannot be driven says why in its place."""
    sampling = sampling_of(question.get("sampling"))
    visits: list[Answer] = []
    for config in configs_of(question.get("configs")):
        try:
            visits.append(dataclasses.asdict(where(config, sampling)))
        except (ScheduleError, SamplerError) as refusal:
            visits.append({"wrong": str(refusal)})
    return {"visits": visits}


@_answering
def read_stroke(question: Answer) -> Answer:
    """The schedule that `points` [[u, ᾱ], …] make, and in words what was changed to make them one."""
    points = question.get("points")
    if not isinstance(points, list) or len(points) > MOST_STROKE:
        raise ScheduleError(f"A drawing has at most {MOST_STROKE} points. Draw it anew.", knob="knots")
    knots, words = knots_from_stroke(points)
    given = ScheduleConfig.from_dict(question.get("config"))
    config = dataclasses.replace(given, name=by_curve("hand"), knots=knots)
    return {"config": config.to_dict(), "words": words, "curves": _packed_curves(config)}


@_answering
def read_code(question: Answer) -> Answer:
    """`config` driven by `sampling`, in diffusers' words."""
    config, sampling = ScheduleConfig.from_dict(question.get("config")), sampling_of(question.get("sampling"))
    return {
        "snippet": snippet(config, sampling),
        "json": scheduler_config(config, sampling),
        "notes": list(notes(config, sampling)),
    }


@_answering
def read_files(question: Answer) -> Answer:
    """The curves of `configs` as text of a `kind`, csv or json."""
    configs = configs_of(question.get("configs"))
    write = to_json if question.get("kind") == "json" else to_csv
    return {"text": write(configs)}


# --- from the browser -------------------------------------------------------------------------------------------------


def configs_of(values: Any) -> tuple[ScheduleConfig, ...]:
    """The schedules that the page shows. Raises ScheduleError."""
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_SCHEDULES:
        raise ScheduleError(f"Have 1 to {MOST_SCHEDULES} schedules side by side.")
    return tuple(ScheduleConfig.from_dict(value) for value in values)


def sampling_of(values: Any) -> SamplingConfig:
    """Sampler, number of steps and spacing as the page says them. Raises SamplerError."""
    if not isinstance(values, dict) or not values.keys() <= set(SAMPLING_FIELDS):
        raise SamplerError("Choose a sampler, a number of steps and where they fall.")
    return SamplingConfig(**values)


# --- to the browser ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # a dragged knob comes back to where it was
def _packed_curves(config: ScheduleConfig) -> str:
    schedule = config.make()
    arrays: dict[str, tuple[Tensor, Kind]] = {
        name: (values.nan_to_num(0.0, LARGEST, -LARGEST).clamp(-LARGEST, LARGEST), "f32")
        for name, values in curves(schedule).items()
    }
    arrays |= {"alphas": (schedule.alphas, "f32"), "sigmas": (schedule.sigmas, "f32")}
    meta = {
        "T": len(schedule),
        "config": config.to_dict(),
        "title": config.title,
        "name": config.row.title,
        "warning": schedule.warning,
    }
    return pack(meta, **arrays)


def _scene() -> str:
    meta = {
        "start": [config.to_dict() for config in START],
        "schedules": {
            name: {
                "title": row.title,
                "knots_from": row.knots_from,
                "knobs": [dataclasses.asdict(k) for k in row.knobs],
            }
            for name, row in SCHEDULES.items()
        },
        "curves": {name: dataclasses.asdict(curve) for name, curve in CURVES.items()},
        "samplers": {
            name: {field: getattr(row, field) for field in ("title", "source", "spacings", "colour", "charted")}
            for name, row in scheduled().items()
        },
        "denoisers": DENOISERS,
        "sampling": {field: getattr(FIRST_SAMPLING, field) for field in SAMPLING_FIELDS},
        "clouds": {name: dataset.title for name, dataset in DATASETS.items()},
        "digits": DIGITS,
        "most_timesteps": MAX_TIMESTEPS,
    }
    shown: dict[str, tuple[Tensor, Kind]] = {name: (values, "i16") for name, values in pictures().items()}
    return pack(meta, **shown)


@lru_cache(maxsize=1)
def pictures() -> dict[str, Tensor]:
    """What is mixed, and its one noise: `clouds` (C, N, 2), `cloud_eps` (N, 2), `digits` (10, 28, 28), `digit_eps`."""
    generator = torch.Generator().manual_seed(SEED)
    return {
        "clouds": torch.stack([_standard(make_cloud(name, SHOWN_POINTS, SEED).points) for name in DATASETS]),
        "cloud_eps": torch.randn(SHOWN_POINTS, 2, generator=generator),
        "digits": _one_of_each_digit(),
        "digit_eps": torch.randn(28, 28, generator=generator),
    }


def _standard(points: Tensor) -> Tensor:
    """(N, 2) with mean 0 and one common scale, as the toy lab computes."""
    centred = points - points.mean(0)
    return centred / centred.square().mean().sqrt()


def _one_of_each_digit() -> Tensor:
    """(10, 28, 28) in [-1, 1], the first of each class among the test digits."""
    digits = mnist("test")
    assert digits.labels is not None
    return torch.stack([digits[(digits.labels == k).nonzero()[0]][0, 0] for k in range(len(DIGITS))])
