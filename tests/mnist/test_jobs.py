"""Every combination of the tab's knobs is work that can be done, or a message that says what is missing."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from playground.diffusion.sampling import SAMPLERS, collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.data import ImageDataError
from playground.mnist.generate import GenerateError
from playground.mnist.jobs import (
    work_on,
)
from playground.mnist.judge import reads
from playground.mnist.session import MnistSession
from playground.mnist.settings import ALL, IMAGES, OPEN
from tests.mnist.job_cases import QUICK, colour, digit, done, model

pytest_plugins = ["tests.mnist.job_cases"]


# What to draw


@pytest.mark.parametrize(("digit", "labels"), [(ALL, [0, 1, 2]), ("7", [7, 7, 7]), (OPEN, None)])
def test_digits_asked_for(session: MnistSession, digit: str, labels: list[int] | None) -> None:
    job = work_on(session, dataclasses.replace(QUICK, digit=digit))
    steps = done(job)
    assert len(steps) == job.total + 1 == 3
    assert steps[-1].x.shape == (IMAGES, 1, 28, 28)
    assert (None if job.labels is None else job.labels[:3].tolist()) == labels
    assert job.title == "DPM-Solver++ 2M, 2 steps"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_runs(session: MnistSession, sampler: str) -> None:
    steps = done(work_on(session, dataclasses.replace(QUICK, sampler=sampler, steps=4)))
    assert steps[-1].x.shape == (IMAGES, 1, 28, 28)


@pytest.mark.parametrize("begin", ["noise", "drawing", "mask", "noises", "classes"])
@pytest.mark.parametrize("chosen", [ALL, "3", OPEN])
def test_every_beginning_comes_to_its_end(session: MnistSession, begin: str, chosen: str) -> None:
    session.drawing = digit()
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[:, 10:20, 10:20] = True
    session.mask = (18, mask)  # there are sixteen: the third
    steps_of = 5 if begin == "drawing" else 2  # of five, two are walked at the strength that the page opens with
    job = work_on(session, dataclasses.replace(QUICK, begin=begin, digit=chosen, steps=steps_of))
    steps = done(job)
    assert steps[-1].t == -1
    assert steps[-1].x.shape == (IMAGES, 1, 28, 28)
    assert job.title
    collect(steps, job.labels, 0)
    if begin == "mask":
        outside = ~mask.expand(IMAGES, 1, 28, 28)
        third = session.images()[0][2].expand(IMAGES, 1, 28, 28)
        assert torch.equal(steps[-1].x[outside], third[outside])


@pytest.mark.parametrize("begin", ["blur", "pixelate"])
@pytest.mark.parametrize("drawn", [True, False])
def test_cold_diffusion_restores_what_is_on_the_desk(session: MnistSession, begin: str, drawn: bool) -> None:
    if drawn:
        session.drawing = digit()
    job = work_on(session, dataclasses.replace(QUICK, begin=begin, strength=0.1))
    steps = done(job)
    assert len(steps) == len(job.beside) == job.total + 1 == 3
    assert job.beside_title
    assert [step.t for step in steps] == [step.t for step in job.beside]
    assert torch.equal(steps[0].x, job.beside[0].x)
    original = digit().expand(IMAGES, 1, 28, 28) if drawn else session.images()[0]
    assert torch.equal(job.beside[-1].x, original)
    lost, left = ((x - original).square().mean() for x in (steps[0].x, steps[-1].x))
    assert left < lost, "restored, partly at least"


@pytest.mark.parametrize("begin", ["blur", "pixelate"])
def test_cold_diffusion_from_nothing_makes_new_digits(session: MnistSession, begin: str) -> None:
    job = work_on(session, dataclasses.replace(QUICK, begin=begin, strength=1.0, digit=OPEN))
    steps = done(job)
    assert len(steps) == job.total + 1
    assert job.labels is not None
    assert steps[-1].x.isfinite().all()
    naive = job.beside[-1].x  # the same start, by the simpler algorithm
    right = [int((reads(x).argmax(1) == job.labels).sum()) for x in (steps[-1].x, naive)]
    assert right[0] >= 11, "of sixteen; nine in ten of hundreds"
    assert right[0] >= right[1]


@pytest.mark.parametrize(("begin", "words"), [("drawing", "Draw a digit"), ("mask", "Repaint a part")])
def test_what_is_missing_is_said(session: MnistSession, begin: str, words: str) -> None:
    with pytest.raises(ImageDataError, match=words):
        work_on(session, dataclasses.replace(QUICK, begin=begin))


def test_what_does_not_fit_is_refused(session: MnistSession) -> None:
    session.drawing = digit()
    session.mask = (0, torch.eye(28).bool()[None])
    session.lab.model = model((1, 14, 14))
    for begin in ("drawing", "mask"):
        with pytest.raises(ValueError, match=r"1×14×14|Only MNIST"):
            done(work_on(session, dataclasses.replace(QUICK, begin=begin)))
    session.lab.model = model(classes=0)
    with pytest.raises(GenerateError, match="no classes"):
        done(work_on(session, dataclasses.replace(QUICK, begin="classes")))
    for asked in (ALL, OPEN, "3"):
        assert work_on(session, dataclasses.replace(QUICK, digit=asked)).labels is None


def test_one_of_each_class_of_a_model_that_knows_three(session: MnistSession) -> None:
    session.lab.model = model(classes=3)
    labels = work_on(session, QUICK).labels
    assert labels is not None
    assert labels.tolist() == [k % 3 for k in range(16)]


@pytest.mark.parametrize("begin", ["blur", "pixelate"])
@pytest.mark.parametrize("size", [28, 32])
def test_cold_diffusion_knows_grey_digits_only(session: MnistSession, begin: str, size: int) -> None:
    session.uploaded = colour(size=size)
    with pytest.raises(ValueError, match="28×28"):
        done(work_on(session, dataclasses.replace(QUICK, begin=begin)))


def test_wishes_that_make_no_sense_say_so(session: MnistSession) -> None:
    for change in (
        {"seed": -1},
        {"guidance_scale": 21.0},
        {"steps": 1},
        {"steps": 4_000},
        {"schedule": ScheduleConfig(timesteps=1)},
        {"sampler": "best"},
        {"schedule": ScheduleConfig("drawn")},
        {"spacing": "karras", "sampler": "ddpm"},
        {"eta": 2.0},
        {"begin": "noises", "other_seed": -1},
        {"begin": "drawing", "strength": 0.0},
    ):
        session.drawing = digit()
        with pytest.raises(ValueError, match=" "):
            done(work_on(session, dataclasses.replace(QUICK, **change)))
