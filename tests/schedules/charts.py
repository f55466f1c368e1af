"""Small charts for the tests of quality."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from playground.diffusion.schedule_config import ScheduleConfig
from playground.fair_lock import COMPUTE_LOCK
from playground.schedules import chart_models, reference
from playground.schedules.quality import (
    POINTS,
    ChartConfig,
    ChartPoint,
    measure,
)

KARRAS = ScheduleConfig("karras")
SMALL = ChartConfig(schedules=(KARRAS,), samplers=("ddim", "dpm++"), calls=(4, 8), n=64)


def points(config: ChartConfig) -> list[ChartPoint]:
    return [event for event in measure(config) if isinstance(event, ChartPoint)]


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """Nothing is known from another test."""
    POINTS.clear()
    reference.ENDS.clear()
    chart_models.NETWORKS.clear()
    yield
    assert not COMPUTE_LOCK._busy  # a chart that was stopped has released the lock
