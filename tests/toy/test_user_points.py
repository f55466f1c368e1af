"""The visitor's own points and files: what can be read is read as it is, and all else is refused in words."""

import io
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from playground.toy.data import DataError
from playground.toy.user_points import cloud_from_points, read_points


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


# ---- The visitor's own points


def test_points_near_the_square_are_kept_as_they_are() -> None:
    array = [[0.1, -1.5], [1.5, 0.3], [0.0, 0.0]]
    cloud = cloud_from_points(array)
    assert torch.equal(cloud.points, torch.tensor(array))
    assert (cloud.name, cloud.labels, cloud.classes, cloud.support, cloud.note) == (
        "your own",
        None,
        (),
        None,
        "",
    )


def test_other_points_are_fitted_with_their_aspect_kept() -> None:
    cloud = cloud_from_points(np.array([[100, 10], [300, 10], [200, 60]]), name="hers")
    assert cloud.points.tolist() == [[-1, -0.25], [1, -0.25], [0, 0.25]]
    assert cloud.points.dtype == torch.float32
    assert cloud.name == "hers"
    assert cloud.note == "Shifted and scaled by 0.01 to fit [-1, 1]²."


@given(
    arrays(np.float64, st.tuples(st.integers(2, 30), st.just(2)), elements=st.floats(-1e6, 1e6)).filter(
        lambda a: np.ptp(a, axis=0).max() > 1e-3
    )
)
def test_fitting_is_a_similarity(array: np.ndarray) -> None:
    points = cloud_from_points(array).points.double().numpy()
    if np.abs(array).max() <= 1.5:
        np.testing.assert_allclose(points, array, atol=1e-6)
        return
    assert np.ptp(points, axis=0).max() == pytest.approx(2, abs=1e-6)
    np.testing.assert_allclose(points.max(axis=0), -points.min(axis=0), atol=1e-6)
    scale = 2 / np.ptp(array, axis=0).max()
    np.testing.assert_allclose(points - points[0], scale * (array - array[0]), atol=1e-6)


def test_too_many_points_are_thinned_evenly_and_the_same_way_each_time() -> None:
    array = np.linspace(-1, 1, 20_000)[:, None] * [1, 1]
    cloud = cloud_from_points(array, max_points=2000)
    assert cloud.points.shape == (2000, 2)
    assert "2,000 of the 20,000" in cloud.note
    kept = cloud.points[:, 0].double().numpy()
    assert len(np.unique(kept)) == 2000
    assert np.abs(np.sort(kept) - np.linspace(-1, 1, 2000)).max() < 2 * 2.2 / math.sqrt(2000)
    assert torch.equal(cloud.points, cloud_from_points(array, max_points=2000).points)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([], "no points"),
        (np.zeros((0, 2)), "no points"),
        ([[1.0, 2.0]], "only 1 point"),
        ([1.0, 2.0, 3.0], r"shape \(3,\)"),
        (np.zeros((4, 3)), r"shape \(4, 3\)"),
        (np.zeros((4, 2, 2)), r"shape \(4, 2, 2\)"),
        (3.0, r"shape \(\)"),
        ([[1, 2], [3]], "not a table"),
        ([["a", "b"], ["c", "d"]], "not real numbers"),
        ([[1j, 0], [0, 1]], "not real numbers"),
        ([[10**400, 0], [0, 1]], "not real numbers"),
        (None, "not real numbers"),
        ([[0, 0], [math.nan, 1], [1, 1], [2, -math.inf]], "2 of 4 rows, the first in row 2"),
        ([[0, 0], [1, 1], [0, 1.1e6]], "beyond a million, first in row 3.*Rescale"),
        ([[0, 0], [-1e300, 0]], "beyond a million, first in row 2"),
        (np.full((9, 2), 0.3), "same, or nearly"),
        (np.full((9, 2), 700.0), "same, or nearly"),
        ([[1, 1], [1, 1 + 1e-7]], "same, or nearly"),
    ],
)
def test_faulty_points_are_refused(array: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cloud_from_points(array)


# ---- Files

tables = arrays(
    np.float32,
    st.tuples(st.integers(2, 20), st.just(2)),
    elements=st.floats(-1.5, 1.5, width=32),
).filter(lambda a: np.ptp(a, axis=0).max() > 1e-3)


@given(
    tables,
    st.sampled_from([",", ";", "\t", " ", "   ", ", ", " ;\t"]),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n  \n"]),
    st.booleans(),
    st.booleans(),
)
def test_csv_round_trip(table: np.ndarray, mark: str, newline: str, header: bool, bom: bool) -> None:
    lines = ["x" + mark + "y"] * header + [f"{x!r}{mark}{y!r}" for x, y in table.tolist()]
    cloud = read_points(newline.join(lines).encode("utf-8-sig" if bom else "utf-8"), "Mine.CSV")
    np.testing.assert_array_equal(cloud.points.numpy(), table)
    assert (cloud.labels, cloud.classes, cloud.support, cloud.note) == (None, (), None, "")


@given(tables, st.sampled_from(["<f4", ">f4", "<f8", ">f8"]), st.booleans(), st.sampled_from([(1, 0), (2, 0)]))
def test_npy_round_trip(table: np.ndarray, dtype: str, fortran: bool, version: tuple[int, int]) -> None:
    array = np.asarray(table, dtype=dtype, order="F" if fortran else "C")
    cloud = read_points(npy(array, version), "points.npy")
    np.testing.assert_array_equal(cloud.points.numpy(), table)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "u8", "f2", np.longdouble])
