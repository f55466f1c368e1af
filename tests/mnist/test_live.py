"""Training while one watches: previews come, a run ends when and as it should, and its past is exact."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from playground.diffusion.training import Batch, Diverged, draw_batch
from playground.fair_lock import FairLock
from playground.mnist.data import ImageDataError, ImageSet, mnist, to_bytes
from playground.mnist.generate import GenerateError
from playground.mnist.live import PREVIEWS, Control, LiveConfig, LiveRun, Preview, real_digits, watch
from playground.mnist.networks import NetworkConfig
from playground.mnist.weights import load_model
from playground.settings import SETTINGS

TINY = NetworkConfig(channels=(8, 16), patch=1)
PATIENCE = 60.0  # seconds for what takes a fraction of one, on a machine that has much else to do


def config(size: int = 14, seed: int = 0, data: ImageSet | None = None, **training: Any) -> LiveConfig:
    scratch = LiveConfig.scratch(size, seed, data, **({"batch_size": 16} | training))
    return dataclasses.replace(scratch, network=TINY)


def begun(**knobs: float) -> LiveRun:
    return LiveRun(config(**knobs), load_model())  # type: ignore[arg-type]


def watched(run: LiveRun, steps: int, control: Control | None = None) -> Iterator[Preview]:
    limits = dataclasses.replace(SETTINGS, max_training_steps=steps)
    return watch(run, control or Control(), limits, FairLock())


# Previews


def test_previews_come_and_the_last_one_stands_still() -> None:
    run = begun()
    seen = list(watched(run, 25))
    assert [preview.running for preview in seen] == [True] * (len(seen) - 1) + [False]
    assert len(seen) >= 2
    assert seen[-1].step == run.step == 25
    assert "25 steps" in seen[-1].note
    assert all(not preview.note for preview in seen[:-1])
    for preview in seen:
        assert preview.x.shape == (PREVIEWS, 1, 14, 14)
        assert preview.x.abs().max() <= 1 + 1e-5
        assert preview.labels is not None
        assert preview.labels.tolist() == [k % 10 for k in range(PREVIEWS)]
        assert preview.right is not None
        assert 0 <= preview.right <= 1
    steps = [preview.step for preview in seen]
    assert steps == sorted(steps)
    assert run.timeline[-1].step == 25, "the end is kept"


def test_a_preview_changes_nothing() -> None:
    looked_at, alone = begun(), begun()
    for _ in watched(looked_at, 12):
        pass
    for _ in alone.train(12):
        pass
    for name, weight in looked_at.trainer.network.state_dict().items():
        assert torch.equal(weight, alone.trainer.network.state_dict()[name])


def test_pausing_stops_within_a_step() -> None:
    run, control = begun(), Control()
    seen = watched(run, 10**6, control)
    at = next(seen).step
    control.paused = True
    rest = list(seen)
    assert [preview.running for preview in rest] == [False]
    assert rest[-1].step == run.step == at
    assert rest[-1].note == ""


def test_pausing_from_another_thread() -> None:
    run, control, seen, started = begun(), Control(), [], threading.Event()

    def look() -> None:
        for preview in watched(run, 10**6, control):
            seen.append(preview)
            started.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    assert started.wait(PATIENCE)
    control.paused = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not seen[-1].running


def test_paused_before_it_began() -> None:
    (only,) = watched(begun(), 10, Control(paused=True))
    assert (only.step, only.running, only.losses, only.seconds >= 0) == (0, False, [], True)


def test_going_on_after_a_pause_is_the_same_run() -> None:
    paused, straight = begun(), begun()
    control = Control()
    previews = watched(paused, 10**6, control)
    next(previews)
    control.paused = True
    list(previews)
    assert paused.step < 15
    for preview in watched(paused, 15):
        last = preview
    for _ in straight.train(15):
        pass
    assert last.step == 15
    for name, weight in paused.trainer.ema.state_dict().items():
        assert torch.equal(weight, straight.trainer.ema.state_dict()[name])


def test_time_has_a_limit_too() -> None:
    limits = dataclasses.replace(SETTINGS, max_training_seconds=0.0)
    seen = list(watch(begun(), Control(), limits, FairLock()))
    assert seen[-1].step == 1
    assert "Press Train to go on" in seen[-1].note


def test_divergence_is_told_and_can_be_rewound() -> None:
    run = begun(learning_rate=100.0, warmup_steps=0)
    seen = list(watched(run, 10**4))
    assert not seen[-1].running
    assert "diverged" in seen[-1].note
    assert "learning rate" in seen[-1].note
    assert seen[-1].x.isfinite().all()
    assert run.timeline.rewind(0) == run.step == 0
    run.trainer.config = config().training
    assert all(step.loss < 10 for step in run.train(10))


def test_divergence_without_a_watcher_is_an_error() -> None:
    with pytest.raises(Diverged, match="Rewind"):
        list(begun(learning_rate=100.0, warmup_steps=0).train())


# The past


def test_a_rewound_run_is_the_same_run() -> None:
    run, straight = begun(), begun()
    losses = [step.loss for step in straight.train(30)]
    list(run.train(30))
    arrived = run.timeline.rewind(17)
    assert 0 < arrived <= 17
    assert [step.loss for step in run.train(30 - arrived)] == losses[arrived:]
    for name, weight in run.trainer.network.state_dict().items():
        assert torch.equal(weight, straight.trainer.network.state_dict()[name])


def test_what_was_drawn_then_can_be_drawn_again() -> None:
    run = begun()
    list(run.train(4))  # a checkpoint
    then = run.model()
    list(run.train(8))
    assert run.timeline.rewind(4) == 4
    for a, b in zip(then.network.parameters(), run.model().network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_is_apart_from_further_training() -> None:
    run = begun()
    list(run.train(3))
    model = run.model()
    before = [parameter.clone() for parameter in model.network.parameters()]
    list(run.train(3))
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
    assert model.name == "MNIST, step 3"
    assert model.shape == (1, 14, 14)


# What it learns from


def test_own_images_with_and_without_labels() -> None:
    images = mnist("test").images[:20].repeat(1, 3, 1, 1)
    for labels, classes in ((torch.arange(20) % 2, ("even", "odd")), (None, ())):
        run = LiveRun(config(data=ImageSet("mine", images, labels, classes)), load_model())
        (*_, last) = watched(run, 3)
        assert last.x.shape == (PREVIEWS, 3, 14, 14)
        assert last.right is None, "the reader knows digits only"
        assert (last.labels is None) == (labels is None)


def test_real_digits_are_shared() -> None:
    assert real_digits(14) is real_digits(14)
    assert begun().images is real_digits(14)
    assert LiveConfig.scratch(28).images() is mnist()


def test_other_experiments_are_told_apart() -> None:
    assert not config().differs(config())
    others = (config(size=28), config(prediction="noise"), config(optimizer="adamw"), config(data=mnist()))
    assert all(config().differs(other) for other in others)
    same = (config(seed=1), config(learning_rate=1e-3), config(batch_size=8))
    assert not any(config().differs(other) for other in same), "these change while it trains, or wait for Reset"


def test_a_rate_turned_while_it_trains_counts_from_the_next_step_on() -> None:
    run = LiveRun(config(), load_model())
    list(run.train(2))
    run.adopt(dataclasses.replace(run.config.training, learning_rate=1e-5, warmup_steps=0))
    assert next(run.train(1)).learning_rate == pytest.approx(1e-5)
    assert run.step == 3


@pytest.mark.parametrize(("size", "start", "seed"), [(15, "scratch", 0), (28, "nowhere", 0), (28, "shipped", -1)])
def test_configs_out_of_range(size: int, start: str, seed: int) -> None:
    with pytest.raises(GenerateError, match=r"14×14|seed"):
        LiveConfig(size, start, seed)  # type: ignore[arg-type]


# Teaching


def crosses() -> Tensor:
    """Three drawings (3, 1, 28, 28) of what is no digit."""
    drawn = torch.full((3, 1, 28, 28), -1.0)
    for k in range(3):
        for i in range(6, 22):
            drawn[k, 0, i, i - 1 + k : i + 2 + k] = drawn[k, 0, i, 26 - i + k : 29 - i + k] = 1.0
    return drawn


def batch_of(x0: Tensor, labels: Tensor) -> Batch:
    """The same noise at the same levels, whoever is asked."""
    run_config = dataclasses.replace(config().training, noise_levels="angle", label_dropout=0.0)
    generator = torch.Generator().manual_seed(5)
    return draw_batch(x0, labels, 10, run_config, LiveRun(config(), load_model()).schedule, generator)


def test_drawn_digits_are_learned_and_the_rest_is_kept() -> None:
    shipped, drawn, labels = load_model(), crosses(), torch.tensor([4, 4, 4])
    run = LiveRun(LiveConfig.teach(shipped, drawn, labels), shipped)
    digits = mnist("test")
    assert digits.labels is not None
    mine, real = batch_of(drawn.repeat(20, 1, 1, 1), labels.repeat(20)), batch_of(digits[:100], digits.labels[:100])

    @torch.no_grad()
    def losses() -> tuple[float, float]:
        prediction = shipped.prediction
        return mine.loss(run.trainer.ema, prediction).item(), real.loss(run.trainer.ema, prediction).item()

    weights = [parameter.clone() for parameter in shipped.network.parameters()]
    before = losses()
    list(run.train(60))
    after = losses()
    assert after[0] < 0.7 * before[0]
    assert after[1] < 1.3 * before[1]
    assert all(torch.equal(a, b) for a, b in zip(weights, shipped.network.parameters(), strict=True)), "shared by all"
    assert not any(parameter.requires_grad for parameter in shipped.network.parameters())


def test_drawn_digits_are_half_of_what_is_shown_and_moved_about() -> None:
    shipped, drawn = load_model(), crosses()
    images = LiveConfig.teach(shipped, drawn, torch.tensor([1, 2, 3])).images()
    half = len(images) // 2
    assert images.name == "MNIST and 3 drawn"
    assert images.labels is not None
    assert torch.equal(images.labels[half:].unique(), torch.tensor([1, 2, 3]))
    assert len(images.images[half:].flatten(1).unique(dim=0)) > 20
    ink = to_bytes(drawn).flatten(1).sum(1)
    assert set(images.images[half:].flatten(1).sum(1).tolist()) <= set(ink.tolist()), "nothing is cut off"


def test_what_cannot_be_taught() -> None:
    shipped = load_model()
    for drawn, labels in (
        (torch.zeros(2, 1, 14, 14), torch.tensor([1, 2])),
        (torch.zeros(2, 1, 28, 28), torch.tensor([1])),
        (torch.zeros(2, 1, 28, 28), torch.tensor([1, 10])),
        (torch.zeros(2, 1, 28, 28), torch.tensor([0.5, 1])),
    ):
        with pytest.raises(ImageDataError, match="28×28"):
            LiveConfig.teach(shipped, drawn, labels)
