"""The Schedules tab: tables and curves, where samplers' steps land, and a small quality chart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count


def figures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and work."""
    import torch

    from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
    from playground.diffusion.schedule_config import ScheduleConfig
    from playground.diffusion.schedules import SCHEDULES
    from playground.schedules.curves import curves
    from playground.schedules.quality import ChartConfig, measure
    from playground.schedules.steps import where

    torch.set_num_threads(1)
    whole, seeds = ChartConfig(), count()  # a chart is remembered by its seed

    def tabulate(name: str) -> object:
        return [curves(ScheduleConfig(name).make()) for _ in range(100)]

    def land(sampler: str, times: int = 20) -> object:
        return [where(ScheduleConfig(), SamplingConfig(sampler, 20)) for _ in range(times)]

    def chart() -> object:
        config = ChartConfig(
            schedules=whole.schedules[:1], samplers=whole.samplers[:3], calls=(8, 16), seed=next(seeds)
        )
        return list(measure(config))

    for name in SCHEDULES:
        yield f"{name}: table and curves, 100 times", partial(tabulate, name)
    for sampler in SAMPLERS:
        with suppress(SamplerError):  # Langevin has no steps on a schedule
            land(sampler, 1)
            yield f"{sampler}: where 20 steps land, 20 times", partial(land, sampler)
    yield "quality chart, 3 samplers × 2 budgets", chart
