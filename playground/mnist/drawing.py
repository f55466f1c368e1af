"""What a visitor draws in the browser: a digit, made to look like MNIST's, and a mask of the part to repaint."""

from __future__ import annotations

import base64
import binascii

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from playground.mnist.data import ImageDataError, to_unit

CANVAS = 112  # a drawing comes as 112×112 greys: four canvas pixels for each of a digit's, to be averaged
SIDE = 28
BOX = 20  # MNIST's digits fit in 20×20 (LeCun et al. 1998, §III.A)
INK = 32  # of 255: fainter is the soft rim of a stroke, and does not count as its extent


def digit_from_pixels(data: object) -> Tensor:
    """A drawing as a digit of MNIST: (1, 28, 28) float32 in [-1, 1].

    `data`: base64 (str or bytes) of 112·112 uint8, row by row, 0 paper … 255 ink. Raises ImageDataError, also where
    nothing is drawn.
    """
    return to_unit(normalised(_pixels(data, CANVAS, "drawing")))[None]


def mask_from_pixels(data: object) -> Tensor:
    """Where the visitor painted, to be made anew: (1, 28, 28) bool, True for a pixel half of which is covered.

    `data`: base64 (str or bytes) of 112·112 uint8, row by row, 255 where painted. Raises ImageDataError, also for
    a mask of nothing or of everything.
    """
    fine = _pixels(data, CANVAS, "mask").float()
    mask = F.avg_pool2d(fine[None], CANVAS // SIDE)[0] > 127
    if not mask.any():
        raise ImageDataError("The mask covers nothing: all would stay as it is. Paint over the part to be made anew.")
    if mask.all():
        raise ImageDataError(
            "The mask covers everything: nothing would stay. Leave a part unpainted, or sample afresh."
        )
    return mask[None]


def normalised(ink: Tensor) -> Tensor:
    """Ink (H, W) uint8 as MNIST was made: (28, 28) uint8. Raises ImageDataError where there is none.

    Cut to its extent, scaled to 20 pixels on the longer side, its centre of mass put at (14, 14) to the nearest pixel
    (LeCun et al. 1998, §III.A). MNIST's own digits come back as they are.
    """
    grey = ink.numpy()
    rows, columns = (np.flatnonzero((grey >= INK).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ImageDataError("Nothing is drawn yet. Draw a digit first.")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    scale = BOX / max(bottom - top, right - left)
    height, width = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
    image = Image.fromarray(grey.astype(np.float32))  # no rounding yet: on a large canvas a dot averages to less than 1
    digit = np.asarray(image.resize((width, height), Image.Resampling.BOX, box=(left, top, right, bottom)))
    digit = (digit * (255 / digit.max())).round()  # averaging greys a thin stroke; MNIST's reach full ink
    out = np.zeros((SIDE, SIDE), np.uint8)
    y, x = (_start(digit.sum(axis)) for axis in (1, 0))
    out[y : y + height, x : x + width] = digit
    return torch.from_numpy(out)


def _start(mass: np.ndarray) -> int:
    """Where a row of pixels of this mass begins, so that its centre lies in [13.5, 14.5) and no pixel is lost."""
    centre = (mass * np.arange(len(mass))).sum() / mass.sum()
    return int(np.clip(np.floor(SIDE / 2 + 0.5 - centre), 0, SIDE - len(mass)))


def _pixels(data: object, side: int, what: str) -> Tensor:
    """(side, side) uint8 of base64 text, which a stranger sent."""
    wrong = ImageDataError(f"The {what} did not arrive as {side}×{side} pixels. Clear it and draw again.")
    if not isinstance(data, str | bytes) or len(data) != 4 * -(-side * side // 3):  # its length first: that is cheap
        raise wrong
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: text beyond ASCII
        raise wrong from error
    if len(raw) != side * side:
        raise wrong
    return torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(side, side).copy())
