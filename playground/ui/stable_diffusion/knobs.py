"""The Stable Diffusion tab's knobs as a table, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.sampling_config import named, scheduled
from playground.settings import SETTINGS
from playground.stable_diffusion import Request, RequestError
from playground.stable_diffusion.grid import AXES, Axis, Value
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.models import CATALOGUE, Defaults
from playground.stable_diffusion.picture import Kind
from playground.stable_diffusion.request import DEFAULT_SCHEDULER, Preview
from playground.stable_diffusion.speed import unet_calls
from playground.ui.shared.knobs import Choices, Knob

MAX_IMAGES = 8  # of one prompt on the page
MAX_AXIS_TEXT = 400  # characters
StartFrom = Literal["noise", "img2img", "inpaint"]
STARTS: Choices = (
    ("pure noise", "noise"),
    ("a picture (img2img)", "img2img"),
    ("a picture, a part repainted (inpainting)", "inpaint"),
)
KINDS: dict[StartFrom, Kind] = {"noise": "text", "img2img": "img2img", "inpaint": "inpaint"}  # of the pictures


def groups() -> dict[str, tuple[Knob, ...]]:
    """The knobs by the group that they stand in. Made anew for each page: samplers may have been added."""
    return {
        "Picture": (
            Knob(
                "guidance_scale",
                "guidance scale (s)",
                "1: no guidance; diffusers does not guide below. More follows the words, too much burns out. The "
                "paper's w is s − 1.",
                limits=(1, SETTINGS.max_guidance_scale, 0.5),
            ),
            Knob(
                "steps",
                "steps",
                "How many steps lead from noise to picture. The U-Net calls that they take stand below.",
                limits=(1, SETTINGS.max_denoising_steps, 1),
            ),
            Knob(
                "scheduler",
                "scheduler",
                "How it walks from noise to latents: the same classes as in the other tabs.",
                tuple((sampler.title, name) for name, sampler in scheduled().items()),
            ),
            Knob("images", "images", "At once, of one prompt; each with the next seed.", limits=(1, MAX_IMAGES, 1)),
            Knob("width", "width", "Pixels, a multiple of 8.", limits=(8, SETTINGS.max_picture_side, 8), more=True),
            Knob("height", "height", "Pixels, a multiple of 8.", limits=(8, SETTINGS.max_picture_side, 8), more=True),
            Knob(
                "preview",
                "at every step",
                "What x̂₀ looks like on the way: decoded, or by a map that costs nothing and is rough.",
                (("decoded", "decode"), ("rough colours (linear)", "linear"), ("nothing", "none")),
                more=True,
            ),
            Knob("attention", "where words act", "Record the cross-attention of every word and step.", more=True),
        ),
        "Start from": (
            Knob(
                "start_from", "start from", "Noise, or a picture: choose one below the stage (Start from it).", STARTS
            ),
            Knob(
                "strength",
                "how far into the noise",
                "Little keeps the picture, much follows the words.",
                limits=(0.05, 1, 0.05),
            ),
        ),
    }


def all_knobs() -> tuple[Knob, ...]:
    """All of them, in the order in which the page sends their values."""
    return tuple(knob for group in groups().values() for knob in group)


@dataclass(frozen=True)
class DrawSettings:
    """Everything that the page's controls say."""

    model: str = "tiny"
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    lock: bool = True  # keep the seed; otherwise each Draw takes another
    guidance_scale: float = 3.0
    steps: int = 20
    scheduler: str = DEFAULT_SCHEDULER
    images: int = 4
    width: int = 32
    height: int = 32
    preview: Preview = "decode"
    attention: bool = True
    start_from: StartFrom = "noise"
    strength: float = 0.8

    @classmethod
    def of(cls, name: str) -> DrawSettings:
        """The knobs' values when the model `name` of the catalogue is chosen."""
        default: Defaults = CATALOGUE[name].defaults
        return cls(
            model=name,
            prompt=default.prompt,
            guidance_scale=default.guidance_scale,
            steps=default.steps,
            scheduler=default.scheduler,
            images=default.images,
            width=default.size,
            height=default.size,
            preview=default.preview,
            attention=default.preview == "decode",  # of large models both cost as much as they show
        )

    @classmethod
    def read(cls, values: Sequence[Any]) -> DrawSettings:
        """From the page: model, prompt, negative prompt, seed, lock, then `all_knobs`. Raises Refusals."""
        model, prompt, negative_prompt, seed, lock, *turned = values
        if not isinstance(model, str) or model not in CATALOGUE:
            raise RequestError("Choose one of the models of the list.")
        if isinstance(seed, bool) or not isinstance(seed, (int, float)) or not 0 <= seed < 2**32 or seed != int(seed):
            raise RequestError("The seed must be a whole number from 0 to 2³² - 1.")
        cleaned = {knob.path: knob.clean(value) for knob, value in zip(all_knobs(), turned, strict=True)}
        return cls(model, str(prompt or ""), str(negative_prompt or ""), int(seed), lock is not False, **cleaned)

    @property
    def knobs(self) -> dict[str, Any]:
        """For StableDiffusionLab.request and .grid."""
        names = ("negative_prompt", "guidance_scale", "steps", "scheduler", "width", "height", "preview", "strength")
        return {name: getattr(self, name) for name in names} | {"seed": self.seed, "images": self.images}

    @property
    def turnable(self) -> list[Any]:
        """What `all_knobs` say: everything but the model, the prompts and the seed."""
        return [knob.value(self) for knob in all_knobs()]

    def request(self, lab: StableDiffusionLab, prompt: str) -> Request:
        """The run of `prompt`; an empty one is drawn without guidance, which needs words. Raises RequestError."""
        knobs = self.knobs | {"attention": self.attention}
        if not prompt.strip():
            knobs["guidance_scale"] = min(1.0, self.guidance_scale)
        return lab.request(prompt, **knobs)


