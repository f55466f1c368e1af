"""The Schedules tab: schedules side by side, their curves and pictures, the quality chart, and diffusers' words.

What needs no run is asked and answered without a queue (stage.py). Here are the runs, and the schedules that are taken
to other tabs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import by_curve
from playground.fair_lock import COMPUTE_LOCK, in_turns
from playground.refusal import Refusal
from playground.schedules.learned import learn
from playground.schedules.quality import CallProgress, ChartConfig, ChartError, ChartPoint, floor, measure
from playground.stable_diffusion.device_queue import DeviceQueue, Waiting
from playground.ui.schedules.explain import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.schedules.stage import configs_of, read_scene, sampling_of, schedules_channel, schedules_stage
from playground.ui.shared.notices import MATHS, QUIET, Update, lay_out_code
from playground.ui.shared.wire import pack

TOLD_EVERY = 0.2  # seconds between two messages of a run
LEARNING_STEPS = 400
MOST_CHARTS = 4  # measured at a time
MOST_LEARNERS = 8  # at a time, the waiting ones included
UNITS = {"exact": "points", "toy": "points", "mnist": "digits"}


@dataclass(frozen=True)
class Taker:
    """A tab that takes a schedule along: its words on the button, and what `take` of the schedule shows."""

    title: str
    take: Callable[..., Update]  # (config, sampling, request, *values of the inputs)
    outputs: list[Any]
    inputs: list[Any] = field(default_factory=list)


class SchedulesTab:
    """The tab's components and events. `takers`: tabs of `tabs`, by their id."""

    def __init__(self, tabs: gr.Tabs, takers: Mapping[str, Taker]) -> None:
        self.tabs, self.takers = tabs, takers
        self.learners = DeviceQueue()
        self.charts, self.charts_lock = 0, threading.Lock()  # how many are being measured
        self.news = schedules_channel()
        self.stage = schedules_stage({name: taker.title for name, taker in takers.items()})
        with gr.Accordion("How it works", open=False), gr.Tabs():
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        self._wire()

    def _wire(self) -> None:
        self.stage.learn(
            self._learn,
            outputs=[self.news],
            concurrency_limit=None,  # _learn itself says how many are before it, or too many; a queue would be mute
            **QUIET,
        )
        measuring = self.stage.measure(
            self._measure,
            outputs=[self.news],
            trigger_mode="multiple",  # Measure pressed right after Stop must not be lost
            concurrency_limit=None,  # _measure itself says when there are too many; a queue would be mute
            **QUIET,
        )
        self.stage.stop(fn=None, cancels=[measuring], queue=False, **QUIET)
        takers = self.takers.values()
        self.stage.use(
            self._carry,
            inputs=[control for taker in takers for control in taker.inputs],
            outputs=list(dict.fromkeys([self.tabs, self.news, *(part for taker in takers for part in taker.outputs)])),
            preprocess=False,
            **QUIET,
        )

    def _carry(self, request: gr.Request, event: gr.EventData, *values: Any) -> Update:
        """A schedule goes to the tab that the event names, and so does the visitor."""
        given = iter(values)
        inputs = {name: list(itertools.islice(given, len(taker.inputs))) for name, taker in self.takers.items()}
        name = event._data.get("where")
        try:
            if name not in self.takers:
                raise ScheduleError(f"Choose where it goes: {', '.join(t.title for t in self.takers.values())}.")
            config = ScheduleConfig.from_dict(event._data.get("config"))
            taken = self.takers[name].take(config, sampling_of(event._data.get("sampling")), request, *inputs[name])
            return {self.tabs: gr.Tabs(selected=name), **taken}
        except Refusal as refusal:
            return {self.news: _message("carried", wrong=str(refusal))}

    def _learn(self, event: gr.EventData) -> Iterator[str]:
        """Learn a schedule on a cloud; every message has the schedule so far. Before it begins, who is before it."""
        data = event._data
        card = _whole(data.get("card"))
        try:
            if len(self.learners) >= MOST_LEARNERS:
                raise ChartError(f"{MOST_LEARNERS} schedules are being learned, the most there may be. Try again soon.")
            base = ScheduleConfig.from_dict(data.get("config"))
            cloud = str(data.get("cloud"))
            begun = False
            for step in _now_and_then(self.learners.run(in_turns(learn(cloud, steps=LEARNING_STEPS)))):
                if isinstance(step, Waiting):  # heard even once it has begun: a page that hears nothing gives up
                    yield _message("learned", card=card, waiting="" if begun else step.words)
                    continue
                begun = True
                config = dataclasses.replace(base, name=by_curve("data"), knots=step.knots)
                done = step.step == step.steps
                facts = {"step": step.step, "steps": step.steps, "variance": step.variance, "least": step.least}
                yield _message("learned", card=card, config=config.to_dict(), done=done, **facts)
        except Refusal as refusal:
            yield _message("learned", card=card, wrong=str(refusal))

    def _measure(self, event: gr.EventData) -> Iterator[str]:
        """The chart, point after point, or at once why not."""
        asked = _whole(event._data.get("asked"))
        try:
            with self._one_more_chart():
                yield from _chart(asked, event._data)
        except Refusal as refusal:
            yield _message("measured", asked=asked, word=str(refusal), wrong=True, done=True)

    @contextlib.contextmanager
    def _one_more_chart(self) -> Iterator[None]:
        """Raises ChartError when there are too many."""
        with self.charts_lock:
            if self.charts >= MOST_CHARTS:
                raise ChartError(f"{MOST_CHARTS} charts are being measured, the most there may be. Try again soon.")
            self.charts += 1
        try:
            yield
        finally:
            with self.charts_lock:
                self.charts -= 1


