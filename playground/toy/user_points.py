"""The visitor's own data: a drawing, a table, a file. None of it can be trusted."""

from collections.abc import Callable
from io import BytesIO
from itertools import chain
from pathlib import PurePath

import numpy as np
import torch
from numpy.lib import format as npy_format
from torch import Generator, Tensor

from playground.toy.data import MAX_POINTS, Cloud, DataError, check_count
from playground.toy.strokes import CANVAS, brush, clip, near_segments, to_segments

MAX_CLASSES = 16
MAX_STROKES = 200
MAX_VERTICES = 20_000
MAX_COORDINATE = 1e6  # at this size float64 still resolves 1e-9
MIN_EXTENT = 1e-5  # about a hundred float32 steps near 1

# ---- Drawings


def _checked_strokes(strokes: object) -> list[list[tuple[float, float]]]:
    # The strokes are untrusted JSON. NaN fails every comparison, and an int of any size can be compared.
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

    `strokes`: lists of [x, y] pairs; a single pair is a dot; what lies outside [-1.5, 1.5]² is cut off.
    The support is the brush's path. Raises DataError.
    """
    check_count(n, MAX_POINTS)
    segments = clip(to_segments(_checked_strokes(strokes)))
    if len(segments) == 0:
        raise DataError("There is nothing to learn from yet. Draw inside the square.")
    # Clamping only moves a point closer to the strokes, all of which are inside the canvas.
    points = brush(segments, width, n, Generator().manual_seed(seed)).clamp(-CANVAS, CANVAS)
    return Cloud("your drawing", points, None, (), lambda points: near_segments(points, segments, width / 2))


# ---- The visitor's own points


def cloud_from_points(array: object, name: str = "your own", max_points: int = 25_000) -> Cloud:
    """A cloud from anything that NumPy reads as (n, 2) real numbers. Raises DataError.

    Of more than `max_points`, that many are kept at random. Unless all lie within [-1.5, 1.5]², they are shifted and
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
    return _to_cloud(table.reshape(-1, 2), name, max_points, lambda row: f"row {row + 1}")


def _to_cloud(table: np.ndarray, name: str, max_points: int, place: Callable[[int], str]) -> Cloud:
    """A cloud from x, y and perhaps a label in columns. `place` describes to the visitor where a row is."""
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
    labels, classes = _to_labels(table[:, 2], keep, place) if table.shape[1] == 3 else (None, ())
    points = table[keep, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    half = (high - low).max() / 2
    if 2 * half < MIN_EXTENT:
        raise DataError("All points are the same, or nearly. Spread them out: to fill [-1, 1]² for example.")
    if np.abs(points).max() > CANVAS:
        points = (points - (low + high) / 2) / half
        note += f"Shifted and scaled by {1 / half:.3g} to fit [-1, 1]²."
    return Cloud(name, torch.from_numpy(points).float(), labels, classes, None, note.strip())


def _to_labels(column: np.ndarray, keep: np.ndarray, place: Callable[[int], str]) -> tuple[Tensor, tuple[str, ...]]:
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
        return _to_cloud(_read_npy(data), "your own", max_points, lambda row: f"row {row + 1}")
    if extension == ".csv":
        table, lines = _read_csv(data)
        return _to_cloud(table, "your own", max_points, lambda row: f"line {lines[row]}")
    raise DataError("Only .csv and .npy files can be read. Save the points as one of those.")


def _read_npy(data: bytes) -> np.ndarray:
    if not data.startswith(npy_format.MAGIC_PREFIX):
        raise DataError("This is not a NumPy file, though its name ends in .npy. Rename it to .csv if it is text.")
    file = BytesIO(data)
    try:
        # Version 3 is for structured types, which are refused anyway.
        headers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
        shape, _, dtype = headers[npy_format.read_magic(file)](file)
    except Exception as error:  # the header is a Python literal: a malicious one can fail in a dozen ways
        raise DataError("The NumPy file's header cannot be read. Save it again with numpy.save.") from error
    # Nothing is allocated and no pickle opened until the header is known to agree with the file's size.
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
        # A first line with letters and no number is the header; "0,5;1,5" is an error to report.
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