def test_npy_of_other_real_types(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]], dtype=dtype)
    assert read_points(npy(array), "a.npy").points.tolist() == [[0, 1], [1, 0], [1, 1]]


def test_a_third_column_is_the_class() -> None:
    csv = read_points(b"x,y,kind\n0,0,7\n\n1,0,-2\n0,1,7.0\n1,1,30\n", "a.csv")
    array = read_points(npy(np.array([[0, 0, 7], [1, 0, -2], [0, 1, 7], [1, 1, 30]])), "a.npy")
    for cloud in (csv, array):
        assert cloud.points.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
        assert cloud.labels is not None
        assert cloud.labels.dtype == torch.int64
        assert cloud.labels.tolist() == [1, 0, 1, 2]
        assert cloud.classes == ("-2", "7", "30")


def test_labels_follow_their_points_when_thinned() -> None:
    x = np.linspace(-1, 1, 1000)
    cloud = read_points(npy(np.stack((x, 0 * x, np.where(x > 0, 5, 4)), axis=1)), "a.npy", max_points=100)
    assert cloud.labels is not None
    assert len(cloud.points) == 100
    assert torch.equal(cloud.labels, (cloud.points[:, 0] > 0).long())


def test_the_number_of_classes_is_limited() -> None:
    def lines(count: int) -> bytes:
        return "\n".join(f"0.{k},0,{k}" for k in range(count)).encode()

    assert len(read_points(lines(16), "a.csv").classes) == 16
    with pytest.raises(DataError, match=r"17 class labels\. Use at most 16"):
        read_points(lines(17), "a.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no points"),
        (b"\n \n", "no points"),
        (b"x,y\n", "no points"),
        (b"x,y\n1,2\n", "only 1 point"),
        (b"x,y\n\n1,2\n3,oops\n", "Line 4, column 2 is not a number"),
        (b"1,2\nx,y\n", "Line 2, column 1 is not a number"),
        (b"1,y\n1,2\n", "Line 1, column 2 is not a number"),
        (b"x,y\nx,y\n1,2\n3,4\n", "Line 2, column 1"),
        (b"1,5;2,5\n1;2\n", "Line 1, column 1"),
        (b"1,2\n3,\n", "Line 2, column 2"),
        (b"1\n2\n", "Columns in line 1: 1"),
        (b"1,2,3,4\n", "Columns in line 1: 4"),
        (b"1,2\n\n1,2,3\n", "Columns in line 3: 3. Give every line 2, as above"),
        (b"1 2\n1,2\n", "Columns in line 2: 1"),
        (b"x,y\n0,0\n\n1,nan\ninf,1\n", "2 of 3 rows, the first in line 4"),
        (b"0,0\n\n1,2e6\n", "beyond a million, first in line 3"),
        (b"0,0,1\n\n1,1,0.5\n", "class label in line 3 is not an integer"),
        (b"0,0\n0,0\n", "same, or nearly"),
        (b"1,2\n3,\xff\n", "not a text file"),
        (npy(np.zeros((2, 2))), "Rename it to .npy"),
        (b"1\x00,2\n3,4\n", "Line 1, column 1"),
    ],
)
def test_faulty_csv_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_points(text, "a.csv")


