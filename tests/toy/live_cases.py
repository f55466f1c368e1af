"""Settings and labs for the tests of live runs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from playground.fair_lock import FairLock
from playground.settings import SETTINGS, Settings
from playground.toy import ToyConfig, ToyLab
from playground.toy.live import (
    Control,
    DistanceMeter,
    Frame,
    Study,
    _states,
    live,
    study,
)
from playground.toy.network import NetworkConfig

SMALL = ToyConfig(n_points=300, network=NetworkConfig(width=16, depth=2, fourier_features=8))
SHORT = dataclasses.replace(SETTINGS, preview_points=40, max_training_steps=30)


@pytest.fixture
def lab() -> ToyLab:
    return ToyLab(SMALL)


def run(lab: ToyLab, control: Control | None = None, settings: Settings = SHORT) -> Iterator[Frame]:
    return live(lab, control or Control(gentle=False), DistanceMeter(settings.preview_points), settings)


def studied(lab: ToyLab, steps: int, exact: bool = False, settings: Settings = SETTINGS) -> Study:
    """A study of a path of at most `steps` steps, under a lock of its own."""
    now = lab.now()
    with FairLock().work() as turn:
        return study(now, _states(now, steps, settings, turn), turn, exact)


def one_by_one(settings: Settings = SHORT) -> dict[str, Any]:
    """Control and settings for a run that yields a frame after every step."""
    fast = dataclasses.replace(settings, frames_per_second=1000.0, study_seconds=0.0)
    return {"control": Control(steps_per_second=1000.0, gentle=False), "settings": fast}
