"""The toy data: 2-D point clouds on about [-1, 1]², each drawn from a rule."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from playground.refusal import Refusal
from playground.toy.strokes import EDGE, brush, near_segments, to_segments, unit_disc

MAX_POINTS = 100_000

Sample = tuple[Tensor, Tensor | None]
Support = Callable[[Tensor], Tensor]


class DataError(Refusal):
    """The visitor's data cannot be used. The message says what is wrong and what to do."""


@dataclass(frozen=True)
class Dataset:
    """A law in the plane. `sample(n, generator)` draws points (n, 2) float32 and labels (n,) int64 or None;
    `support(points)` is True (n,) where the law has mass (a Gaussian: within 3 standard deviations);
    `classes` names the labels, () where none is natural."""

    name: str
    title: str
    sample: Callable[[int, Generator], Sample]
    support: Support
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points (n, 2) float32 and labels (n,) int64 or None. `support` is None where the true one is unknown;
    `note` tells the visitor what was done to their data."""

    name: str
    points: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    support: Support | None
    note: str = ""


def make_cloud(name: str, n: int, seed: int, max_points: int = MAX_POINTS) -> Cloud:
    """n points of the data set `name`, the same ones for the same arguments. Raises DataError."""
    if name not in DATASETS:
        raise DataError(f"There is no data set of that name. Choose one of: {', '.join(DATASETS)}.")
    check_count(n, max_points)
    dataset = DATASETS[name]
    points, labels = dataset.sample(n, Generator().manual_seed(seed))
    return Cloud(name, points, labels, dataset.classes, dataset.support)


def check_count(n: int, max_points: int) -> None:
    """Raise DataError unless a cloud may have n points."""
    if not 2 <= n <= max_points:
        raise DataError(f"{n:,} points cannot be drawn. Choose a number from 2 to {max_points:,}.")


# ---- Draws and regions shared by the data sets


def _uniform(n: int, generator: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _integers(n: int, generator: Generator, count: int) -> Tensor:
    return torch.randint(count, (n,), generator=generator)


def _polar(rho: Tensor, theta: Tensor) -> Tensor:
    return torch.stack((rho * theta.cos(), rho * theta.sin()), dim=1)  # (n, 2)


def _angle(points: Tensor) -> Tensor:
    return torch.atan2(points[:, 1], points[:, 0]) % (2 * math.pi)  # (n,) in [0, 2π]


def _near_centres(points: Tensor, centres: Tensor, radius: float, p: float = 2.0) -> Tensor:
    # cdist's matrix-product shortcut loses half of float32's digits.
    gap = torch.cdist(points, centres, p=p, compute_mode="donot_use_mm_for_euclid_dist")  # (n, centres)
    return gap.amin(dim=1) <= radius + EDGE


def _on_spiral(points: Tensor, rho0: float, slope: float, width: float, first: float, last: float) -> Tensor:
    """True where ρ - ρ0 - slope·θ is in [0, width] for one of the point's angles θ in [first, last]."""
    rho, theta = points.norm(dim=1), _angle(points)
    on = torch.zeros(len(points), dtype=torch.bool)
    for turn in range(int(last // (2 * math.pi)) + 1):
        t = theta + 2 * math.pi * turn
        offset = rho - rho0 - slope * t
        on |= (t >= first - EDGE) & (t <= last + EDGE) & (offset >= -EDGE) & (offset <= width + EDGE)
    return on


# ---- The data sets: those of F. Fleuret's minidiffusion, then classics, then two drawings


def _spiral(n: int, generator: Generator) -> Sample:
    u = _uniform(n, generator)
    rho = 0.65 * u + 0.25 + _uniform(n, generator, 0, 0.15)
    return _polar(rho, 3 * math.pi * u), (3 * u).long().clamp(max=2)


def _spiral_support(points: Tensor) -> Tensor:
    return _on_spiral(points, 0.25, 0.65 / (3 * math.pi), 0.15, 0, 3 * math.pi)


_LINE = torch.linspace(-1, 1, 4)
_GRID = torch.cartesian_prod(_LINE.flip(0), _LINE).flip(1)  # (16, 2), row by row from the top


def _disc_grid(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 16)
    return _GRID[labels] + 0.1 * unit_disc(n, generator), labels


_RING = _polar(torch.full((8,), 0.8), 2 * math.pi / 8 * torch.arange(8))  # (8, 2)


def _gaussian_mixture(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 8)
    return _RING[labels] + 0.1 * torch.randn(n, 2, generator=generator), labels


def _two_discs(n: int, generator: Generator) -> Sample:
    q = _integers(n, generator, 2)
    return (0.3 + 0.2 * q[:, None]) * unit_disc(n, generator) + q[:, None] - 0.5, q


def _two_discs_support(points: Tensor) -> Tensor:
    return ((points + 0.5).norm(dim=1) <= 0.3 + EDGE) | ((points - 0.5).norm(dim=1) <= 0.5 + EDGE)


def _ramp(n: int, generator: Generator) -> Sample:
    x = torch.minimum(_uniform(n, generator), _uniform(n, generator))  # density 2(1 - x)
    return 2 * torch.stack((x, _uniform(n, generator)), dim=1) - 1, None


_MOON = torch.tensor([0.3, 0.15])  # minus the upper moon's centre; the lower is its image under x -> -x


def _two_moons(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 2)
    upper = _polar(_uniform(n, generator, 0.53, 0.67), _uniform(n, generator, 0, math.pi)) - _MOON
    return torch.where(labels[:, None] == 0, upper, -upper), labels


def _two_moons_support(points: Tensor) -> Tensor:
    moons = (points + _MOON, _MOON - points)
    upper, lower = (((m.norm(dim=1) - 0.6).abs() <= 0.07 + EDGE) & (m[:, 1] >= -EDGE) for m in moons)
    return upper | lower


_ROLL = 0.95 / (4.5 * math.pi)  # radius per radian: the outer end is at radius 0.95


def _swiss_roll(n: int, generator: Generator) -> Sample:
    theta = _uniform(n, generator, 1.5 * math.pi, 4.5 * math.pi)
    return _polar(_ROLL * theta + _uniform(n, generator, -0.03, 0.03), theta), None


def _swiss_roll_support(points: Tensor) -> Tensor:
    return _on_spiral(points, -0.03, _ROLL, 0.06, 1.5 * math.pi, 4.5 * math.pi)


_SQUARES = torch.tensor([(x, y) for x in range(4) for y in range(4) if (x + y) % 2 == 0]) / 2 - 0.75  # (8, 2)


def _checkerboard(n: int, generator: Generator) -> Sample:
    offset = 0.5 * torch.rand(n, 2, generator=generator) - 0.25
    return _SQUARES[_integers(n, generator, 8)] + offset, None


def _rings(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 3)
    rho = 0.3 * (labels + 1) + _uniform(n, generator, -0.04, 0.04)
    return _polar(rho, _uniform(n, generator, 0, 2 * math.pi)), labels


def _rings_support(points: Tensor) -> Tensor:
    rho = points.norm(dim=1)
    return (rho - 0.3 * (rho / 0.3).round().clamp(1, 3)).abs() <= 0.04 + EDGE


def _pinwheel(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 5)
    rho = _uniform(n, generator, 0.2, 0.95)
    theta = 2 * math.pi / 5 * labels + 1.5 * rho + _uniform(n, generator, -0.2, 0.2)
    return _polar(rho, theta), labels


def _pinwheel_support(points: Tensor) -> Tensor:
    rho, arm = points.norm(dim=1), 2 * math.pi / 5
    offset = (_angle(points) - 1.5 * rho + arm / 2) % arm - arm / 2  # angle from the nearest arm's middle
    return (offset.abs() <= 0.2 + EDGE) & (rho >= 0.2 - EDGE) & (rho <= 0.95 + EDGE)


def _heart_support(points: Tensor) -> Tensor:
    x, y = 1.2 * points[:, 0], 1.2 * points[:, 1] + 0.12
    return (x**2 + y**2 - 1) ** 3 <= x**2 * y**3


def _heart(n: int, generator: Generator) -> Sample:
    kept = torch.empty(0, 2)
    while len(kept) < n:  # rejection: the heart fills 64 % of the square
        points = 2 * torch.rand(2 * n, 2, generator=generator) - 1
        kept = torch.cat((kept, points[_heart_support(points)]))
    return kept[:n], None


# In hundredths, clockwise from the chin: neck, four legs and belly, tail, back, head.
_OUTLINE = """
 93,55  86,52  77,51  70,49  65,43  62,34  60,22  58,9  56,-4  52,-17  47,-28  45,-40  45,-55  46,-67
 44,-71  34,-71  32,-67  31,-50  29,-60  29,-76  26,-80  12,-80  9,-76  8,-60  6,-46  -3,-48  -12,-47
 -13,-58  -13,-67  -15,-71  -25,-71  -27,-67  -28,-52  -30,-62  -30,-76  -33,-80  -47,-80  -50,-76
 -51,-60  -53,-45  -58,-37  -66,-34  -75,-32  -84,-27  -91,-19  -96,-8  -98,5  -92,-4  -85,-11  -77,-14
 -68,-13  -59,-8  -50,0  -41,8  -30,15  -18,19  -5,20  8,18  19,20  27,27  33,37  37,49  40,62  45,73
 52,80  60,83  67,82  73,78  80,76  88,74  95,70  98,64  97,58  93,55
"""
_FACE = ("64,72 66,74 68,72 66,70 64,72", "92,60 85,58 79,59 75,63")  # an eye and a smile
_DINOSAUR = [
    [(float(x) / 100, float(y) / 100) for x, y in (vertex.split(",") for vertex in stroke.split())]
    for stroke in (_OUTLINE, *_FACE)
]
_DINOSAUR_SEGMENTS = to_segments(_DINOSAUR)


def _dinosaur(n: int, generator: Generator) -> Sample:
    return brush(_DINOSAUR_SEGMENTS, 0.03, n, generator), None


# ---- The table of data sets


def _names(pattern: str, count: int) -> tuple[str, ...]:
    return tuple(pattern.format(i + 1) for i in range(count))


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("spiral", "Spiral", _spiral, _spiral_support, ("first half turn", "second", "third")),
        Dataset(
            "disc_grid",
            "Disc grid",
            _disc_grid,
            lambda points: _near_centres(points, _GRID, 0.1),
            tuple(f"row {row}, column {column}" for row in range(1, 5) for column in range(1, 5)),
        ),
        Dataset(
            "gaussian_mixture",
            "Eight Gaussians",
            _gaussian_mixture,
            lambda points: _near_centres(points, _RING, 0.3),
            _names("Gaussian {}", 8),
        ),
        Dataset("two_discs", "Two discs", _two_discs, _two_discs_support, ("small disc", "large disc")),
        Dataset("ramp", "Ramp", _ramp, lambda points: points.abs().amax(dim=1) <= 1 + EDGE),
        Dataset("two_moons", "Two moons", _two_moons, _two_moons_support, ("upper moon", "lower moon")),
        Dataset("swiss_roll", "Swiss roll", _swiss_roll, _swiss_roll_support),
        Dataset(
            "checkerboard",
            "Checkerboard",
            _checkerboard,
            lambda points: _near_centres(points, _SQUARES, 0.25, p=math.inf),
        ),
        Dataset("rings", "Three rings", _rings, _rings_support, ("inner ring", "middle ring", "outer ring")),
        Dataset("pinwheel", "Pinwheel", _pinwheel, _pinwheel_support, _names("arm {}", 5)),
        Dataset("heart", "Heart", _heart, _heart_support),
        Dataset(
            "dinosaur",
            "Dinosaur",
            _dinosaur,
            lambda points: near_segments(points, _DINOSAUR_SEGMENTS, 0.015),
        ),
    )
}