GOOD = npy(np.eye(2))
DESCR = "{{'descr': {!r}, 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a NumPy file"),
        (b"1,2\n3,4\n", "not a NumPy file.*Rename it to .csv"),
        (pickle.dumps([[1, 2], [3, 4]]), "not a NumPy file"),
        (GOOD[:7], "header cannot be read"),
        (GOOD[:40], "header cannot be read"),
        (GOOD[:-1], r"promises 2 points and 1\.9375 follow"),
        (GOOD + b"\0", r"promises 2 points and 2\.0625 follow"),
        (GOOD[:6] + b"\x03\x00" + GOOD[8:], "header cannot be read"),
        (GOOD[:6] + b"\x09\x00" + GOOD[8:], "header cannot be read"),
        (npy_header("__import__('os').abort()"), "header cannot be read"),
        (npy_header("(" * 9000), "header cannot be read"),
        (npy_header("-" * 9000 + "1"), "header cannot be read"),
        (npy_header(" " * 20_000), "header cannot be read"),
        (npy_header("{[]: 1}"), "header cannot be read"),
        (npy_header("'''"), "header cannot be read"),
        (npy_header(DESCR.format("<f8", (10**7, 2))), "promises 10000000 points and 0 follow"),
        (npy_header(DESCR.format("<f8", (10**12, 2))), "promises 1000000000000 points and 0 follow"),
        (npy_header(DESCR.format("<f8", (10**4299, 2))), "damaged or cut short"),
        (npy_header(DESCR.format("<f8", (1,) * 3000)), r"shape \(1, 1, 1, .{0,40}\. Save"),
        (npy_header(DESCR.format("<f8", (-1, 2))) + b"\0" * 16, "damaged or cut short"),
        (npy_header(DESCR.format("<f8", (True, 2))) + b"\1" * 16, r"shape \(True, 2\)"),
        (npy_header(DESCR.format("|O", (2, 2))) + pickle.dumps(1), "holds object values"),
        (npy_header(DESCR.format("|O", (10**12, 2))), "holds object values"),
        (npy_header(DESCR.format(("<f8", (10**6,)), (2, 2))), "holds void.* values"),
        (npy(np.zeros((3, 2), complex)), "holds complex128 values"),
        (npy(np.full((3, 2), "abc")), "holds str.* values"),
        (npy(np.zeros((3, 2), bool)), "holds bool values"),
        (npy(np.zeros((3, 2), "M8[s]")), "holds datetime"),
        (npy(np.zeros(3, "f8,f8")), "holds .* values"),
        (npy(np.zeros((0, 2))), "no points"),
        (npy(np.zeros((1, 2))), "only 1 point"),
        (npy(np.zeros(4)), r"shape \(4,\)"),
        (npy(np.zeros((2, 4))), r"shape \(2, 4\)"),
        (npy(np.zeros((2, 2, 2))), r"shape \(2, 2, 2\)"),
        (npy(np.array([[0, 1], [np.nan, 1]])), "1 of 2 rows, the first in row 2"),
        (npy(np.array([[0, 0], [np.longdouble("1e4000"), 1]])), "1 of 2 rows"),
        (npy(np.array([[0, 1, 1], [1, 1, 0.5]])), "class label in row 2"),
    ],
)
def test_faulty_npy_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_points(content, "a.npy")


class Bomb:
    """Unpickling one would raise ZeroDivisionError, which no test here expects."""

    def __reduce__(self) -> tuple[object, tuple[int, int]]:
        return divmod, (1, 0)


def test_no_pickle_is_opened() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[Bomb(), Bomb()]] * 2))
    with pytest.raises(DataError, match="object"):
        read_points(file.getvalue(), "a.npy")


@given(st.integers(6, len(GOOD) - 1), st.integers(0, 255))
def test_a_damaged_npy_is_read_or_refused(place: int, value: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] = value
    try:
        points = read_points(bytes(damaged), "a.npy").points
    except DataError:
        return
    assert points.shape == (2, 2)
    assert points.isfinite().all()


@given(st.binary(max_size=60) | st.text("0123456789.,;e-+ \t\nxna_", max_size=60).map(str.encode))
def test_any_text_is_read_or_refused(content: bytes) -> None:
    try:
        points = read_points(content, "a.csv").points
    except DataError:
        return
    assert points.isfinite().all()
    assert points.abs().max() <= 1.5


@pytest.mark.parametrize("filename", ["a.txt", "a.npz", "a.pkl", "a", "", ".npy", "a.csv.exe", "a.csv/x"])
def test_other_names_are_refused(filename: str) -> None:
    with pytest.raises(DataError, match=r"Only \.csv and \.npy"):
        read_points(GOOD, filename)


def test_a_big_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(DataError, match="2,000,001 bytes, the limit is 2,000,000"):
        read_points(b"?" * 2_000_001, "a.exe")
    with pytest.raises(DataError, match="the limit is 7"):
        read_points(b"1,2\n3,4\n", "a.csv", max_bytes=7)
    assert len(read_points(b"1,2\n3,4\n", "a.csv", max_bytes=8).points) == 2
