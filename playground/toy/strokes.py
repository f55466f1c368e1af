"""Drawn lines as point clouds: the dinosaur and the visitor's drawings."""

import math
from itertools import groupby

import torch
from torch import Generator, Tensor

CANVAS = 1.5  # the page draws [-1.5, 1.5]²
EDGE = 1e-5  # slack of every support: the points are rounded to float32


def unit_disc(n: int, generator: Generator) -> Tensor:
    """(n, 2) points uniform in the disc of radius 1."""
    rho, theta = torch.rand(n, generator=generator).sqrt(), 2 * math.pi * torch.rand(n, generator=generator)
    return torch.stack((rho * theta.cos(), rho * theta.sin()), dim=1)


def to_segments(strokes: list[list[tuple[float, float]]]) -> Tensor:
    """Ends (m, 2 ends, 2) float64 of all the strokes' segments; a lone vertex is a segment of length 0."""
    paths = [[vertex for vertex, _ in groupby(stroke)] for stroke in strokes]
    pairs = [pair for path in paths for pair in zip(path, path[1:] or path, strict=False)]
    return torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2, 2)


def clip(segments: Tensor) -> Tensor:
    """The parts (k, 2, 2) of the segments that lie in the canvas (Liang & Barsky 1984)."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]  # (m, 2)
    # Where each segment crosses the two lines of each axis. 0/0 is a segment on the line itself: it never crosses.
    low = torch.nan_to_num((-CANVAS - start) / along, nan=-math.inf)
    high = torch.nan_to_num((CANVAS - start) / along, nan=math.inf)
    enter = torch.minimum(low, high).amax(dim=1).clamp(min=0)  # (m,)
    leave = torch.maximum(low, high).amin(dim=1).clamp(max=1)
    ends = torch.stack((enter, leave), dim=1)[..., None]  # (m, 2, 1)
    return (start[:, None] + ends * along[:, None])[enter <= leave]


def brush(segments: Tensor, width: float, n: int, generator: Generator) -> Tensor:
    """(n, 2) points uniform along the segments' length, in a disc-shaped brush of diameter `width`."""
    length = (segments[:, 1] - segments[:, 0]).norm(dim=1)  # (m,)
    # A dot is a disc of diameter `width`; this weight gives it a line's mean density.
    weight = torch.where(length > 1e-6, length, math.pi * width / 4)
    ends = segments[torch.multinomial(weight, n, replacement=True, generator=generator)].float()
    on_line = torch.lerp(ends[:, 0], ends[:, 1], torch.rand(n, 1, generator=generator))
    return on_line + width / 2 * unit_disc(n, generator)


def near_segments(points: Tensor, segments: Tensor, radius: float) -> Tensor:
    """True (n,) where the point is within `radius` of a segment (m, 2, 2)."""
    start, along = segments[:, 0].float(), (segments[:, 1] - segments[:, 0]).float()  # (m, 2)
    dx, dy = along.T.contiguous()
    length2 = along.square().sum(dim=1).clamp(min=1e-12)
    near = []
    # (k, m) stays small enough for the cache, and too small for torch to start threads: ten times as fast on two
    # busy cores.
    for part in points.split(max(1, 30_000 // len(segments))):
        x, y = part[:, :1] - start[:, 0], part[:, 1:] - start[:, 1]
        t = ((x * dx + y * dy) / length2).clamp(0, 1)  # the nearest place along each segment
        near.append(torch.hypot(x - t * dx, y - t * dy).amin(dim=1) <= radius + EDGE)
    return torch.cat(near)
