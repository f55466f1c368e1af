"""What visitors change of their experiment. Each change returns a message, or None where there was nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playground.diffusion.sampling import SAMPLERS, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.sessions import Visitor
from playground.settings import SETTINGS
from playground.toy import PRESETS, LabError, ToyLab
from playground.toy.config import preset_of
from playground.toy.data import DATASETS, Cloud
from playground.toy.url import from_query
from playground.toy.user_points import cloud_from_strokes, read_points
from playground.ui.shared.knobs import OWN, Knob

MIXED = "mixed"  # a recipe with knobs turned


def open_link(visitor: Visitor, search: str) -> str:
    """A page opened with this query in its address. Raises LabError."""
    config = from_query(search[:4000])
    if config != visitor.lab.config:
        visitor.lab.restart(config)
    return ""


def reset(visitor: Visitor) -> str:
    """Back to step 0 of the same experiment."""
    visitor.control.paused = True
    visitor.lab.reset()
    return ""


def turn(visitor: Visitor, knob: Knob, value: Any) -> str | None:
    """A knob says `value` now. Raises Refusal."""
    if value == knob.value(visitor.lab.config):
        return None  # Gradio reports most choices twice, and a second answer would erase the notice
    lab, changes, words = visitor.lab, knob.changes(value), ""
    if knob.path == "n_points" and lab.config.points is not None:
        raise LabError("The number of your own points is fixed: this knob is for the built-in clouds.")
    if knob.path == "dataset":
        changes, words = _other_data(lab, str(changes["dataset"]))
    trained = lab.step
    if lab.update(**changes) == "restart":
        return f"{knob.label}: the network starts again at step 0. {words}" if trained else words
    if knob.path == "guidance_scale":
        s = lab.config.guidance_scale
        words = f"s = {s:g} (diffusers), w = {s - 1:g} (Ho & Salimans)."
        if not lab.config.conditional:
            words += " No effect yet: the network must learn the classes first (Data)."
    return f"{knob.label}: from step {trained:,} on." if trained and knob.path.startswith("training.") else words


def _other_data(lab: ToyLab, name: str) -> tuple[dict[str, Any], str]:
    """What changes with the point cloud, and what to say of it."""
    if name == OWN:
        if lab.config.points is None:
            raise LabError("Draw your own (at the top right of the stage), or upload a file here.")
        return {}, ""
    changes: dict[str, Any] = {"dataset": name, "points": None, "label": None}
    if lab.config.conditional and not DATASETS[name].classes:
        return {**changes, "conditional": False}, f"{DATASETS[name].title} has no classes to learn."
    return changes, ""


def choose_preset(visitor: Visitor, name: str) -> str | None:
    """A whole recipe at once, on the same data unless it brings its own. Raises LabError."""
    old = visitor.lab.config
    if name == (preset_of(old) or MIXED):
        return None  # a menu that was left without a choice reports its old one
    if name not in PRESETS:
        raise LabError("“Your own mix” is a recipe with knobs turned: choose a recipe, then turn its knobs.")
    preset = PRESETS[name]
    data = {} if preset.brings_data else {"dataset": old.dataset, "points": old.points}
    visitor.lab.restart(preset.config.changed(seed=old.seed, **data))
    return preset.about


def take_schedule(visitor: Visitor, config: ScheduleConfig, sampling: SamplingConfig) -> str:
    """The experiment goes on with this schedule, and sampler, steps and spacing of `sampling`. Raises Refusal."""
    taken = {f"sampling.{name}": getattr(sampling, name) for name in ("sampler", "steps", "spacing")}
    visitor.lab.update(schedule=config, **taken)
    return f"Brought from Schedules: {config.title}, {SAMPLERS[sampling.sampler].title}."


def draw_points(visitor: Visitor, strokes: Any) -> str:
    """The visitor drew the data. Raises DataError."""
    config = visitor.lab.config
    cloud = cloud_from_strokes(strokes, n=config.n_points, seed=config.seed)
    return f"Your drawing: {_use(visitor, cloud)}"


def upload_points(visitor: Visitor, path: str | None) -> str:
    """The visitor uploaded the data. Raises DataError.

    Gradio put the file into its own folder, and lets no request name any other. It stays there: pages that upload the
    same points share it.
    """
    file = Path(path or "")
    cloud = read_points(file.read_bytes(), file.name, SETTINGS.max_upload_bytes, SETTINGS.max_points)
    return f"Your file: {_use(visitor, cloud)}"


def _use(visitor: Visitor, cloud: Cloud) -> str:
    visitor.lab.restart(visitor.lab.config.changed(points=cloud, conditional=False, label=None))
    return f"{len(cloud.points):,} points. {cloud.note}"


def open_experiment(visitor: Visitor, data: bytes | None) -> str:
    """The visitor opened a saved experiment. Raises LabError: a file that cannot be read stops nothing."""
    opened = ToyLab.from_bytes(data or b"")
    visitor.control.paused = True
    visitor.lab.take_over(opened)
    return f"Opened: step {visitor.lab.step:,}."
