"""The MNIST tab's knobs as a table, and what they say together."""

from __future__ import annotations

from typing import Any

from playground.diffusion.noise_schedule import MAX_TIMESTEPS
from playground.diffusion.prediction import PREDICTIONS
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.sampling_config import DEFAULT_SPACING, every_spacing, with_knob
from playground.diffusion.schedules import by_formula
from playground.mnist.data import DIGITS
from playground.mnist.networks import KINDS
from playground.mnist.settings import ALL, OPEN, MnistSettings
from playground.ui.shared.knobs import Knob
from playground.ui.shared.schedule_knobs import (
    NAME,
    TIMESTEPS,
    ZERO_TERMINAL_SNR,
    row_knobs,
    schedule_choices,
    schedule_of,
)

BEGINNINGS = {
    "noise": "pure noise",
    "drawing": "my drawing (SDEdit)",
    "mask": "a digit, a part repainted (RePaint)",
    "noises": "between two noises (slerp)",
    "classes": "between two classes",
    "blur": "cold diffusion: blur",
    "pixelate": "cold diffusion: pixels",
}
COMPARISONS = {
    "sampler": "samplers",
    "schedule": "noise schedules",
    "guidance_scale": "guidance scales",
    "steps": "numbers of steps",
}


def _plain(*values: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((str(value), value) for value in values)


DIGIT_CHOICES = (("one of each", ALL), *_plain(*DIGITS), ("leave it open", OPEN))


def groups() -> dict[str, tuple[Knob, ...]]:
    """The knobs by group. Made anew for each page: schedules and samplers may have been added."""
    return {
        "Digits": (
            Knob("digit", "digit", "Which class the network is asked for.", DIGIT_CHOICES),
            Knob(
                "guidance_scale",
                "guidance scale (s)",
                "1 is none; more makes the class clearer, the digits more alike. As in diffusers; the paper's w is "
                "s − 1.",
                limits=(0.0, 8.0, 0.1),
            ),
            Knob("seed", "seed", "The same seed gives the same noise, and so the same digits.", limits=(0, 9_999, 1)),
        ),
        "Sampler": (
            Knob(
                "sampler",
                "sampler",
                "How it walks from noise to data.",
                tuple((sampler.title, name) for name, sampler in SAMPLERS.items() if sampler.arrives),
            ),
            Knob(
                "steps",
                "steps",
                "Into how many the way from noise is cut. A step is a network call or two; guidance doubles them.",
                limits=(2, 1_000, 1),
            ),
            Knob(
                NAME,
                "noise schedule",
                "How fast the signal goes, forward and back. The network knows levels, not timesteps: any will do.",
                schedule_choices(),
            ),
            Knob(
                ZERO_TERMINAL_SNR,
                "zero terminal SNR",
                "Nothing of the digit is left at the last timestep (Lin et al. 2023).",
                more=True,
            ),
            Knob(TIMESTEPS, "timesteps (T)", "Length of the schedule.", limits=(20, MAX_TIMESTEPS, 1), more=True),
            *row_knobs(),
            Knob(
                "spacing",
                "spacing",
                "Where the steps fall on the schedule.",
                _plain(DEFAULT_SPACING, *every_spacing()),
                more=True,
            ),
            Knob(
                "eta",
                "noise on the way (η)",
                f"{with_knob('eta')} only: 0 is deterministic, 1 adds as much as DDPM.",
                limits=(0.0, 1.0, 0.1),
                more=True,
            ),
        ),
        "Start from": (
            Knob(
                "begin",
                "start from",
                "Pure noise, or something that is already there.",
                tuple((title, name) for name, title in BEGINNINGS.items()),
            ),
            Knob(
                "strength",
                "how far into the noise",
                "SDEdit and cold diffusion: little keeps your drawing, much follows the network.",
                limits=(0.1, 1.0, 0.05),
            ),
            Knob(
                "other_digit", "the other digit", "Where the way between two classes ends.", _plain(*DIGITS), more=True
            ),
            Knob(
                "other_seed",
                "the other seed",
                "Where the way between two noises ends.",
                limits=(0, 9_999, 1),
                more=True,
            ),
            Knob(
                "resample",
                "repeats of each step",
                "RePaint: more make the new part fit the old one better, and take longer.",
                limits=(1, 10, 1),
                more=True,
            ),
        ),
        "Live training": (
            Knob(
                "learn",
                "learn from",
                "All of MNIST from random weights; your drawings from the weights that ship; or your upload.",
                (("MNIST, from scratch", "mnist"), ("my drawings, from what ships", "drawn"), ("my upload", "upload")),
            ),
            Knob(
                "size",
                "pixels",
                "14×14 is readable within a minute, 28×28 within two.",
                ((("14×14", 14), ("28×28", 28))),
            ),
            Knob(
                "learning_rate",
                "learning rate",
                "Too small learns nothing, too large diverges.",
                limits=(1e-4, 1e-2, 1e-4),
            ),
            Knob("batch_size", "batch size", "Digits a step learns from.", limits=(8, 256, 8), more=True),
            Knob(
                "network",
                "network",
                "The small one is made for a processor; the others are for comparing.",
                (("the recipe's", "recipe"), *((title, kind) for kind, title in KINDS.items() if kind != "small")),
                more=True,
            ),
            Knob(
                "prediction",
                "predicts",
                "What it puts out: v suits every level.",
                _plain(*PREDICTIONS),
                more=True,
            ),
            Knob(
                "noise_levels",
                "noise levels",
                "How levels are drawn in training: by angle, by ln(σ/α), or by the schedule's t.",
                (("angle, uniform", "angle"), ("ln(σ/α), normal", "log_normal"), ("t, uniform", "uniform")),
                more=True,
            ),
            Knob(
                "label_dropout",
                "labels hidden",
                "The share of labels not shown, so that one network also learns to do without: guidance needs it.",
                limits=(0.0, 1.0, 0.05),
                more=True,
            ),
        ),
    }


def all_knobs() -> tuple[Knob, ...]:
    """All of them, in order."""
    return tuple(knob for group in groups().values() for knob in group)


def live_paths() -> set[str]:
    """The knobs of live training: turned, they draw nothing anew."""
    return {knob.path for knob in groups()["Live training"]}


MOST_COMPARED = 4


def compare_choices(by: str) -> list[tuple[str, str]]:
    """What can stand side by side."""
    if by == "sampler":
        (knob,) = (knob for knob in all_knobs() if knob.path == by)
        return [(title, str(name)) for title, name in knob.choices]
    if by == "schedule":
        return [(row.title, name) for name, row in by_formula().items()]
    values = {
        "guidance_scale": ("0", "1", "1.5", "2", "3", "4", "6", "8"),
        "steps": ("3", "5", "8", "10", "20", "50", "100", "250"),
    }
    return [(value, value) for value in values[by]]


COMPARE_DEFAULTS = {
    "sampler": ["ddpm", "ddim", "pndm", "dpm++"],
    "schedule": ["linear", "scaled_linear", "cosine", "flow"],
    "guidance_scale": ["1", "2", "4", "8"],
    "steps": ["3", "5", "10", "50"],
}


def mnist_settings(values: tuple[Any, ...]) -> MnistSettings:
    """What the page's controls say, in the order of `all_knobs`, and last the brought schedule as JSON.

    Raises LabError and ScheduleError.
    """
    *turned, brought = values
    said = {knob.path: knob.clean(value) for knob, value in zip(all_knobs(), turned, strict=True)}
    return MnistSettings(schedule=schedule_of(said, brought), **said)
