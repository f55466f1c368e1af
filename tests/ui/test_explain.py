"""The texts beside the knobs, and the script that one takes home."""

import ast
from typing import Any

import pytest

from playground.toy import PRESETS, ToyConfig, ToyLab
from playground.toy.data import make_cloud
from playground.ui.explain import EXPLAINS, HOW_IT_WORKS, RUNNING_CODE, recipe_code
from playground.ui.knobs import GROUPS

CONFIGS: dict[str, ToyConfig] = {
    **{name: preset.config for name, preset in PRESETS.items()},
    "changed": ToyConfig().changed(
        **{
            "dataset": "two_moons",
            "conditional": True,
            "label": 1,
            "rescale_betas_zero_snr": True,
            "beta_end": 0.05,
            "schedule": "linear",
            "network.damp_features": False,
            "training.learning_rate": 3e-4,
            "sampling.sampler": "ddim",
        }
    ),
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
    assert set(EXPLAINS) == set(GROUPS)
    assert set(EXPLAINS.values()) <= set(HOW_IT_WORKS)
    for text in HOW_IT_WORKS.values():
        assert text.count("$") % 2 == 0
        assert text.count("**") % 2 == 0


@pytest.mark.parametrize("title", list(RUNNING_CODE))
def test_the_code_that_is_shown_is_python(title: str) -> None:
    compile(RUNNING_CODE[title], title, "exec")
