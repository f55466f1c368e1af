"""Coloured digits: what is asked for is what is drawn."""

import torch

from playground.stable_diffusion.digits.pictures import COLOUR_JITTER, PALETTE, Writer
from playground.stable_diffusion.digits.words import Scene


def draw(*scenes, part="test", seed=0):
    return Writer(part).draw(list(scenes), torch.Generator().manual_seed(seed))


def test_shape_range_and_seed():
    scenes = [Scene((k,), (0,), 5) for k in range(10)]
    one, two = draw(*scenes), draw(*scenes)
    assert one.x0.shape == (10, 3, 32, 32)
    assert one.ink.shape == (10, 1, 32, 32)
    assert one.x0.abs().max() <= 1
    assert one.ink.min() >= 0
    assert one.ink.max() <= 1
    assert torch.equal(one.x0, two.x0)
    assert not torch.equal(one.x0, draw(*scenes, seed=1).x0)


def test_ink_has_the_digits_colour_and_the_rest_the_backgrounds():
    scenes = [Scene((3,), (c,), (c + 4) % 10) for c in range(10)]
    pictures = draw(*scenes)
    for k, scene in enumerate(scenes):
        x0, ink = pictures.x0[k], pictures.ink[k, 0]
        inside, outside = x0[:, ink > 0.999].mean(1), x0[:, ink == 0].mean(1)
        assert (inside - PALETTE[scene.colours[0]]).abs().max() < 5 * COLOUR_JITTER
        assert (outside - PALETTE[scene.background]).abs().max() < 5 * COLOUR_JITTER


def test_strokes_change_how_much_ink_there_is():
    amounts = [draw(*[Scene((k % 10,), (0,), 5, s) for k in range(40)]).ink.mean() for s in ("thin", "", "thick")]
    assert amounts[0] < 0.8 * amounts[1]
    assert amounts[1] < 0.8 * amounts[2]


def test_two_digits_stand_side_by_side_in_order():
    pictures = draw(*[Scene((4, 9), (0, 3), 9) for _ in range(20)])
    red, green = PALETTE[0].reshape(3, 1, 1), PALETTE[3].reshape(3, 1, 1)
    columns = torch.arange(32.0)
    for x0, ink in zip(pictures.x0, pictures.ink[:, 0], strict=True):
        near = [((x0 - c).square().sum(0) < 0.15) & (ink > 0.9) for c in (red, green)]
        left, right = [(where.sum(0) * columns).sum() / where.sum() for where in near]
        assert left < 15 < 16 < right


def test_the_judge_sees_other_digits_than_the_model():
    train, judge = Writer("train"), Writer("judge")
    assert (len(train.images), len(judge.images)) == (45_000, 15_000)
    ours = {bytes(i.numpy().tobytes()) for i in train.images}
    assert not any(bytes(i.numpy().tobytes()) in ours for i in judge.images)
