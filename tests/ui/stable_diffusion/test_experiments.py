"""The numbered experiments: what they set, and that the model can draw it."""

import dataclasses
from typing import Any

import gradio as gr
import pytest

from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS, held_out
from playground.stable_diffusion.grid import plan_grid
from playground.ui.stable_diffusion.experiments import EXPERIMENTS, OWN, SET_STAGE
from playground.ui.stable_diffusion.knobs import DrawSettings, all_knobs, read_axis
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.ui.stable_diffusion.messages import page

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]


def test_an_experiment_sets_every_knob_and_says_what_to_look_for(tab: StableDiffusionTab) -> None:
    request = page(tab)
    for name, each in EXPERIMENTS.items():
        update = tab.experiments._choose(name, request)
        settings = dataclasses.replace(DrawSettings.of("tiny"), **each.settings)
        assert [update[control] for control in tab.knobs[5:]] == [knob.value(settings) for knob in all_knobs()]
        assert (update[tab.prompt], update[tab.seed], update[tab.lock]) == (settings.prompt, settings.seed, True)
        assert "Look for" in update[tab.experiments.look_for]
        assert tab.experiments.choice not in update


@pytest.mark.parametrize("name", [OWN, None, 7, [], "<b>"])
def test_what_is_no_experiment_changes_nothing(tab: StableDiffusionTab, name: Any) -> None:
    assert tab.experiments._choose(name, page(tab)) == {tab.experiments.look_for: gr.skip()}


def test_other_models_have_none(tab: StableDiffusionTab) -> None:
    assert tab.put(DrawSettings.of("tiny"))[tab.experiments.choice]["visible"]
    assert not tab.put(DrawSettings.of("sd15"))[tab.experiments.choice]["visible"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_drawn(name: str) -> None:
    each, lab = EXPERIMENTS[name], StableDiffusionLab("tiny")
    settings = dataclasses.replace(DrawSettings.of("tiny"), **each.settings)
    settings.request(lab, settings.prompt)
    across, down = read_axis(list(each.x)), read_axis(list(each.y))
    assert (each.mode == "grid") == (across is not None)
    if across is not None:
        plan_grid(lab.request, settings.prompt, across, down, settings.knobs)
    assert SET_STAGE.count("%") == 1  # where the experiments are put in


def test_one_pair_of_each_row_and_column_was_held_out() -> None:
    each = EXPERIMENTS["never_seen"]
    digits, colours = ([word.strip() for word in axis[1].split(",")] for axis in (each.x, each.y))
    unseen = [[held_out(DIGITS.index(d), COLOUR_NAMES.index(c)) for d in digits] for c in colours]
    assert [sum(row) for row in unseen] == [sum(column) for column in zip(*unseen, strict=True)] == [1] * 5


def test_the_pairs_that_fail_together_were_seen() -> None:
    two = EXPERIMENTS["two_digits"].settings["prompt"].split()
    for k in (1, 5):
        assert not held_out(DIGITS.index(two[k + 1]), COLOUR_NAMES.index(two[k]))
