"""Drawings become digits like MNIST's, wherever and however large they were drawn."""

import base64

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor

from playground.mnist.data import ImageDataError, mnist
from playground.mnist.drawing import BOX, CANVAS, digit_from_pixels, mask_from_pixels, normalised

TEST = mnist("test").images[:, 0]  # (10000, 28, 28)


def sent(pixels: np.ndarray) -> str:
    return base64.b64encode(pixels.astype(np.uint8).tobytes()).decode()


def extent(digit: Tensor) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the ink."""
    rows, columns = digit.any(1).nonzero(), digit.any(0).nonzero()
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def on_canvas(digit: Tensor, height: int, x: float, y: float, how: Image.Resampling) -> np.ndarray:
    """A digit of `height` pixels (or as many wide) at a place on the canvas, 0 … 1 from left to right and down."""
    top, bottom, left, right = extent(digit)
    scale = height / max(bottom - top, right - left)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    drawn = Image.fromarray(digit.numpy()[top:bottom, left:right]).resize(size, how)
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(drawn, (round(x * (CANVAS - size[0])), round(y * (CANVAS - size[1]))))
    return np.asarray(canvas)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over the pixels, in the network's units: two digits of MNIST are 0.70 apart, nearest 0.37."""
    return (a.double() - b.double()).square().mean((-2, -1)).sqrt() / 127.5


# ---- Digits


def test_mnist_comes_back_as_it_is() -> None:
    apart = torch.stack([distance(normalised(digit), digit) for digit in TEST[:2000]])
    assert apart.median() == 0
    assert (apart < 0.02).float().mean() > 0.98  # the others lose a faint first row, or lie on the rim of two places


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
def test_a_digit_drawn_larger_and_elsewhere_is_the_same(times: int) -> None:
    generator = np.random.default_rng(times)
    for digit in TEST[:40]:
        x, y = generator.random(2)
        drawn = on_canvas(digit, times * BOX, x, y, Image.Resampling.NEAREST)
        again = digit_from_pixels(sent(drawn))
        assert (again.shape, again.dtype) == ((1, 28, 28), torch.float32)
        assert distance((again[0] + 1) * 127.5, normalised(digit)) < 0.01


def test_a_digit_drawn_smoothly_at_any_size_is_the_same() -> None:
    """Within 0.25 each and 0.1 on average, where the next digit of MNIST is 0.37 away, give or take one whole pixel."""
    generator = np.random.default_rng(0)
    apart = []
    for digit in TEST[:300]:
        size, (x, y) = int(generator.integers(30, 111)), generator.random(2)
        drawn = on_canvas(digit, size, x, y, Image.Resampling.BICUBIC)
        again = (digit_from_pixels(sent(drawn))[0] + 1) * 127.5
        places = [again.roll((down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        apart.append(distance(torch.stack(places), normalised(digit)).min())
    assert torch.stack(apart).max() < 0.25
    assert torch.stack(apart).mean() < 0.1


@given(
    arrays(np.uint8, (40, 40), elements=st.sampled_from([0, 0, 0, 0, 20, 90, 255])).filter(lambda a: a.max() > 32),
)
def test_what_comes_out_is_like_mnist(ink: np.ndarray) -> None:
    digit = normalised(torch.from_numpy(ink))
    top, bottom, left, right = extent(digit)
    assert digit.max() == 255
    assert max(bottom - top, right - left) <= BOX
    places = torch.arange(28.0)
    for axis, start, end in ((1, top, bottom), (0, left, right)):
        mass = digit.double().sum(axis)
        centre = (mass * places).sum() / mass.sum()
        assert 13.49 < centre < 14.51 or start == 0 or end == 28  # or as near as the image's rim allows


def test_once_is_enough() -> None:
    for digit in TEST[:200]:
        once = normalised(digit)
        assert distance(normalised(once), once) < 0.02


@pytest.mark.parametrize(("rows", "columns"), [(slice(10, 90), slice(50, 54)), (slice(50, 54), slice(10, 90))])
def test_the_shape_is_kept(rows: slice, columns: slice) -> None:
    drawn = np.zeros((CANVAS, CANVAS))
    drawn[rows, columns] = 255
    top, bottom, left, right = extent(digit_from_pixels(sent(drawn))[0] + 1)
    assert sorted([bottom - top, right - left]) == [1, 20]


def test_a_thin_faint_stroke_reaches_full_ink() -> None:
    drawn = np.eye(CANVAS) * 60
    assert digit_from_pixels(sent(drawn)).max() == 1


def test_a_dot_is_a_drawing() -> None:
    drawn = np.zeros((CANVAS, CANVAS))
    drawn[0, 111] = 255
    assert (digit_from_pixels(sent(drawn)) == 1).sum() == BOX**2


@pytest.mark.parametrize("level", [0, 31])
def test_nothing_drawn_is_said(level: int) -> None:
    with pytest.raises(ImageDataError, match="Nothing is drawn yet"):
        digit_from_pixels(sent(np.full((CANVAS, CANVAS), level)))


# ---- Masks


def test_a_mask_is_where_it_was_painted() -> None:
    painted = np.zeros((28, 28))
    painted[3, 5], painted[20:, :9], painted[0, 0] = 128, 255, 127
    mask = mask_from_pixels(sent(painted.repeat(4, axis=0).repeat(4, axis=1)))
    assert (mask.shape, mask.dtype) == ((1, 28, 28), torch.bool)
    assert np.array_equal(mask[0].numpy(), painted > 127)


@pytest.mark.parametrize(("level", "message"), [(0, "covers nothing"), (127, "nothing"), (255, "covers everything")])
def test_a_mask_of_nothing_or_all_is_refused(level: int, message: str) -> None:
    with pytest.raises(ImageDataError, match=message):
        mask_from_pixels(sent(np.full((CANVAS, CANVAS), level)))


# ---- What strangers send

GOOD = sent(np.full((CANVAS, CANVAS), 255))


@pytest.mark.parametrize(
    "data",
    [
        None,
        7,
        [0] * CANVAS**2,
        bytearray(GOOD.encode()),
        "",
        b"",
        GOOD[:-4],
        GOOD + "AAAA",
        GOOD[:-2] + "AA",
        GOOD[:100] + "!" + GOOD[101:],
        GOOD[:100] + "\n" + GOOD[101:],
        GOOD[:100] + "ä" + GOOD[101:],
        GOOD[:-1] + "A",
        "=" * len(GOOD),
        f"data:,{GOOD}",
        sent(np.zeros((28, 28))),
        "A" * 10_000_000,
    ],
)
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(ImageDataError, match=r"did not arrive as 112×112 pixels\. Clear it"):
        digit_from_pixels(data)


def test_bytes_are_as_good_as_text() -> None:
    assert torch.equal(digit_from_pixels(GOOD.encode()), digit_from_pixels(GOOD))


@given(st.binary(max_size=20) | st.text(max_size=20) | st.binary(min_size=784, max_size=784).map(base64.b64encode))
def test_any_mask_is_read_or_refused(data: str | bytes) -> None:
    try:
        mask = mask_from_pixels(data)
    except ImageDataError:
        return
    assert 0 < mask.sum() < 784


@given(st.binary(min_size=1, max_size=200))
def test_any_drawing_is_read_or_refused(junk: bytes) -> None:
    pixels = np.resize(np.frombuffer(junk, np.uint8), (CANVAS, CANVAS))
    try:
        digit = digit_from_pixels(sent(pixels))
    except ImageDataError:
        assert pixels.max() < 32
        return
    assert digit.isfinite().all()
    assert digit.min() >= -1
    assert digit.max() == 1