def calls_in_words(settings: DrawSettings) -> str:
    """What the steps cost: "20 steps = 21 U-Net calls"."""
    steps, strength = settings.steps, 1.0 if settings.start_from == "noise" else settings.strength
    calls = unet_calls(settings.scheduler, steps, strength)
    of = "" if settings.start_from == "noise" else f"strength {strength:g}: {int(steps * strength):,} of "
    return f"{of}{steps:,} {'step' if steps == 1 else 'steps'} = {calls:,} U-Net {'call' if calls == 1 else 'calls'}"


def in_words(request: Request) -> str:
    """The knobs of a run on one line, the seed not among them."""
    begun = "" if request.strength == 0.8 else f", strength {request.strength:g}"
    return (
        f"{SAMPLERS[request.scheduler].title}, {request.steps} steps, guidance {request.guidance_scale:g}"
        f"{f', not: {request.negative_prompt}' if request.negative_prompt else ''}{begun}"
    )


def read_axis(given: Any) -> Axis | None:
    """An axis of a grid as the page sends it, [name, "values, commas between"]; none without a name.

    Raises RequestError.
    """
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(part, str) for part in given):
        raise RequestError("Choose what changes along the axis, and write its values.")
    name, text = given
    if not name:
        return None
    if name not in AXES or len(text) > MAX_AXIS_TEXT:
        raise RequestError("Choose what changes along the axis, and write a few values with commas between.")
    return name, [_value(name, part.strip()) for part in text.split(",") if part.strip()]


def _value(name: str, text: str) -> Value:
    if name == "word":
        return text
    if name == "scheduler":
        if scheduler := named(text):
            return scheduler
        raise RequestError(f"No scheduler {text[:40]!r}. Write some of: {', '.join(scheduled())}.")
    try:
        return float(text) if name == "guidance_scale" else int(text)
    except ValueError:
        kind = "numbers" if name == "guidance_scale" else "whole numbers"
        raise RequestError(f"Along {AXES[name]} write {kind} with commas between; {text[:40]!r} is none.") from None
