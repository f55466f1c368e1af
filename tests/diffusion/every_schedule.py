"""A schedule of every row of SCHEDULES, for tests that run over all of them."""

from typing import Any

from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES

LINE = ((0.0, 1.0), (1.0, 0.0))
CURVES: dict[str, Any] = {"hand": LINE, "data": ((0.0, 9.0), (0.3, 2.0), (1.0, -9.0))}  # for rows given by a curve


def schedule_of(name: str, timesteps: int = 1000, zero_snr: bool = False, **knobs: Any) -> ScheduleConfig:
    """The row `name` with the paper's knobs but for `knobs`; where it needs a curve, one that falls."""
    return ScheduleConfig(name, timesteps, zero_snr, knots=CURVES.get(SCHEDULES[name].knots_from, ()), **knobs)
