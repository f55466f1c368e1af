"""Image files of any kind are cropped to one size: every mode PIL knows, and whatever is no image is refused."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from playground.mnist.data import ImageDataError, ImageSet
from playground.mnist.image_files import to_set

RAMP = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(*files: bytes, size: int | None = None) -> ImageSet:
    return to_set("test", [(f"{n}.png", data, None) for n, data in enumerate(files)], (), size)


def pixels(*files: bytes, size: int | None = None) -> np.ndarray:
    """(C, H, W) of the first."""
    return opened(*files, size=size).images[0].numpy()


# ---- Modes

OVER_BLACK = {  # mode → an image of it, and the RGB that should come out
    "1": (Image.fromarray(RAMP).point(lambda v: 255 * (v > 99), "1"), 255 * (RAMP > 99)),
    "L": (Image.fromarray(RAMP), RAMP),
    "I;16": (Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP),
    "LA": (Image.merge("LA", [Image.new("L", (16, 16), 255), Image.fromarray(RAMP)]), RAMP),
}


@pytest.mark.parametrize("mode", list(OVER_BLACK))
def test_grey_stays_grey(mode: str) -> None:
    image, expected = OVER_BLACK[mode]
    assert image.mode == mode
    images = opened(file(image))
    assert (images.shape, images.labels, images.classes) == ((1, 16, 16), None, ())
    np.testing.assert_array_equal(images.images[0, 0], expected)


def test_grey_kept_as_colour_is_grey() -> None:
    grey = Image.fromarray(RAMP)
    for image in (grey.convert("RGB"), grey.convert("P"), grey.convert("RGBA")):
        np.testing.assert_array_equal(pixels(file(image)), RAMP[None])


def test_one_coloured_image_makes_all_three_channels() -> None:
    images = opened(file(Image.fromarray(RAMP)), file(Image.new("RGB", (16, 16), (9, 200, 30))))
    assert images.shape == (3, 16, 16)
    np.testing.assert_array_equal(images.images[0], np.stack([RAMP] * 3))
    assert images.images[1].flatten(1).unique(dim=1).flatten().tolist() == [9, 200, 30]


def test_a_palette() -> None:
    image = Image.new("RGB", (16, 16), (255, 0, 0))
    image.paste((0, 0, 255), (8, 0, 16, 16))
    expected = np.asarray(image).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(file(image.convert("P", palette=Image.Palette.ADAPTIVE))), expected)


def test_what_is_transparent_is_black() -> None:
    image = Image.new("RGBA", (16, 16), (255, 255, 255, 0))
    image.paste((200, 100, 50, 255), (0, 0, 8, 16))
    image.paste((200, 100, 50, 128), (0, 0, 4, 16))
    assert pixels(file(image))[:, 0, [0, 5, 12]].tolist() == [[100, 200, 0], [50, 100, 0], [25, 50, 0]]
    # In a PNG without an alpha channel, one colour may mean transparent.
    keyed = Image.fromarray(np.full((16, 16), 255, np.uint8))
    assert pixels(file(keyed, transparency=255)).max() == 0
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 255, 255, 255])
    assert pixels(file(palette, transparency=1)).max() == 0


def test_cmyk() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(pixels(file(red, "JPEG", quality=100))[:, 3, 3], [255, 0, 0], atol=3)


def test_a_photograph_held_sideways_is_turned() -> None:
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255, 255), (0, 0, 16, 4))  # a band on top
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the first row is the right side
    turned = pixels(file(image, "JPEG", quality=100, exif=exif))[0]
    np.testing.assert_allclose(turned, np.asarray(image.convert("L")).T[:, ::-1], atol=4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_frame(kind: str) -> None:
    frames = [Image.new("L", (16, 16), level) for level in (250, 0, 90)]
    data = file(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert Image.open(io.BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert np.unique(pixels(data)).tolist() == [250]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_kind_of_file(kind: str) -> None:
    best: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}
    np.testing.assert_allclose(pixels(file(Image.fromarray(RAMP), kind, **best.get(kind, {}))), RAMP[None], atol=2)


# ---- Sizes


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(28, 28)] * 2, 28),
        ([(64, 64)] * 2, 64),
        ([(65, 65)] * 2, 32),
        ([(28, 28), (29, 29)], 32),
        ([(300, 20), (20, 300)], 20),
        ([(1, 1)], 1),
        ([(10, 10), (500, 400)], 32),
    ],
)
def test_the_size_is_their_own_or_32(sizes: list[tuple[int, int]], side: int) -> None:
    assert opened(*(file(Image.new("L", size, 70)) for size in sizes)).shape == (1, side, side)


def test_an_asked_size_is_kept() -> None:
    assert opened(file(Image.new("L", (5, 9))), file(Image.new("L", (500, 9))), size=14).shape == (1, 14, 14)


@pytest.mark.parametrize(("width", "height", "left", "top"), [(20, 10, 5, 0), (10, 21, 0, 5)])
def test_the_middle_is_kept_exactly(width: int, height: int, left: int, top: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = array[top : top + 10, left : left + 10].transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(file(Image.fromarray(array))), expected)


def test_smaller_is_the_mean_of_the_area() -> None:
    array = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    blocks = array.reshape(16, 4, 16, 4).mean((1, 3))
    assert np.abs(pixels(file(Image.fromarray(array)), size=16)[0] - blocks).max() <= 1  # PIL rounds twice
    halves = ImageSet("own", torch.from_numpy(array)[None, None]).resized(16).images[0, 0]
    assert np.abs(pixels(file(Image.fromarray(array)), size=16)[0] - halves.numpy().astype(float)).max() <= 1


def test_larger_is_smooth() -> None:
    ramp = pixels(file(Image.fromarray(np.tile(np.arange(0, 80, 10, dtype=np.uint8), (8, 1)))), size=32)[0, 0]
    assert np.diff(ramp.astype(int)).min() >= 0
    assert np.diff(ramp.astype(int)).max() < 10


# ---- What is no image

GOOD = file(Image.fromarray(RAMP))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels, and ends there."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b""))]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
PNG, JPEG, WEBP, GIF = (file(NOISE, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))
DAMAGED, OTHER = "is damaged or cut short", "cannot be read as PNG"
LARGE = r"has more than 16 megapixels\. Make it smaller"
REFUSED = {
    "nothing": (b"", OTHER),
    "text": (b"a shopping list", OTHER),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>', OTHER),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", OTHER),  # PIL would start Ghostscript
    "TIFF": (file(NOISE, "TIFF"), OTHER),
    "PNG, its header cut": (PNG[:20], OTHER),
    "PNG, half": (PNG[: len(PNG) // 2], DAMAGED),
    "PNG, a byte changed": (PNG[:5000] + bytes([PNG[5000] ^ 255]) + PNG[5001:], DAMAGED),
    "JPEG, a byte missing": (JPEG[:-1], DAMAGED),
    "WEBP, half": (WEBP[: len(WEBP) // 2], OTHER),
    "GIF, half": (GIF[: len(GIF) // 2], DAMAGED),
    "PNG of 100 megapixels": (png_header(10_000, 10_000), LARGE),
    "PNG of a row too many": (png_header(4000, 4001), LARGE),
    "PNG of 400 megapixels": (png_header(20_000, 20_000), LARGE),  # PIL's own limit is 179
    "PNG of all pixels": (png_header(2**31 - 1, 2**31 - 1), LARGE),
    "PNG of no pixels": (png_header(0, 5), f"{OTHER}|{DAMAGED}"),
    "PNG that only promises": (png_header(4000, 4000), DAMAGED),
}


@pytest.mark.parametrize("what", list(REFUSED))
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_it_is_named_and_refused(what: str) -> None:
    data, message = REFUSED[what]
    with pytest.raises(ImageDataError, match=rf"^1\.png ({message})"):
        opened(file(NOISE), data)


def test_many_megapixels_together_are_refused_before_they_are_decoded() -> None:
    huge = file(Image.new("1", (2000, 2000)))
    rows = [(f"{n}.png", huge, None) for n in range(5)]
    with pytest.raises(ImageDataError, match=r"Up to 3\.png there are over 12 megapixels\. Make the images smaller"):
        to_set("test", rows, (), 8, max_pixels=12_000_000)
    assert len(to_set("test", rows[:3], (), 8, max_pixels=12_000_000)) == 3


def test_no_images_at_all() -> None:
    with pytest.raises(ImageDataError, match="no images in test"):
        opened()


def test_labels_are_kept_or_there_are_none() -> None:
    rows = [("a", GOOD, 1), ("b", GOOD, 0)]
    images = to_set("test", rows, ("cat", "dog"), None)
    assert images.labels is not None
    assert images.labels.dtype == torch.int64
    assert (images.labels.tolist(), images.classes) == ([1, 0], ("cat", "dog"))
    unknown = to_set("test", [("a", GOOD, -1), ("b", GOOD, -1)], ("cat", "dog"), None)
    assert (unknown.labels, unknown.classes) == (None, ())


def test_a_name_is_shown_without_tricks() -> None:
    with pytest.raises(ImageDataError) as caught:
        to_set("test", [("x" * 500 + "\n\x1b[31m\u202egnp.svg", b"", None)], (), None)
    assert str(caught.value).startswith("xxxxx")
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def damaged(make: Callable[[Image.Image], bytes]) -> st.SearchStrategy[bytes]:
    good = make(Image.fromarray(RAMP).convert("RGB"))
    flips = st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=4)

    def apply(changes: list[tuple[int, int]]) -> bytes:
        data = bytearray(good)
        for place, value in changes:
            data[place] = value
        return bytes(data)

    return flips.map(apply)


KINDS = [lambda image, kind=kind: file(image, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]


@given(st.one_of([st.binary(max_size=200), *map(damaged, KINDS)]))
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        images = opened(data)
    except ImageDataError:
        return
    assert images.shape[0] in (1, 3)
    assert images.shape[1] == images.shape[2] <= 64
