"""Live training: frames come, no loss is lost between them, and a run ends when and as it should."""

import itertools

import pytest
import torch

from playground.diffusion.metrics import sliced_wasserstein
from playground.fair_lock import FairLock
from playground.settings import SETTINGS, Settings
from playground.toy import PRESETS, ToyLab
from playground.toy.live import (
    FIELD_GRID,
    FIELD_LEVELS,
    START_SEED,
    DistanceMeter,
    Frame,
    look,
    warm_up,
)
from tests.toy.fields import field_of
from tests.toy.live_cases import SHORT, SMALL, one_by_one, run, studied

pytest_plugins = ["tests.toy.live_cases"]


def looked(lab: ToyLab, settings: Settings = SHORT, exact: bool = False, note: str = "") -> Frame:
    with FairLock().work() as turn:
        return look(lab, DistanceMeter(settings.preview_points), turn, exact, note, settings)


# ---- What a run hands out


def test_frames_come_and_the_last_one_has_stopped(lab: ToyLab) -> None:
    *running, last = run(lab, **one_by_one())
    assert [frame.step for frame in running] == list(range(1, 31))
    assert all(frame.running and not frame.note for frame in running)
    assert running[0].study is not None, "the first frame has everything"
    assert running[0].distance is not None
    assert not last.running
    assert last.study is not None
    assert last.distance is not None
    assert (last.step, last.run) == (lab.step, lab.run) == (30, 1)
    for frame in (*running, last):
        assert frame.x.shape == (40, 2)
        assert frame.x.isfinite().all()
        assert frame.steps_per_second >= 0
    assert [c.step for c in lab.timeline][-1] == 30, "where it stopped can be returned to"


@pytest.mark.parametrize("every_step", [True, False])
def test_losses_cover_every_step_once(lab: ToyLab, every_step: bool) -> None:
    alone = [step.loss for step in ToyLab(SMALL).train(steps=30)]
    frames = list(run(lab, **one_by_one()) if every_step else run(lab))
    points = [point for frame in frames for point in frame.losses]
    ends = [step for step, _ in points]
    assert ends[-1] == 30
    groups = [alone[start:end] for start, end in itertools.pairwise([0, *ends])]
    assert all(groups)
    assert [loss for _, loss in points] == pytest.approx([sum(group) / len(group) for group in groups])
    assert len(points) == 30 if every_step else len(points) < 30


def test_watching_changes_nothing(lab: ToyLab) -> None:
    for _ in run(lab, **one_by_one()):
        pass
    alone = ToyLab(SMALL)
    for _ in alone.train(steps=30):
        pass
    assert torch.equal(lab.sample(20).x, alone.sample(20).x)


def test_the_start_noise_is_fixed(lab: ToyLab) -> None:
    assert torch.equal(looked(lab).x, looked(lab).x)
    path = studied(lab, 10).path_x
    assert torch.equal(path[0], studied(lab, 7).path_x[0])
    first = next(run(lab))
    assert first.study is not None
    torch.testing.assert_close(first.study.path_x[0], path[0, :40])
    other = ToyLab(SMALL.changed(seed=5))
    scaled = [(s.path_x[0] - o.mean) / o.std for o, s in ((lab, studied(lab, 5)), (other, studied(other, 5)))]
    torch.testing.assert_close(scaled[0], scaled[1])


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preview_takes_few_steps(name: str) -> None:
    lab = ToyLab(PRESETS[name].config.changed(n_points=100))
    seen = studied(lab, SETTINGS.preview_steps)
    assert len(seen.path_t) == min(lab.config.sampling.steps, SETTINGS.preview_steps) + 1
    lab.update(**{"sampling.steps": 3})
    assert len(studied(lab, SETTINGS.preview_steps).path_t) == 4


def test_a_study_fits_together(lab: ToyLab) -> None:
    seen = studied(lab, 100, exact=True)
    states = len(seen.path_t)
    assert seen.path_x.shape == seen.path_x0.shape == (states, 500, 2)
    assert (seen.path_t.diff() <= 0).all()
    assert seen.path_t[-1] == 0
    levels = [round(k * 999 / (FIELD_LEVELS - 1)) for k in range(FIELD_LEVELS)]
    assert seen.field_t.tolist() == levels
    assert seen.exact is not None
    assert seen.learned.shape == seen.exact.shape == (FIELD_LEVELS, FIELD_GRID**2, 2)
    assert torch.equal(seen.learned[3], field_of(lab.now(), levels[3], FIELD_GRID).learned)
    assert studied(lab, 5).exact is None


def test_a_look_is_a_frame_that_stands_still(lab: ToyLab) -> None:
    for _ in lab.train(steps=4):
        pass
    frame = looked(lab, exact=True, note="words")
    assert (frame.step, frame.run, frame.running, frame.note, frame.losses) == (4, 1, False, "words", [])
    assert frame.study is not None
    assert frame.study.exact is not None
    assert lab.step == 4


@pytest.mark.parametrize(("asked", "taken"), [(7, 7), (60, 60), (500, 100)])
def test_a_lab_at_rest_is_drawn_in_the_steps_asked_for_up_to_a_limit(lab: ToyLab, asked: int, taken: int) -> None:
    lab.update(**{"sampling.steps": asked, "sampling.sampler": "ddim"})
    assert SETTINGS.still_steps == 100
    frame = looked(lab)
    assert frame.calls == taken
    assert frame.study is not None
    assert torch.equal(frame.study.path_x[-1], frame.x), "what is shown is the end of the very path that is scrubbed"
    torch.testing.assert_close(frame.x, lab.sample(40, steps=taken, seed=START_SEED).x[-1])
    assert len(frame.study.path_t) == min(taken + 1, 40)
    *running, last = run(lab, **one_by_one())
    assert {f.calls for f in running} == {min(asked, SETTINGS.preview_steps)}
    assert last.calls == taken
    for seen in (running[0], last):
        assert seen.study is not None
        assert torch.equal(seen.study.path_x[-1], seen.x)


def test_the_distance_meter_measures_against_fresh_data_and_notices_new_ones(lab: ToyLab) -> None:
    meter = DistanceMeter(200)
    distance, floor = meter.measure(lab.now(), lab.now().fresh(200, 50))
    assert 0 < floor < 0.15
    assert distance < 2 * floor, "a draw of the data is at the floor"
    far, same_floor = meter.measure(lab.now(), lab.now().fresh(200, 50) + 1)
    assert same_floor == floor
    # A shift by (1, 1) is one of √2 along itself, and on average over all directions the root of half its square.
    assert far == pytest.approx(1, abs=3 * floor)
    assert meter.measure(lab.now(), lab.now().fresh(200, 50)) == (distance, floor)
    lab.update(dataset="heart")
    assert meter.measure(lab.now(), lab.now().fresh(200, 50))[1] != floor
    single = sliced_wasserstein(lab.now().fresh(200, 50), lab.now().fresh(200, 0), 64)
    assert meter.measure(lab.now(), lab.now().fresh(200, 50))[0] == pytest.approx(single, rel=0.7)


def test_warming_up_trains_no_one_elses_lab(lab: ToyLab) -> None:
    before = torch.get_rng_state()
    warm_up()
    assert torch.equal(torch.get_rng_state(), before)
    assert lab.step == 0
