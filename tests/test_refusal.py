"""Whatever can be wrong with what a visitor asked for is a Refusal, so that no page has to know a list of errors."""

import importlib
import inspect
import pkgutil

import pytest

import playground
from playground.diffusion.training import Diverged
from playground.refusal import Refusal
from playground.sessions import Sessions
from playground.settings import Settings

# Not about what was asked for, but about what happened meanwhile: the labs catch it and say so.
INTERNAL = {Diverged}
SCRIPTS = {"__main__"}  # a module that runs when it is imported


def errors() -> set[type[BaseException]]:
    """Every error that a module of the playground defines."""
    names = [module.name for module in pkgutil.walk_packages(playground.__path__, "playground.")]
    modules = [importlib.import_module(name) for name in names if name.split(".")[-1] not in SCRIPTS]
    classes = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)}
    return {kind for kind in classes if issubclass(kind, BaseException) and kind.__module__.startswith("playground.")}


def test_every_error_is_a_refusal_or_internal() -> None:
    found = errors()
    assert found >= INTERNAL
    assert {kind for kind in found if not issubclass(kind, Refusal)} == INTERNAL


def test_a_refusal_says_which_knob_is_at_fault() -> None:
    told = Refusal("Turn it down.", "steps")
    assert (str(told), told.knob) == ("Turn it down.", "steps")
    assert Refusal("Turn it down.").knob == ""


def test_a_page_that_lost_its_place_and_a_full_house_are_refused() -> None:
    with pytest.raises(Refusal, match="Reload"):
        Sessions().known("gone")
    full = Sessions(Settings(max_visitors=1))
    full.visitor("first").control.paused = False  # at work: nobody can be asked to leave
    with pytest.raises(Refusal, match="All places"):
        full.visitor("second")
