"""A guided tour for a class: numbered experiments on the tiny model, each a set of knobs and what to look for.

The figures are those of assets/tiny-stable-diffusion/unet/card.json, read off the pictures by the judge network; those
at four steps were taken in the same way over 100 captions.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from playground.refusal import Refusal
from playground.ui.shared.notices import QUIET, Update, notice
from playground.ui.stable_diffusion.knobs import DrawSettings
from playground.ui.stable_diffusion.stage import Channels
from playground.ui.stable_diffusion.state import Put, VisitOf

MODEL = "tiny"
OWN = "own"
SEEDS = ("seed", "0, 1, 2, 3")
NO_AXIS = ("", "")


@dataclass(frozen=True)
class Experiment:
    """`settings`: what differs from the model's own knobs. `mode`, `second` and the axes `x` and `y` are the stage's:
    one prompt, two, or a grid.
    """

    title: str
    look_for: str
    settings: dict[str, Any]
    mode: str = "one"
    second: str = ""
    x: tuple[str, str] = field(default=NO_AXIS)
    y: tuple[str, str] = field(default=NO_AXIS)


EXPERIMENTS: dict[str, Experiment] = {
    "guidance": Experiment(
        "1 · Guidance",
        "Look for: each row begins with the same noise. At 1 the digit wavers, at 3 it holds, beyond that the colours "
        "burn out. All that the words say is right in 80 % of 400 pictures at 1, in over 99 % at 3, in 57 % at 6.",
        {"prompt": "a red seven on a blue background"},
        "grid",
        x=("guidance_scale", "1, 3, 6, 8"),
        y=SEEDS,
    ),
    "four_steps": Experiment(
        "2 · Four steps",
        "Look for: the same noise and four steps, three schedulers. All is right in 37 % of 100 pictures with PNDM, in "
        "98 % with DDIM, in 100 % with DPM-Solver++ 2M. Then take 20 steps: PNDM is as good as the others.",
        {"prompt": "a red seven on a blue background", "steps": 4},
        "grid",
        x=("scheduler", "pndm, ddim, dpm++"),
        y=SEEDS,
    ),
    "one_word": Experiment(
        "3 · One word",
        "Look for: the same noise, one word changed. What of the shape stays? Ink covers 10 % of the picture with "
        "“thin”, 26 % with “thick”, 18 % with neither (100 of each, guidance 4). Point at the word: where does it act?",
        {"prompt": "a thin black seven on a white background", "guidance_scale": 4.0},
        "two",
        second="a thick black seven on a white background",
    ),
    "never_seen": Experiment(
        "4 · Never seen",
        "Look for: the dashed frames. These pairs of digit and colour it never saw; 20 of the 100 were kept from its "
        "training. All is right in 97 % of 400 pictures of such pairs, and in over 99 % of the others: it puts parts "
        "together. Point at a picture: what does the judge read?",
        {"prompt": "a red seven on a blue background"},
        "grid",
        x=("word", "seven, four, three, one, zero"),
        y=("word", "red, orange, yellow, green, cyan"),
    ),
    "two_digits": Experiment(
        "5 · Two digits fail",
        "Look for: which digit comes twice? Both colours are right in 66 % of 200 pictures, both digits in 10 %, at "
        "guidance 4. The words are read, but not kept apart.",
        {"prompt": "a red seven and a green nine on a white background", "guidance_scale": 4.0},
    ),
}

# The stage has the mode, the other prompt and the axes; its knobs are set as a visitor would, then it draws.
SET_STAGE = """(name) => {
  const wanted = %s[name];
  if (!wanted) return;
  const find = (selector) => document.querySelector(`.pg-stable-diffusion ${selector}`);
  find(`[data-mode=${wanted.mode}]`).click();
  find(".pg-second").value = wanted.second;
  for (const axis of ["x", "y"]) {
    const [kind, values] = wanted[axis];
    if (wanted.mode !== "grid") continue;
    find(`.pg-axis-${axis}`).value = kind;
    find(`.pg-axis-${axis}`).dispatchEvent(new Event("change"));
    find(`.pg-values-${axis}`).value = values;
  }
  document.dispatchEvent(new CustomEvent("playground:stable-diffusion-draw"));
}"""


class Experiments:
    """The list of experiments above the knobs; of the tiny model alone."""

    def __init__(self, visit_of: VisitOf, model: str) -> None:
        """`model`: the one with which the page opens."""
        self.visit_of = visit_of
        self.choice = gr.Dropdown(
            [("Your own", OWN), *((each.title, name) for name, each in EXPERIMENTS.items())],
            value=OWN,
            label="experiment",
            info="A whole set of knobs at once, drawn, and what to look for.",
            filterable=False,
            visible=model == MODEL,
        )
        self.look_for = gr.HTML("", elem_classes="pg-notice")
        self.parts = [self.choice, self.look_for]

    def wire(self, channels: Channels, put: Put, turned: list[Any], outputs: list[Any]) -> None:
        """Once the knobs are there. `turned`: those that end an experiment."""
        self.channels, self.put = channels, put
        stage = {
            name: {"mode": each.mode, "second": each.second, "x": each.x, "y": each.y}
            for name, each in EXPERIMENTS.items()
        }
        chosen = self.choice.change(  # not input: Gradio tells of that twice where the mouse chooses
            self._choose, inputs=[self.choice], outputs=outputs, preprocess=False, queue=False, **QUIET
        )
        chosen.then(None, inputs=[self.choice], js=SET_STAGE % json.dumps(stage))
        gr.on([control.input for control in turned], None, outputs=[self.choice], js=f'() => "{OWN}"')

    def left(self, model: str) -> Update:
        """The knobs were set by something else, for `model`."""
        return {self.choice: gr.update(value=OWN, visible=model == MODEL), self.look_for: ""}

    def _choose(self, name: Any, request: gr.Request) -> Update:
        """All knobs as the experiment has them; the page then draws."""
        try:
            self.visit_of(request)
        except Refusal as refusal:
            return self.channels.refused(refusal)
        if not isinstance(name, str) or name not in EXPERIMENTS:
            return {self.look_for: gr.skip()}
        each = EXPERIMENTS[name]
        settings = dataclasses.replace(DrawSettings.of(MODEL), **each.settings)
        update = self.put(settings) | {self.look_for: notice(each.look_for)}
        del update[self.choice]  # which shows `name`
        return update