def chart_of(data: Mapping[str, Any]) -> ChartConfig:
    """What the page wants measured. Raises ChartError and ScheduleError."""
    samplers, seed = data.get("samplers"), data.get("seed")
    if not isinstance(samplers, list) or not all(isinstance(name, str) for name in samplers):
        raise ChartError("Choose at least one sampler.")
    denoiser: Any = data.get("denoiser")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ChartError("The seed is a whole number.")
    return ChartConfig(denoiser, str(data.get("cloud")), configs_of(data.get("schedules")), tuple(samplers), seed=seed)


def _chart(asked: int, data: Mapping[str, Any]) -> Iterator[str]:
    """The chart, point after point; every message has all points so far, for one may overtake another."""
    config = chart_of(data)
    about = f"{config.denoiser}, {config.count:,} {UNITS[config.denoiser]}, seed {config.seed}"
    points: list[dict[str, Any]] = []
    total = len(config.schedules) * len(config.samplers) * len(config.calls)
    told: dict[str, Any] = {"asked": asked, "total": total, "about": about}
    with COMPUTE_LOCK.work():
        told["floor"] = floor(config)
    for point, word in _now_and_then(_points(config, points)):
        done = point is not None and point.done == point.total
        word = f"{total} points, {about}, spacing {config.spacing}." if done else f"{word} …"
        yield _message("measured", points=points, word=word, done=done, **told)


def _points(config: ChartConfig, points: list[dict[str, Any]]) -> Iterator[tuple[ChartPoint | None, str]]:
    """What goes on, in words, with the point if it is one; `points` fills."""
    for event in measure(config):
        where = config.schedules[event.schedule].row.title
        if isinstance(event, ChartPoint):
            points.append(dataclasses.asdict(event))
            yield event, f"{event.done} of {event.total} points"
        elif isinstance(event, CallProgress):
            title = SAMPLERS[event.sampler].title
            yield None, f"{event.done} of {event.total} points: {title} on {where}, {event.budget} calls"
        else:
            yield None, f"Training on {where}: step {event.step} of {event.steps}"


def _now_and_then(events: Iterator[Any]) -> Iterator[Any]:
    """The first, the last, and between them no more than one in TOLD_EVERY seconds."""
    told, kept = -TOLD_EVERY, None
    for event in events:
        if kept is None or not isinstance(event, Waiting):  # a step not told yet, maybe the last one, says more
            kept = event
        if time.monotonic() - told >= TOLD_EVERY:
            yield kept
            told, kept = time.monotonic(), None
    if kept is not None:
        yield kept


def _message(kind: str, **facts: Any) -> str:
    return pack({"kind": kind, "at": time.time_ns(), **facts})


def _whole(value: Any) -> int:
    """A number that the page wants back with the answer."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def warm_up() -> None:
    """Loads what the tab needs first, before anyone opens it."""
    read_scene({})
