"""Taking a run home: a filmstrip, an animation, or the numbers."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from playground.diffusion.sampling import SamplePath
from playground.mnist.data import to_bytes

STRIP_STATES = 10
STRIP_ROWS = 8
GIF_FRAMES = 60
GIF_SECONDS = 4.0
HELD_SECONDS = 2.0  # on the finished images, before the animation begins again
GAP = 2  # pixels between two images
SCALE = 3  # one pixel of a digit becomes 3 × 3: 28 pixels are a stamp on today's screens


def sheet(images: Tensor, columns: int, scale: int = SCALE, gap: int = GAP) -> Image.Image:
    """Images (N, C, H, W) in [-1, 1], row by row on a grey background; `gap`: pixels between two, before scaling."""
    n, c, h, w = images.shape
    rows = math.ceil(n / columns)
    canvas = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), 96, dtype=torch.uint8)
    for k, image in enumerate(to_bytes(images)):
        y, x = k // columns * (h + gap), k % columns * (w + gap)
        canvas[:, y : y + h, x : x + w] = image
    pixels = canvas.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if c == 1 else pixels)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _evenly(path: SamplePath, n: int) -> Tensor:
    """Indices of at most `n` states, the first and the last among them."""
    return torch.linspace(0, len(path.t) - 1, min(n, len(path.t))).round().long()


def filmstrip(path: SamplePath) -> bytes:
    """A PNG: two rows an image, x_t over x̂_0, time to the right."""
    shown = _evenly(path, STRIP_STATES)
    both = torch.stack([path.x[shown, :STRIP_ROWS], path.x0[shown, :STRIP_ROWS]])  # (2, states, rows, C, H, W)
    out = io.BytesIO()
    sheet(both.permute(2, 0, 1, 3, 4, 5).flatten(0, 2).float(), len(shown)).save(out, "PNG")
    return out.getvalue()


def animation(path: SamplePath) -> bytes:
    """A GIF of x_t from noise to the images, which are held at the end; it repeats."""
    shown = path.x[_evenly(path, GIF_FRAMES)].float()
    columns = math.ceil(math.sqrt(shown.shape[1]))
    frames = [sheet(x, columns).convert("P") for x in shown]
    each = round(1000 * GIF_SECONDS / len(frames))
    out = io.BytesIO()
    durations = [each] * (len(frames) - 1) + [round(1000 * HELD_SECONDS)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    return out.getvalue()


def arrays(path: SamplePath) -> bytes:
    """An NPZ: x, x0, eps (K+1, N, C, H, W) float16, t, alpha, sigma (K+1,), labels (N,; empty for none), seed."""
    out = io.BytesIO()
    np.savez_compressed(
        out,
        x=path.x.half().numpy(),
        x0=path.x0.half().numpy(),
        eps=path.eps.half().numpy(),
        t=path.t.numpy(),
        alpha=path.alpha.numpy(),
        sigma=path.sigma.numpy(),
        labels=np.array([], np.int64) if path.labels is None else path.labels.numpy(),
        seed=np.array(path.seed, np.int64),
    )
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """Several files, by name, as one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
