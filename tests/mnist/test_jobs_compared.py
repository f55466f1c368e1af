"""Comparisons, live training and what the reader sees, as jobs of the MNIST tab."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.data import ImageDataError, ImageSet, mnist
from playground.mnist.generate import Request
from playground.mnist.jobs import (
    OTHER_NETWORKS,
    READ_LEVELS,
    compared,
    live_config,
    reads_along,
    reads_forward,
    work_on,
)
from playground.mnist.live import LiveRun
from playground.mnist.session import MAX_DRAWN, MnistSession
from playground.mnist.settings import IMAGES, MnistSettings
from tests.mnist.job_cases import QUICK, colour, digit, done, model

pytest_plugins = ["tests.mnist.job_cases"]


# Side by side


@pytest.mark.parametrize(
    ("by", "value", "title", "change"),
    [
        ("sampler", "ddpm", "DDPM", {"sampler": "ddpm", "spacing": "default"}),
        ("schedule", "cosine", "cosine, s = 0.008", {"schedule": ScheduleConfig("cosine")}),
        ("steps", "7", "7 steps", {"steps": 7}),
        ("guidance", "3.5", "guidance 3.5", {"guidance_scale": 3.5}),
    ],
)
def test_compared_is_one_thing_changed(by: str, value: str, title: str, change: dict[str, Any]) -> None:
    settings = MnistSettings(spacing="karras")
    request, said = compared(settings.request(), by, value)
    assert said == title
    assert request == dataclasses.replace(settings, **change).request()
    assert request != settings.request()


def test_a_schedule_is_drawn_on_and_compared(session: MnistSession) -> None:
    settings = dataclasses.replace(QUICK, schedule=ScheduleConfig("cosine", 60, s=0.1))
    same, said = compared(settings.request(), "schedule", "cosine")
    assert same == settings.request(), "the one that is chosen keeps its knobs"
    assert said == settings.schedule.title
    other, _ = compared(settings.request(), "schedule", "linear")
    assert other.schedule == ScheduleConfig("linear", 60), "the same T"
    assert done(work_on(session, settings))[0].t == pytest.approx(59), "its T"
    assert done(work_on(session, dataclasses.replace(settings, begin="blur", strength=0.1)))[0].t == pytest.approx(5.9)


def test_a_curve_that_was_not_drawn(session: MnistSession) -> None:
    with pytest.raises(ScheduleError, match="no curve yet"):
        done(work_on(session, dataclasses.replace(QUICK, schedule=ScheduleConfig("drawn"))))


@pytest.mark.parametrize(("by", "value"), [("steps", "1"), ("steps", "many"), ("guidance", "much")])
def test_what_cannot_be_compared(by: str, value: str) -> None:
    with pytest.raises(ValueError, match=" "):
        compared(MnistSettings().request(), by, value)


# How to train


def test_training_as_the_knobs_say(session: MnistSession) -> None:
    settings = MnistSettings(
        size=28, seed=3, prediction="x0", noise_levels="uniform", learning_rate=1e-3, batch_size=32, label_dropout=0.2
    )
    config = live_config(session, settings)
    assert (config.size, config.start, config.seed, config.data) == (28, "scratch", 3, None)
    training = config.training
    assert (training.prediction, training.noise_levels, training.batch_size) == ("x0", "uniform", 32)
    assert (training.learning_rate, training.label_dropout) == (1e-3, 0.2)


@pytest.mark.parametrize("network", OTHER_NETWORKS)
@pytest.mark.parametrize("size", [14, 28])
def test_other_networks_train(session: MnistSession, network: str, size: int) -> None:
    config = live_config(session, MnistSettings(network=network, size=size, batch_size=2))
    assert config.network.kind == network
    (step,) = LiveRun(config, session.lab.shipped).train(1)
    assert 0 < step.loss < 10


def test_training_on_what_is_on_the_desk(session: MnistSession) -> None:
    with pytest.raises(ImageDataError, match="Upload images"):
        live_config(session, MnistSettings(learn="upload"))
    with pytest.raises(ImageDataError, match="Teach it this"):
        live_config(session, MnistSettings(learn="drawn"))
    session.uploaded = colour()
    assert live_config(session, MnistSettings(learn="upload")).data is session.uploaded
    session.teach(digit(), 1)
    session.teach(digit(), 7)
    config = live_config(session, MnistSettings(learn="drawn", seed=2))
    assert (config.start, config.size, config.seed) == ("shipped", 28, 2)
    assert config.drawn is not None
    assert config.drawn_labels is not None
    assert config.drawn.shape == (2, 1, 28, 28)
    assert config.drawn_labels.tolist() == [1, 7]


def test_a_desk_holds_so_many_drawings(session: MnistSession) -> None:
    for _ in range(MAX_DRAWN):
        session.teach(digit(), 1)
    with pytest.raises(ImageDataError, match=str(MAX_DRAWN)):
        session.teach(digit(), 1)
    assert len(session.drawn) == len(session.drawn_labels) == MAX_DRAWN


# What the reader sees


def test_the_reader_follows_the_digits_into_noise(session: MnistSession) -> None:
    table = session.shown(Request().schedule.make())
    read, t = reads_forward(table)
    assert read is not None
    assert t is not None
    assert table.labels is not None
    assert read.shape == (READ_LEVELS, len(table.x0), 10)
    assert [float(t[0]), float(t[-1]), len(t)] == [0, 999, READ_LEVELS]
    torch.testing.assert_close(read.sum(-1), torch.ones(read.shape[:2]))
    right = (read.argmax(-1) == table.labels).float().mean(1)
    assert right[0] > 0.9
    assert right[-1] < 0.5, "nothing is left to read"


def test_the_reader_follows_a_run(session: MnistSession) -> None:
    job = work_on(session, QUICK)
    read = reads_along(collect(done(job), job.labels, 0))
    assert read is not None
    assert read.shape == (3, IMAGES, 10)
    torch.testing.assert_close(read.sum(-1), torch.ones(3, IMAGES))


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 14, 14)])
def test_the_reader_leaves_alone_what_it_cannot_read(session: MnistSession, shape: tuple[int, int, int]) -> None:
    session.uploaded = ImageSet("mine", torch.zeros(4, *shape, dtype=torch.uint8))
    assert reads_forward(session.shown(Request().schedule.make())) == (None, None)
    session.lab.model = model(shape)
    job = work_on(session, QUICK)
    assert reads_along(collect(done(job), job.labels, 0)) is None


# The session


def test_images_on_the_desk(session: MnistSession) -> None:
    x0, labels = session.images()
    assert x0.shape == (16, 1, 28, 28)
    assert labels is not None
    again = MnistSession(real_seed=1)
    assert not torch.equal(again.images()[0], x0)
    session.uploaded = colour(torch.arange(5), tuple("abcde"))
    mine, labels = session.images()
    assert mine.shape == (5, 3, 28, 28), "no more than there are"
    assert labels is not None
    for image, label in zip(mine, labels, strict=True):
        assert torch.equal(image, session.uploaded[label[None]][0])
    session.uploaded = mnist("test")
    assert len(session.images()[0]) == 16


def test_only_the_last_wish_is_wanted(session: MnistSession) -> None:
    assert [session.ask(), session.ask()] == [1, 2]
    assert session.asked == 2
    first = session.begin()
    second = session.begin()
    assert (first.paused, second.paused) == (True, False)
    assert session.control is second


def test_what_is_worth_keeping(session: MnistSession) -> None:
    busy = [MnistSession().busy, session.busy]  # the second draws with another model than the one that ships
    session.lab.use_shipped()
    busy.append(session.busy)
    session.lab.begin()
    busy.append(session.busy)
    taught = MnistSession()
    taught.teach(digit(), 3)
    assert [*busy, taught.busy] == [False, True, False, True, True]
