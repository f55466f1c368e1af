"""Every combination of the tab's knobs is work that can be done, or a message that says what is missing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS, collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import by_formula
from playground.mnist.data import ImageDataError, ImageSet, mnist
from playground.mnist.generate import GenerateError, Request
from playground.mnist.jobs import (
    OTHER_NETWORKS,
    READ_LEVELS,
    Job,
    collected,
    compared,
    live_config,
    reads_along,
    reads_forward,
    work_on,
)
from playground.mnist.judge import reads
from playground.mnist.live import LiveRun
from playground.mnist.session import MAX_DRAWN, MnistSession
from playground.mnist.settings import ALL, IMAGES, OPEN, MnistSettings
from playground.mnist.weights import ImageModel

QUICK = MnistSettings(steps=2, resample=2)


class Blank(nn.Module):
    """A network that has learnt nothing; what is asked of it costs nothing."""

    def forward(self, x: torch.Tensor, *level: Any) -> torch.Tensor:
        return torch.zeros_like(x)


def model(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> ImageModel:
    return ImageModel("blank", Blank(), "v", shape, tuple(map(str, range(classes))), {})


@pytest.fixture
def session() -> MnistSession:
    session = MnistSession()
    session.lab.model = model()
    return session


def digit() -> torch.Tensor:
    drawn = torch.full((1, 28, 28), -1.0)
    drawn[:, 5:22, 13:16] = 1.0
    return drawn


def colour(labels: torch.Tensor | None = None, classes: tuple[str, ...] = (), size: int = 28) -> ImageSet:
    images = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet("mine", images, labels, classes)


def done(job: Job) -> list[Any]:
    *_, steps = collected(job)
    return steps


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
    job = work_on(session, dataclasses.replace(QUICK, begin=begin, digit=chosen))
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
        {"schedule": ScheduleConfig("drawn")},
        {"sampler": "best"},
        {"schedule": "none"},
        {"spacing": "karras", "sampler": "ddpm"},
        {"eta": 2.0},
        {"begin": "noises", "other_seed": -1},
        {"begin": "drawing", "strength": 0.0},
    ):
        session.drawing = digit()
        with pytest.raises(ValueError, match=" "):
            done(work_on(session, dataclasses.replace(QUICK, **change)))


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


def test_schedules_are_compared_at_one_length() -> None:
    """The one that is chosen already keeps its knobs; all share T and zero terminal SNR."""
    settings = MnistSettings(schedule=ScheduleConfig("cosine", 60, True, s=0.1))
    for name in by_formula():
        request, said = compared(settings.request(), "schedule", name)
        assert request.schedule == (settings.schedule if name == "cosine" else ScheduleConfig(name, 60, True))
        assert said == request.schedule.title


def test_any_schedule_is_drawn_on(session: MnistSession) -> None:
    settings = dataclasses.replace(QUICK, schedule=ScheduleConfig("cosine", 60, s=0.1))
    request = settings.request()
    assert torch.equal(request.schedule.make().alphas, ScheduleConfig("cosine", 60, s=0.1).make().alphas)
    assert done(work_on(session, settings))[0].t == pytest.approx(59), "its T"
    assert done(work_on(session, dataclasses.replace(settings, begin="blur", strength=0.1)))[0].t == pytest.approx(5.9)


@pytest.mark.parametrize("value", ["nessie", "drawn"])
def test_no_such_schedule_to_compare(value: str) -> None:
    with pytest.raises(ScheduleError, match=r"no such schedule|no curve yet"):
        compared(MnistSettings().request(), "schedule", value)[0].schedule.make()


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
