"""Visitors for the tests of sessions: a house for three, a clock that is set by hand, small labs."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from playground.sessions import Sessions, Visitor
from playground.settings import SETTINGS
from playground.toy import ToyConfig
from playground.toy.network import NetworkConfig

FEW = dataclasses.replace(SETTINGS, max_visitors=3, max_idle_seconds=100.0, preview_points=40, max_training_steps=20)
SMALL = ToyConfig(n_points=100, network=NetworkConfig(width=8, depth=1, fourier_features=4))
PATIENCE = 60.0  # seconds for what takes a fraction of one, on a machine that has much else to do


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(FEW, clock)


def arrive(sessions: Sessions, clock: Clock, *names: str) -> list[Visitor]:
    """Visitors who come one second after the other."""
    visitors = []
    for name in names:
        clock.now += 1
        visitors.append(sessions.visitor(name))
    return visitors


def train(visitor: Visitor, steps: int = 5) -> list[float]:
    return [step.loss for step in visitor.lab.train(steps=steps)]


def in_threads(jobs: list[Callable[[], Any]]) -> None:
    """Run all at once; raise what any of them raised."""
    faults: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def work(job: Callable[[], Any]) -> None:
        try:
            start.wait(timeout=PATIENCE)
            job()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE)
        assert not thread.is_alive()
    if faults:
        raise faults[0]
