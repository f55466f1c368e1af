"""The toy data: 2-D point clouds on about [-1, 1]², drawn from a rule, read from a file or from a drawing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, groupby
from pathlib import PurePath

import numpy as np
import torch
from numpy.lib import format as npy_format
from torch import Generator, Tensor

MAX_POINTS = 100_000
MAX_CLASSES = 16
MAX_STROKES = 200
MAX_VERTICES = 20_000
MAX_COORDINATE = 1e6  # float64 still tells apart points 1e-9 away from each other there
MIN_EXTENT = 1e-5  # about a hundred float32 steps near 1
CANVAS = 1.5  # the page draws [-1.5, 1.5]²
EDGE = 1e-5  # slack of every support: the points are rounded to float32

Sample = tuple[Tensor, Tensor | None]
Support = Callable[[Tensor], Tensor]


class DataError(ValueError):
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
    _check_count(n, max_points)
    dataset = DATASETS[name]
    points, labels = dataset.sample(n, Generator().manual_seed(seed))
    return Cloud(name, points, labels, dataset.classes, dataset.support)


def _check_count(n: int, max_points: int) -> None:
    if not 2 <= n <= max_points:
        raise DataError(f"{n:,} points cannot be drawn. Choose a number from 2 to {max_points:,}.")


# ---- Draws and regions shared by the data sets


def _uniform(n: int, generator: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _integers(n: int, generator: Generator, count: int) -> Tensor:
    return torch.randint(count, (n,), generator=generator)


def _polar(rho: Tensor, theta: Tensor) -> Tensor:
    return torch.stack((rho * theta.cos(), rho * theta.sin()), dim=1)  # (n, 2)


def _unit_disc(n: int, generator: Generator) -> Tensor:
    return _polar(_uniform(n, generator).sqrt(), _uniform(n, generator, 0, 2 * math.pi))


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
    return _GRID[labels] + 0.1 * _unit_disc(n, generator), labels


_RING = _polar(torch.full((8,), 0.8), 2 * math.pi / 8 * torch.arange(8))  # (8, 2)


def _gaussian_mixture(n: int, generator: Generator) -> Sample:
    labels = _integers(n, generator, 8)
    return _RING[labels] + 0.1 * torch.randn(n, 2, generator=generator), labels


def _two_discs(n: int, generator: Generator) -> Sample:
    q = _integers(n, generator, 2)
    return (0.3 + 0.2 * q[:, None]) * _unit_disc(n, generator) + q[:, None] - 0.5, q


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


# ---- Strokes: the dinosaur's and the visitor's


def _segments(strokes: list[list[tuple[float, float]]]) -> Tensor:
    """Ends (m, 2 ends, 2) float64 of all the strokes' segments; a lone vertex is a segment of length 0."""
    paths = [[vertex for vertex, _ in groupby(stroke)] for stroke in strokes]
    pairs = [pair for path in paths for pair in zip(path, path[1:] or path, strict=False)]
    return torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2, 2)


