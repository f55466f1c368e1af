"""From image files of any kind to an ImageSet: opened with care, cut to squares, brought to one size."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageOps

from playground.mnist.data import ImageDataError, ImageSet
from playground.settings import SETTINGS

MAX_SIDE, USUAL_SIDE = 64, 32  # images of one size up to 64 keep it; the others become 32×32, as CIFAR-10's are
# What PIL may open. Among its fifty formats are some that start other programs (EPS) or have no end of faults.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

Row = tuple[str, bytes, int | None]  # an image's name for messages, its file, its class


def to_set(
    name: str, rows: Iterable[Row], classes: tuple[str, ...], size: int | None, max_pixels: int | None = None
) -> ImageSet:
    """One channel where every image is grey, whatever its mode; else three."""
    cropped: list[np.ndarray] = []  # (side, side, 3) each
    labels: list[int] = []
    pixels = 0
    for file, data, label in rows:
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)  # the header only
        except Image.DecompressionBombError as error:
            raise _too_large(file) from error
        except Exception as error:  # a hostile header fails in any of a dozen ways
            kinds = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise ImageDataError(f"{shown(file)} cannot be read as {kinds}. Save it as PNG, or take it out.") from error
        if image.width * image.height > SETTINGS.max_image_pixels:
            raise _too_large(file)
        pixels += image.width * image.height
        if max_pixels is not None and pixels > max_pixels:
            most = f"{max_pixels // 1_000_000:,}"
            raise ImageDataError(f"Up to {shown(file)} there are over {most} megapixels. Make the images smaller.")
        try:
            cropped.append(_square(image, size))
        except Exception as error:  # so does what follows it
            raise ImageDataError(f"{shown(file)} is damaged or cut short. Save it again, or take it out.") from error
        if label is not None and label >= 0:  # -1: a split that keeps its labels to itself
            labels.append(label)
    if not cropped:
        raise ImageDataError(f"There are no images in {name}. Choose PNG or JPEG files, or a zip of them.")
    if len({len(array) for array in cropped}) > 1:
        cropped = [_square(Image.fromarray(array), USUAL_SIDE) for array in cropped]
    images = torch.from_numpy(np.stack(cropped)).permute(0, 3, 1, 2)  # (N, 3, H, W)
    if (images == images[:, :1]).all():
        images = images[:, :1]
    if len(labels) < len(cropped):
        return ImageSet(name, images.contiguous())
    return ImageSet(name, images.contiguous(), torch.tensor(labels), classes)


def _square(image: Image.Image, size: int | None) -> np.ndarray:
    """The middle of an image as RGB (side, side, 3) uint8; an animation's first frame."""
    ImageOps.exif_transpose(image, in_place=True)  # the camera was held sideways
    if image.mode.startswith("I;16"):  # PIL's own conversion cuts at 255 instead of scaling
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:  # over black, MNIST's background
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if size is None:
        size = side if side <= MAX_SIDE else USUAL_SIDE
    # the mean over each pixel's area, or a smooth interpolation
    how = Image.Resampling.BOX if size <= side else Image.Resampling.BICUBIC
    box = (left, top, left + side, top + side)
    return np.asarray(image.convert("RGB").resize((size, size), how, box=box))


def _too_large(file: str) -> ImageDataError:
    most = SETTINGS.max_image_pixels // 1_000_000
    return ImageDataError(
        f"{shown(file)} has more than {most} megapixels. Make it smaller: {MAX_SIDE}×{MAX_SIDE} is enough."
    )


def shown(name: str) -> str:
    """A stranger's file name, fit for a message."""
    return "".join(c for c in name[-60:] if c.isprintable()) or "The file"
