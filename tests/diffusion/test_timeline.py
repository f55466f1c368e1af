"""A run's past: where its checkpoints lie, how many there are, and that going back is exact."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.timeline import Timeline
from playground.diffusion.training import Diverged, Trainer, TrainingConfig

DATA = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
SCHEDULE = ScheduleConfig("cosine", 100).make()
NUMBERS = 2 * 2 + 2  # weights of the network below
STATE = 4 * 4 * NUMBERS  # bytes that a timeline counts for one checkpoint


class Linear(nn.Module):
    """The smallest network that can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        return self.layer(x)


def trainer(**knobs: float) -> Trainer:
    return Trainer(Linear(), DATA, SCHEDULE, TrainingConfig(batch_size=8, **knobs), 0)  # type: ignore[arg-type]


def run(trainer: Trainer, timeline: Timeline, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        losses.append(trainer.step().loss)
        timeline.keep_if_due()
    return losses


def kept(timeline: Timeline) -> list[int]:
    return [checkpoint.step for checkpoint in timeline]


def test_it_begins_where_the_trainer_stands() -> None:
    run_before = trainer()
    for _ in range(7):
        run_before.step()
    assert kept(Timeline(run_before, 10**6)) == [7]


def test_early_steps_lie_closer_together() -> None:
    training = trainer()
    timeline = Timeline(training, 10**6)
    run(training, timeline, 200)
    steps = kept(timeline)
    assert steps[:3] == [0, 4, 9]
    gaps = [after - before for before, after in pairwise(steps)]
    assert gaps == sorted(gaps)
    assert gaps[-1] < 200 * 0.1
    timeline.keep()
    timeline.keep()
    assert kept(timeline) == [*steps, *([] if steps[-1] == 200 else [200])], "one checkpoint a step"


@given(room=st.integers(0, 20), steps=st.integers(1, 150))
@settings(max_examples=20)
def test_it_stays_within_its_bytes_and_keeps_both_ends(room: int, steps: int) -> None:
    training = trainer()
    timeline = Timeline(training, room * STATE)
    run(training, timeline, steps)
    timeline.keep()
    assert len(timeline) <= max(3, room)
    assert kept(timeline)[0] == 0
    assert kept(timeline)[-1] == steps
    assert kept(timeline) == sorted(set(kept(timeline)))


def test_few_places_are_spread_over_the_whole_run() -> None:
    training = trainer()
    timeline = Timeline(training, 10 * STATE)
    run(training, timeline, 400)
    ratios = [(after + 1) / (before + 1) for before, after in pairwise(kept(timeline))]
    assert len(timeline) == 10
    assert max(ratios[1:]) < 4, "no wide hole anywhere"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_back_and_forth_is_the_same_run(optimizer: str) -> None:
    training = trainer(optimizer=optimizer, ema_decay=0.9)  # type: ignore[arg-type]
    timeline = Timeline(training, 10**6)
    straight = run(training, timeline, 60)
    end = training.state_dict()
    for wanted in (59, 30, 2, 0):
        arrived = timeline.rewind(wanted)
        assert arrived == training.step_count <= wanted
        assert kept(timeline)[-1] == arrived, "what came later is gone"
        assert run(training, timeline, 60 - arrived) == straight[arrived:]
        for name, weight in training.ema.state_dict().items():
            assert torch.equal(weight, end["ema"][name])


def test_a_fork_is_another_run() -> None:
    training = trainer()
    timeline = Timeline(training, 10**6)
    straight = run(training, timeline, 30)
    arrived = timeline.rewind(15)
    training.config = TrainingConfig(batch_size=8, learning_rate=0.5)
    assert run(training, timeline, 30 - arrived) != straight[arrived:]
    timeline.rewind(arrived)
    training.config = TrainingConfig(batch_size=8)
    assert run(training, timeline, 30 - arrived) == straight[arrived:], "the fork has not touched its root"


@pytest.mark.parametrize("wanted", [-5, 0, 8, 10**9])
def test_there_is_always_somewhere_to_go(wanted: int) -> None:
    training = trainer()
    for _ in range(9):
        training.step()
    timeline = Timeline(training, 10**6)  # nothing is known of what was before
    run(training, timeline, 3)
    assert timeline.rewind(wanted) == training.step_count == 9


def test_after_divergence_there_is_a_way_back() -> None:
    training = trainer()
    timeline = Timeline(training, 10**6)
    run(training, timeline, 10)
    training.config = TrainingConfig(batch_size=8, learning_rate=100.0, warmup_steps=0)
    with pytest.raises(Diverged):
        run(training, timeline, 1_000)
    arrived = timeline.rewind(10)
    assert arrived == 9
    training.config = TrainingConfig(batch_size=8)
    assert all(loss < 10 for loss in run(training, timeline, 20))
