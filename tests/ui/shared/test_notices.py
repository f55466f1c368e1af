"""The code that the tabs show: the algorithms of the samplers are in all of them, and it is said what runs instead."""

import ast

import pytest

from playground.ui.mnist import explain as mnist
from playground.ui.schedules import explain as schedules
from playground.ui.stable_diffusion import explain as stable_diffusion
from playground.ui.toy import explain as toy

SHOWN = {
    "toy": toy.RUNNING_CODE,
    "mnist": mnist.RUNNING_CODE,
    "schedules": schedules.RUNNING_CODE,
    "stable_diffusion": stable_diffusion.RUNNING_CODE,
}


@pytest.mark.parametrize("tab", SHOWN)
def test_every_tab_shows_the_algorithms_and_says_what_runs(tab: str) -> None:
    shown = SHOWN[tab]["Samplers"]
    functions = {node.name for node in ast.parse(shown).body if isinstance(node, ast.FunctionDef)}
    assert {"ddpm", "ddim", "heun"} <= functions
    words = shown.split("\ndef ")[0]
    assert "What runs on this page is diffusers' class" in words
    assert "equal to 1e-5" in words


@pytest.mark.parametrize("tab", SHOWN)
def test_what_is_shown_is_python(tab: str) -> None:
    for title, text in SHOWN[tab].items():
        compile(text, title, "exec")