def _clip(segments: Tensor) -> Tensor:
    """The parts (k, 2, 2) of the segments that lie in the canvas (Liang & Barsky 1984)."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]  # (m, 2)
    # Where along each segment the two lines of each axis are crossed. 0/0: it runs on the line, so never.
    low = torch.nan_to_num((-CANVAS - start) / along, nan=-math.inf)
    high = torch.nan_to_num((CANVAS - start) / along, nan=math.inf)
    enter = torch.minimum(low, high).amax(dim=1).clamp(min=0)  # (m,)
    leave = torch.maximum(low, high).amin(dim=1).clamp(max=1)
    ends = torch.stack((enter, leave), dim=1)[..., None]  # (m, 2, 1)
    return (start[:, None] + ends * along[:, None])[enter <= leave]


def _brush(segments: Tensor, width: float, n: int, generator: Generator) -> Tensor:
    length = (segments[:, 1] - segments[:, 0]).norm(dim=1)  # (m,)
    # A dot is a disc of diameter `width`; this weight gives it a line's mean density.
    weight = torch.where(length > 1e-6, length, math.pi * width / 4)
    ends = segments[torch.multinomial(weight, n, replacement=True, generator=generator)].float()
    on_line = torch.lerp(ends[:, 0], ends[:, 1], torch.rand(n, 1, generator=generator))
    return on_line + width / 2 * _unit_disc(n, generator)


def _near_segments(points: Tensor, segments: Tensor, radius: float) -> Tensor:
    """True (n,) where the point is within `radius` of a segment (m, 2, 2)."""
    start, along = segments[:, 0].float(), (segments[:, 1] - segments[:, 0]).float()  # (m, 2)
    dx, dy = along.T.contiguous()
    length2 = along.square().sum(dim=1).clamp(min=1e-12)
    near = []
    # (k, m) is kept small enough for the cache, and for torch not to start threads: ten times as fast
    # on two busy cores.
    for part in points.split(max(1, 30_000 // len(segments))):
        x, y = part[:, :1] - start[:, 0], part[:, 1:] - start[:, 1]
        t = ((x * dx + y * dy) / length2).clamp(0, 1)  # the nearest place along each segment
        near.append(torch.hypot(x - t * dx, y - t * dy).amin(dim=1) <= radius + EDGE)
    return torch.cat(near)


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
_DINOSAUR_SEGMENTS = _segments(_DINOSAUR)


def _dinosaur(n: int, generator: Generator) -> Sample:
    return _brush(_DINOSAUR_SEGMENTS, 0.03, n, generator), None


def _checked_strokes(strokes: object) -> list[list[tuple[float, float]]]:
    # The strokes are a stranger's JSON. NaN fails every comparison, and an int of any size can be compared.
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise DataError("A drawing is a list of strokes, each a list of [x, y] pairs. Clear it and draw again.")
    if len(strokes) > MAX_STROKES or sum(map(len, strokes)) > MAX_VERTICES:
        limits = f"{MAX_STROKES} strokes and {MAX_VERTICES:,} vertices"
        raise DataError(f"The drawing has more than {limits}. Clear it and draw a simpler one.")
    for vertex in chain.from_iterable(strokes):
        if (
            not isinstance(vertex, list | tuple)
            or len(vertex) != 2
            or not all(type(x) in (int, float) and abs(x) <= MAX_COORDINATE for x in vertex)
        ):
            raise DataError("The drawing has a vertex that is not a pair of numbers. Clear it and draw again.")
    return [[(float(x), float(y)) for x, y in stroke] for stroke in strokes]


def cloud_from_strokes(strokes: object, n: int = 5000, width: float = 0.06, seed: int = 0) -> Cloud:
    """n points uniform along the strokes' length, in a disc-shaped brush of diameter `width`.

    `strokes`: lists of [x, y] pairs; one pair alone is a dot; what is outside [-1.5, 1.5]² is cut off.
    The support is the brush's path. Raises DataError.
    """
    _check_count(n, MAX_POINTS)
    segments = _clip(_segments(_checked_strokes(strokes)))
    if len(segments) == 0:
        raise DataError("There is nothing to learn from yet. Draw inside the square.")
    # Clamping only moves a point closer to the strokes, all of which are inside the canvas.
    points = _brush(segments, width, n, Generator().manual_seed(seed)).clamp(-CANVAS, CANVAS)
    return Cloud("your drawing", points, None, (), lambda points: _near_segments(points, segments, width / 2))


# ---- The visitor's own points


def cloud_from_points(array: object, name: str = "your own", max_points: int = 25_000) -> Cloud:
    """A cloud from all that NumPy reads as (n, 2) real numbers. Raises DataError.

    More than `max_points` are thinned at random; unless all are within [-1.5, 1.5]², they are shifted and
    scaled to fit [-1, 1]². The note says what was done.
    """
    try:
        table = np.asarray(array)
    except (TypeError, ValueError):  # ragged lists
        raise DataError("The points are not a table of numbers. Give one x and one y for each point.") from None
    if table.dtype.kind not in "fiu":
        raise DataError("The points are not real numbers. Give one x and one y for each point.")
    if table.size and (table.ndim != 2 or table.shape[1] != 2):
        raise DataError(f"The points have shape {table.shape}. Give two columns, x and y: a shape of (n, 2).")
    return _own_cloud(table.reshape(-1, 2), name, max_points, lambda row: f"row {row + 1}")


def _own_cloud(table: np.ndarray, name: str, max_points: int, place: Callable[[int], str]) -> Cloud:
    """A cloud from x, y and perhaps a label in columns. `place` tells the visitor where to find a row."""
    if len(table) < 2:
        raise DataError(f"There {'is only 1 point' if len(table) else 'are no points'}. Give at least 2.")
    with np.errstate(over="ignore"):  # a longdouble beyond float64 becomes infinite, refused below
        table = table.astype(np.float64)
    bad = ~np.isfinite(table).all(axis=1)  # (n,)
    if bad.any():
        where = f"{bad.sum():,} of {len(table):,} rows, the first in {place(int(bad.argmax()))}"
        raise DataError(f"There are NaN or infinite numbers in {where}. Remove those rows.")
    far = (np.abs(table) > MAX_COORDINATE).any(axis=1)
    if far.any():
        where = place(int(far.argmax()))
        raise DataError(f"The numbers go beyond a million, first in {where}. Rescale them, to [-1, 1] for example.")
    note = ""
    if len(table) > max_points:
        note = f"Kept {max_points:,} of the {len(table):,} points, chosen at random. "
        keep = np.random.default_rng(0).choice(len(table), max_points, replace=False, shuffle=False)
        keep.sort()
    else:
        keep = np.arange(len(table))
    labels, classes = _own_labels(table[:, 2], keep, place) if table.shape[1] == 3 else (None, ())
    points = table[keep, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    half = (high - low).max() / 2
    if 2 * half < MIN_EXTENT:
        raise DataError("All points are the same, or nearly. Spread them out: to fill [-1, 1]² for example.")
    if np.abs(points).max() > CANVAS:
        points = (points - (low + high) / 2) / half
        note += f"Shifted and scaled by {1 / half:.3g} to fit [-1, 1]²."
    return Cloud(name, torch.from_numpy(points).float(), labels, classes, None, note.strip())


def _own_labels(column: np.ndarray, keep: np.ndarray, place: Callable[[int], str]) -> tuple[Tensor, tuple[str, ...]]:
    fraction = column % 1 != 0
    if fraction.any():
        where = place(int(fraction.argmax()))
        raise DataError(f"The class label in {where} is not an integer. Number the classes, or drop column 3.")
    values, labels = np.unique(column[keep], return_inverse=True)
    if len(values) > MAX_CLASSES:
        raise DataError(f"Column 3 has {len(values):,} class labels. Use at most {MAX_CLASSES}, or drop it.")
    return torch.from_numpy(labels).long(), tuple(str(int(value)) for value in values)


def read_points(data: bytes, filename: str, max_bytes: int = 2_000_000, max_points: int = 25_000) -> Cloud:
    """The points of an uploaded .csv (comma, semicolon, tab or spaces; at most one header row) or .npy file.
    Columns: x, y and perhaps an integer class label. Made to fit as in `cloud_from_points`. Raises DataError.
    """
    if len(data) > max_bytes:
        raise DataError(f"The file has {len(data):,} bytes, the limit is {max_bytes:,}. Upload fewer points.")
    extension = PurePath(filename).suffix.lower()
    if extension == ".npy":
        return _own_cloud(_read_npy(data), "your own", max_points, lambda row: f"row {row + 1}")
    if extension == ".csv":
        table, lines = _read_csv(data)
        return _own_cloud(table, "your own", max_points, lambda row: f"line {lines[row]}")
    raise DataError("Only .csv and .npy files can be read. Save the points as one of those.")


def _read_npy(data: bytes) -> np.ndarray:
    if not data.startswith(npy_format.MAGIC_PREFIX):
        raise DataError("This is not a NumPy file, though its name ends in .npy. Rename it to .csv if it is text.")
    file = BytesIO(data)
    try:
        # Version 3 is for structured types, which are refused anyway.
        headers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
        shape, _, dtype = headers[npy_format.read_magic(file)](file)
    except Exception as error:  # the header is a Python literal: a hostile one fails in any of a dozen ways
        raise DataError("The NumPy file's header cannot be read. Save it again with numpy.save.") from error
    # Nothing is allocated, and no pickle opened, before the header agrees with the bytes that are there.
    if dtype.kind not in "fiu":
        raise DataError(f"The NumPy file holds {dtype.name} values. Save an array of floats or integers.")
    if len(shape) != 2 or type(shape[0]) is not int or shape[1] not in (2, 3):  # NumPy lets True pass for 1
        raise DataError(f"The array has shape {shape!s:.40}. Save x, y and perhaps a class: (n, 2) or (n, 3).")
    held = (len(data) - file.tell()) / (shape[1] * dtype.itemsize)
    if shape[0] != held:
        what = f"its header promises {shape[0]!s:.20} points and {held:g} follow"
        raise DataError(f"The NumPy file is damaged or cut short: {what}. Save and upload it again.")
    return np.load(BytesIO(data), allow_pickle=False)


def _read_csv(data: bytes) -> tuple[np.ndarray, list[int]]:
    """The table (n, 2 or 3) and each row's line number in the file."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        advice = "Rename it to .npy" if data.startswith(npy_format.MAGIC_PREFIX) else "Save it as CSV in UTF-8"
        raise DataError(f"This is not a text file, though its name ends in .csv. {advice}.") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    first = lines[0][1].strip() if lines else ""
    delimiter = next((mark for mark in ";\t," if mark in first), None)  # None splits at any run of spaces
    rows: list[list[float | None]] = []
    numbers: list[int] = []
    for number, line in lines:
        row = [_number(cell) for cell in line.split(delimiter)]
        # A first line with letters and not one number is the header; "0,5;1,5" is a fault to report.
        if number == lines[0][0] and row == [None] * len(row) and any(map(str.isalpha, line)):
            continue
        if len(row) not in (2, 3) or (rows and len(row) != len(rows[0])):
            wanted = f"{len(rows[0])}, as above" if rows else "2 (x, y) or 3 (x, y, class)"
            raise DataError(f"Columns in line {number}: {len(row):,}. Give every line {wanted}.")
        if None in row:
            column = row.index(None) + 1
            raise DataError(f"Line {number}, column {column} is not a number. Write numbers like -0.25 or 1e-3.")
        rows.append(row)
        numbers.append(number)
    return np.array(rows, dtype=np.float64), numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


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
            lambda points: _near_segments(points, _DINOSAUR_SEGMENTS, 0.015),
        ),
    )
}
