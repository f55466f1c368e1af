"""The texts beside the knobs, and the script that one takes home."""

import ast
import itertools
import json
from typing import Any

import pytest

from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.schedules import SCHEDULES
from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.digits.pipeline import FOLDER
from playground.toy import PRESETS, ToyConfig, ToyLab
from playground.toy.data import make_cloud
from playground.ui.stable_diffusion.explain import HOW_IT_WORKS as DIFFUSION
from playground.ui.toy.explain import EXPLAINS, HOW_IT_WORKS, RUNNING_CODE, recipe_code
from playground.ui.toy.knobs import groups
from tests.diffusion.every_schedule import schedule_of

CONFIGS: dict[str, ToyConfig] = {
    **{name: preset.config for name, preset in PRESETS.items()},
    "changed": ToyConfig().changed(
        **{
            "dataset": "two_moons",
            "conditional": True,
            "label": 1,
            "schedule.rescale_betas_zero_snr": True,
            "schedule.beta_end": 0.05,
            "schedule.name": "linear",
            "network.damp_features": False,
            "training.learning_rate": 3e-4,
            "sampling.sampler": "ddim",
        }
    ),
    **{name: ToyConfig(schedule=schedule_of(name, 60)) for name in SCHEDULES},
    "own points": ToyConfig(points=make_cloud("heart", 50, 0)),
}


def configured(source: str) -> ToyConfig:
    """The experiment that a script makes: its one `ToyConfig().changed(...)` call, read and not run."""
    (call,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "changed"
    ]
    changes: dict[str, Any] = {}
    for keyword in call.keywords:
        assert keyword.arg is None
        changes |= ast.literal_eval(keyword.value)
    return ToyConfig().changed(**changes)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_recipe_compiles_and_makes_the_experiment(name: str) -> None:
    config, source = CONFIGS[name], recipe_code(CONFIGS[name])
    compile(source, "recipe.py", "exec")
    if config.points is None:
        assert configured(source) == config
    else:
        assert "ToyLab.load(" in source
        assert "changed(" not in source, "the points are in the file alone"


@pytest.mark.parametrize("name", list(CONFIGS))
def test_what_the_recipe_calls_is_there(name: str) -> None:
    lab = ToyLab(ToyConfig(n_points=50))
    for node in ast.walk(ast.parse(recipe_code(CONFIGS[name]))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("lab", "ToyLab"):
            assert callable(getattr(lab, node.attr))


def test_none_is_written_as_python_has_it() -> None:
    config = ToyConfig().changed(**{"conditional": True, "dataset": "rings", "network.damp_features": False})
    source = recipe_code(config)
    for word in ("true", "false", "null"):
        assert word not in source
    assert configured(source) == config


def test_every_group_is_explained() -> None:
    assert set(EXPLAINS) == set(groups())
    assert set(EXPLAINS.values()) <= set(HOW_IT_WORKS)
    for text in HOW_IT_WORKS.values():
        assert text.count("$") % 2 == 0
        assert text.count("**") % 2 == 0


def test_the_tiny_model_says_what_it_never_saw() -> None:
    text = DIFFUSION["The tiny model"]
    assert "zero and five: red, blue; one and six: cyan, black; two and seven: green, white" in text
    figures = json.loads((FOLDER / "unet" / "card.json").read_text("utf-8"))["figures"]
    unseen, seen = (figures[f"guidance 3, {kind} pairs"]["all"] for kind in ("held-out", "seen"))
    assert f"{unseen:.3f} of them, and in {seen:.3f} of the others" in text
    assert "held-out | 0.755" in text


def test_what_is_said_of_attention_was_measured() -> None:
    prompt, lab = "a red seven on a blue background", StableDiffusionLab("tiny")
    count, text = len(lab.tokens(prompt)), DIFFUSION["Words and where they act"]
    for step in itertools.islice(lab.generate(prompt, attention=True, preview="none"), 0, None, 9):
        assert step.attention is not None
        shares = step.attention.mean((0, 2, 3))  # (positions,)
        assert len(shares) == 32
        assert 0.45 < shares[1 : count + 1].sum() < 0.55  # "about a half"
        assert 0.15 <= round(float(shares[0]), 2) <= 0.24
        assert 0.08 <= round(float(shares[count + 1]), 2) <= 0.11
        assert 0.15 < shares[count + 2 :].sum() < 0.25  # "about 0.2"
    for said in ("about a half", "0.15 to 0.24", "0.08 to 0.11", "about 0.2", "all 24", "other 23"):
        assert said in " ".join(text.split())


def test_the_pages_letters_are_the_texts() -> None:
    for text in DIFFUSION.values():
        assert "z_" not in text
    assert "skip_prk_steps" in DIFFUSION["PNDM"]
    assert "quick copy of the VAE's decoder" in DIFFUSION["Latent diffusion"]
    for name in ("heun", "dpm2", "dpm2_a"):
        assert f"{SAMPLERS[name].few} with {SAMPLERS[name].title}" in DIFFUSION["PNDM"]


@pytest.mark.parametrize("title", list(RUNNING_CODE))
def test_the_code_that_is_shown_is_python(title: str) -> None:
    compile(RUNNING_CODE[title], title, "exec")
