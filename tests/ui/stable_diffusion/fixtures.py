"""The Stable Diffusion tab, for the tests that press its buttons: a pytest plugin, which only they import."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from playground.sessions import Sessions
from playground.stable_diffusion import models
from playground.stable_diffusion.models import CATALOGUE
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.stable_diffusion.tiny import new_pipeline


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StableDiffusionTab]:
    """The tab on a pipeline with random weights, read from disk as the shipped one is."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    new_pipeline().save_pretrained(folder)
    patch = pytest.MonkeyPatch()
    patch.setitem(CATALOGUE, "tiny", dataclasses.replace(CATALOGUE["tiny"], source=folder))
    patch.setattr(models, "_IN_MEMORY", {})
    with gr.Blocks():
        yield StableDiffusionTab(Sessions())
    patch.undo()
