"""The MNIST tab's knobs as a table, and what they say together."""

from __future__ import annotations

import json
from typing import Any

from playground.diffusion.prediction import PREDICTIONS
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.schedule_config import CUSTOM
from playground.diffusion.schedules import SCHEDULES
from playground.mnist.data import DIGITS
from playground.mnist.networks import KINDS
from playground.mnist.settings import ALL, OPEN, MnistSettings
from playground.toy import LabError
from playground.ui.shared.knobs import BROUGHT, Knob

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
GROUPS: dict[str, tuple[Knob, ...]] = {
    "Digits": (
        Knob("digit", "digit", "Which class the network is asked for.", DIGIT_CHOICES),
        Knob(
            "guidance_scale",
            "guidance scale (s)",
            "1 is none; more makes the class clearer, the digits more alike. As in diffusers; the paper's w is s − 1.",
            limits=(0.0, 8.0, 0.1),
        ),
        Knob("seed", "seed", "The same seed gives the same noise, and so the same digits.", limits=(0, 9_999, 1)),
    ),
    "Sampler": (
        Knob(
            "sampler",
            "sampler",
            "How it walks from noise to data.",
            tuple((sampler.title, name) for name, sampler in SAMPLERS.items() if name != "langevin"),
        ),
        Knob("steps", "steps", "Network calls on the way; twice as many with guidance.", limits=(2, 1_000, 1)),
        Knob(
            "schedule",
            "noise schedule",
            "How fast the signal goes, forward and back. The network knows levels, not timesteps: any will do.",
            (*_plain(*SCHEDULES), (BROUGHT, CUSTOM)),
        ),
        Knob(
            "rescale_betas_zero_snr",
            "zero terminal SNR",
            "Nothing of the digit is left at the last timestep (Lin et al. 2023).",
            more=True,
        ),
        Knob("timesteps", "timesteps (T)", "Length of the schedule.", limits=(20, 4_000, 1), more=True),
        Knob(
            "spacing",
            "spacing",
            "Where the steps fall on the schedule.",
            _plain("default", "trailing", "leading", "linspace", "karras"),
            more=True,
        ),
        Knob(
            "eta",
            "noise on the way (η)",
            "DDIM only: 0 is deterministic, 1 is DDPM.",
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
        Knob("other_digit", "the other digit", "Where the way between two classes ends.", _plain(*DIGITS), more=True),
        Knob("other_seed", "the other seed", "Where the way between two noises ends.", limits=(0, 9_999, 1), more=True),
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
            "size", "pixels", "14×14 is readable within a minute, 28×28 within two.", ((("14×14", 14), ("28×28", 28)))
        ),
        Knob(
            "learning_rate", "learning rate", "Too small learns nothing, too large diverges.", limits=(1e-4, 1e-2, 1e-4)
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
KNOBS = tuple(knob for knobs in GROUPS.values() for knob in knobs)
LIVE_KNOBS = {knob.path for knob in GROUPS["Live training"]}

MOST_COMPARED = 4
COMPARE_CHOICES: dict[str, list[tuple[str, str]]] = {
    by: [(title, str(value)) for title, value in next(k for k in KNOBS if k.path == by).choices]
    if by in ("sampler", "schedule")
    else [(value, value) for value in values]
    for by, values in {
        "sampler": (),
        "schedule": (),
        "guidance_scale": ("0", "1", "1.5", "2", "3", "4", "6", "8"),
        "steps": ("3", "5", "8", "10", "20", "50", "100", "250"),
    }.items()
}
COMPARE_DEFAULTS = {
    "sampler": ["ddpm", "ddim", "pndm", "dpm++"],
    "schedule": ["linear", "scaled_linear", "cosine", "flow"],
    "guidance_scale": ["1", "2", "4", "8"],
    "steps": ["3", "5", "10", "50"],
}


def mnist_settings(values: tuple[Any, ...]) -> MnistSettings:
    """What the page's controls say, in the order of KNOBS, and last the brought schedule as JSON. Raises LabError."""
    *turned, brought = values
    said = {knob.path: knob.clean(value) for knob, value in zip(KNOBS, turned, strict=True)}
    return MnistSettings(**said, custom_schedule=_brought(brought))


def _brought(text: Any) -> Any:
    """What was carried over, for the schedule itself to check; None where nothing was."""
    try:
        return json.loads(text) if text else None
    except (TypeError, ValueError, RecursionError) as error:
        raise LabError("The brought schedule cannot be read. Carry it over once more.") from error
