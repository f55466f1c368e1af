import io
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from playground.toy import data
from playground.toy.data import (
    DATASETS,
    DataError,
    cloud_from_points,
    cloud_from_strokes,
    make_cloud,
    read_points,
)

N = 100_000
EVERY = pytest.mark.parametrize("name", list(DATASETS))


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


# ---- The data sets


@EVERY
def test_shapes_types_and_labels(name: str) -> None:
    cloud = make_cloud(name, 5000, seed=0)
    assert cloud.points.shape == (5000, 2)
    assert cloud.points.dtype == torch.float32
    assert cloud.points.isfinite().all()
    assert cloud.points.abs().max() < 1.5
    assert cloud.points.amax(dim=0).min() > 0.5, "fills about [-1, 1]²"
    assert cloud.points.amin(dim=0).max() < -0.45, "fills about [-1, 1]²"
    if cloud.classes:
        assert cloud.labels is not None
        assert cloud.labels.shape == (5000,)
        assert cloud.labels.dtype == torch.int64
        assert sorted(set(cloud.labels.tolist())) == list(range(len(cloud.classes)))
        assert len(set(cloud.classes)) == len(cloud.classes)
    else:
        assert cloud.labels is None


@EVERY
def test_points_are_on_their_support(name: str) -> None:
    cloud = make_cloud(name, N, seed=1)
    assert cloud.support is not None
    on = cloud.support(cloud.points)
    assert on.shape == (N,)
    assert on.dtype == torch.bool
    # In 2-D, P(|x - mean| <= 3 std) = 1 - exp(-9/2); a point may also lie within 3 std of a neighbour's mean.
    expected = 1 - math.exp(-4.5) if name == "gaussian_mixture" else 1.0
    assert on.double().mean() >= expected - 4 * math.sqrt(expected * (1 - expected) / N)


@EVERY
def test_points_far_away_are_off_the_support(name: str) -> None:
    support = DATASETS[name].support
    theta = torch.linspace(0, 6.3, 500)
    assert not support(2 * torch.stack((theta.cos(), theta.sin()), dim=1)).any()


# Worked out by hand: holes, gaps between arms, and the places just outside an edge.
OFF = {
    "spiral": [(0, 0), (0.2, 0), (0.45, 0), (-0.45, 0), (-0.63, 0), (0, 0.6), (0.24, -0.01), (-0.95, -0.01)],
    "disc_grid": [(0, 0), (1, 0.89), (1 / 3 + 0.08, 1 / 3 + 0.08), (-1.11, 1)],
    "gaussian_mixture": [(0, 0), (0.49, 0), (1.11, 0), (0, 0.45)],
    "two_discs": [(0, 0), (-0.5, -0.19), (-0.8, -0.8), (0.5, -0.01), (0.9, 0.9), (-0.5, 0.5)],
    "ramp": [(1.01, 0), (-1.01, 0), (0, 1.01), (0, -1.01)],
    "two_moons": [(-0.9, -0.16), (-0.3, -0.15), (0.9, 0.16), (0.3, 0.15), (-0.3, 0.53), (0, 0)],
    "swiss_roll": [(0, 0), (0.01, -0.35), (0, -0.5), (-0.01, 0.95), (0, 0.99), (0.3, 0.3)],
    "checkerboard": [(-0.75, -0.24), (-0.25, -0.75), (0.02, -0.02), (0.75, -0.75), (1.01, 0.75)],
    "rings": [(0, 0), (0.25, 0), (0, 0.45), (-0.55, 0), (0, -0.75), (0.95, 0)],
    "pinwheel": [(0, 0), (0.19, 0), (0.5, 0), (0.8935, -0.1077), (0, 0.9)],
    "heart": [(0, 0.8), (0.9, 0.9), (0.9, -0.6), (0, -0.97), (-0.7, -0.5)],
    "dinosaur": [(0.1, -0.1), (-0.3, 0.5), (0.66, 0.6), (0, -0.6), (0.9, 0)],
}


@EVERY
def test_points_beside_the_shape_are_off_the_support(name: str) -> None:
    off = torch.tensor(OFF[name])
    assert DATASETS[name].support(off).tolist() == [False] * len(off)


@EVERY
def test_the_support_is_no_larger_than_the_cloud(name: str) -> None:
    # A support that is too generous has places with no point of a dense cloud nearby.
    cloud = make_cloud(name, N, seed=2)
    places = 2.6 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(3)) - 1.3
    inside = places[DATASETS[name].support(places)]
    if name == "ramp":
        inside = inside[inside[:, 0] < 0.8]  # the density falls to 0 at x = 1
    assert len(inside) > 10
    assert torch.cdist(inside, cloud.points).amin(dim=1).max() < 0.05


@EVERY
def test_the_seed_decides_the_cloud(name: str) -> None:
    first, again, other = (make_cloud(name, 100, seed) for seed in (7, 7, 8))
    assert torch.equal(first.points, again.points)
    if first.labels is not None and again.labels is not None:
        assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.points, other.points)


def test_spiral_is_minidiffusions() -> None:
    points, labels = DATASETS["spiral"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    x, y = points.double().T.numpy()
    rho, angle = np.hypot(x, y), np.arctan2(y, x) % (2 * np.pi)
    # The arm passes each angle at most twice, 0.433 apart in ρ and 0.15 wide: ρ tells which turn it is.
    turns = angle[:, None] + 2 * np.pi * np.arange(2)  # (n, 2)
    rest = rho[:, None] - 0.25 - 0.65 * turns / (3 * np.pi)
    fits = (rest > -1e-5) & (rest < 0.15 + 1e-5) & (turns < 3 * np.pi + 1e-5)
    assert (fits.sum(axis=1) == 1).all()
    u, v = turns[fits] / (3 * np.pi), rest[fits] / 0.15
    for uniform in (u, v):  # on [0, 1]: Kolmogorov-Smirnov at about the 1e-4 level
        assert np.abs(np.sort(uniform) - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N)
    assert abs(np.corrcoef(u, v)[0, 1]) < 4 / math.sqrt(N)
    inner = np.abs(u * 3 % 1 - 0.5) < 0.499  # away from the borders between half turns
    assert (labels.numpy()[inner] == np.floor(3 * u[inner])).all()


def test_disc_grid_is_minidiffusions() -> None:
    points, labels = DATASETS["disc_grid"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    xy = points.double().numpy()
    cell = np.clip(np.round((xy + 1) * 1.5), 0, 3)  # column and row, from the lower left
    offset = xy - (cell / 1.5 - 1)
    radius2 = (offset**2).sum(axis=1) / 0.01
    assert radius2.max() <= 1 + 1e-4
    assert np.abs(np.sort(radius2) - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N), "uniform in area"
    assert (labels.numpy() == 4 * (3 - cell[:, 1]) + cell[:, 0]).all()
    assert DATASETS["disc_grid"].classes[int(labels[xy.sum(axis=1).argmax()])] == "row 1, column 4"
    counts = np.bincount(labels.numpy(), minlength=16)
    assert ((counts - N / 16) ** 2 / (N / 16)).sum() < 44, "chi-squared, 15 degrees of freedom, level 1e-4"


def test_two_discs_and_ramp_are_minidiffusions() -> None:
    points, q = DATASETS["two_discs"].sample(N, torch.Generator().manual_seed(0))
    assert q is not None
    radius = (points + 0.5 - q[:, None]).norm(dim=1) / (0.3 + 0.2 * q)
    assert radius.max() <= 1 + 1e-5
    assert (radius**2).mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * N))
    assert q.double().mean() == pytest.approx(0.5, abs=4 / math.sqrt(4 * N))
    ramp, _ = DATASETS["ramp"].sample(N, torch.Generator().manual_seed(0))
    x, y = ((ramp + 1) / 2).double().T.numpy()
    rank = (np.arange(N) + 0.5) / N
    assert np.abs(np.sort(x) - (1 - np.sqrt(1 - rank))).max() < 0.02, "P(min(U, U') <= x) = 1 - (1 - x)²"
    assert np.abs(np.sort(y) - rank).max() < 2.2 / math.sqrt(N)


def test_gaussian_mixture_has_its_moments() -> None:
    points, labels = DATASETS["gaussian_mixture"].sample(N, torch.Generator().manual_seed(0))
    assert labels is not None
    for k in range(8):
        mine = points[labels == k].double()
        angle = 2 * math.pi * k / 8
        mean = torch.tensor([0.8 * math.cos(angle), 0.8 * math.sin(angle)], dtype=torch.float64)
        assert len(mine) == pytest.approx(N / 8, abs=4 * math.sqrt(N * 7 / 64))
        assert (mine.mean(dim=0) - mean).abs().max() < 5 * 0.1 / math.sqrt(len(mine))
        assert (mine.T.cov() - 0.01 * torch.eye(2)).abs().max() < 5 * 0.01 * math.sqrt(2 / len(mine))


@pytest.mark.parametrize("name", ["two_moons", "rings", "pinwheel"])
def test_classes_are_apart(name: str) -> None:
    cloud = make_cloud(name, 4000, seed=0)
    assert cloud.labels is not None
    different = cloud.labels[:, None] != cloud.labels
    assert torch.cdist(cloud.points, cloud.points)[different].min() > 0.03


def test_make_cloud_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(DataError, match=r"spiral.*dinosaur"):
        make_cloud("nessie", 100, 0)
    for n in (-1, 0, 1, 100_001):
        with pytest.raises(DataError, match="from 2 to 100,000"):
            make_cloud("spiral", n, 0)
    with pytest.raises(DataError, match="from 2 to 10"):
        make_cloud("spiral", 11, 0, max_points=10)
    assert len(make_cloud("spiral", 2, 0).points) == 2


# ---- Points of one's own


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


# ---- Drawings


def distance(points: np.ndarray, a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
    """From each point (n, 2) to the segment ab, in float64, from the angle at each end."""
    start, end = np.array(a), np.array(b)
    to_a, to_b = np.linalg.norm(points - start, axis=1), np.linalg.norm(points - end, axis=1)
    if a == b:
        return to_a
    along = end - start
    across = np.abs((points - start) @ np.array([-along[1], along[0]])) / np.linalg.norm(along)
    beside = ((points - start) @ along >= 0) & ((points - end) @ along <= 0)
    return np.where(beside, across, np.minimum(to_a, to_b))


vertices = st.tuples(st.floats(-1.5, 1.5, width=32), st.floats(-1.5, 1.5, width=32))


@given(st.lists(vertices, min_size=1, max_size=6), st.floats(0.02, 0.5))
def test_support_of_a_drawing_against_brute_force(stroke: list[tuple[float, float]], width: float) -> None:
    cloud = cloud_from_strokes([[list(vertex) for vertex in stroke]], n=50, width=width)
    assert cloud.support is not None
    assert cloud.support(cloud.points).all()
    places = np.random.default_rng(0).uniform(-1.6, 1.6, (300, 2)).astype(np.float32)
    nearest = np.min([distance(places, a, b) for a, b in zip(stroke, stroke[1:] or stroke, strict=False)], axis=0)
    sure = np.abs(nearest - width / 2) > 2e-5
    on = cloud.support(torch.from_numpy(places)).numpy()
    assert (on == (nearest <= width / 2))[sure].all()


def test_a_drawing_is_uniform_along_its_length() -> None:
    # A line of length 1 in a pause, a long step and many short ones; one of length 0.5: two thirds on the first.
    first = [*[[-1, 0.5]] * 9, [-0.5, 0.5], *([-0.5 + k / 200, 0.5] for k in range(1, 101))]
    cloud = cloud_from_strokes([first, [[0.5, -0.5], [0.5, -1]]], n=N)
    assert cloud.points.shape == (N, 2)
    assert cloud.points.dtype == torch.float32
    assert cloud.labels is None
    on_first = cloud.points[:, 1] > 0
    assert on_first.double().mean() == pytest.approx(2 / 3, abs=4 * math.sqrt(2 / 9 / N))
    x = np.sort(cloud.points[on_first, 0].double().numpy() + 1)
    # The brush, 0.03 in radius, blurs the uniform law's ends only.
    assert np.abs(x - (np.arange(len(x)) + 0.5) / len(x)).max() < 0.03


def test_a_single_vertex_is_a_dot() -> None:
    cloud = cloud_from_strokes([[[0.2, -0.4]]], n=N, width=0.1)
    radius2 = (cloud.points - torch.tensor([0.2, -0.4])).square().sum(dim=1).double().numpy() / 0.05**2
    assert np.abs(np.sort(radius2) - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N), "uniform in area"
    same = cloud_from_strokes([[[0.2, -0.4]] * 3], n=N, width=0.1)
    assert torch.equal(same.points, cloud.points)
    # Beside a line the dot is as dense: its area over the line's, the rounded ends being the lines' own blur.
    both = cloud_from_strokes([[[0, 1]], [[-1, 0], [1, 0]]], n=N, width=0.1)
    share = math.pi * 0.05**2 / (2 * 0.1)
    expected = share / (1 + share)
    assert (both.points[:, 1] > 0.5).double().mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / N))


def test_a_drawing_is_cut_at_the_canvas() -> None:
    cloud = cloud_from_strokes([[[-9, 0], [0, 0]], [[2, 2], [3, 3]], [[1, 7]], []], n=2000)
    assert cloud.points.abs().max() <= 1.5
    assert cloud.points[:, 0].max() <= 0.03 + 1e-6
    assert cloud.points[:, 0].mean() == pytest.approx(-0.75, abs=0.05)
    assert cloud.support is not None
    assert cloud.support(cloud.points).all()
    on = cloud.support(torch.tensor([[-1.5, 0], [-1.6, 0], [2.5, 2.5], [1, 1.5]]))
    assert on.tolist() == [True, False, False, False]
    edge = cloud_from_strokes([[[1.5, -1], [1.5, 1]]], n=2000)  # along the border itself
    assert edge.points[:, 1].std() > 0.5
    assert (edge.points[:, 0] > 1.46).all()


@given(vertices, st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_clipping_keeps_the_part_inside(inside: tuple[float, float], other: tuple[float, float]) -> None:
    part = data._clip(data._segments([[inside, other]]))
    assert part.shape == (1, 2, 2)
    a, b = np.array(inside), np.array(other)
    t = np.linspace(0, 1, 2001)[:, None]
    path = a + t * (b - a)
    kept = path[(np.abs(path) <= 1.5).all(axis=1)]
    np.testing.assert_allclose(part[0, 0], inside, atol=1e-9)
    np.testing.assert_allclose(part[0, 1], kept[-1], atol=18 / 2000)
    assert part.abs().max() <= 1.5 + 1e-9


def test_the_seed_decides_the_drawing() -> None:
    first, again, other = (cloud_from_strokes([[[0, 0], [1, 1]]], seed=seed).points for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (5000, 2)


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([], "Draw inside the square"),
        ([[]], "Draw inside the square"),
        ([[[2, 2]]], "Draw inside the square"),
        ([[[2, -1], [2, 1]], [[-3, 2], [3, 2]]], "Draw inside the square"),
        ([[[1.4, 2], [2, 1.4]]], "Draw inside the square"),
        (None, "list of strokes"),
        ({"strokes": []}, "list of strokes"),
        ("[[[0, 0]]]", "list of strokes"),
        ([{"x": 0, "y": 0}], "list of strokes"),
        (["ab"], "list of strokes"),
        ([[0, 0]], "pair of numbers"),
        ([["ab"]], "pair of numbers"),
        ([[[0, 0], [0]]], "pair of numbers"),
        ([[[0, 0, 0]]], "pair of numbers"),
        ([[["0", "0"]]], "pair of numbers"),
        ([[[None, 0]]], "pair of numbers"),
        ([[[True, 0]]], "pair of numbers"),
        ([[[[0], 0]]], "pair of numbers"),
        ([[[math.nan, 0]]], "pair of numbers"),
        ([[[0, -math.inf]]], "pair of numbers"),
        ([[[10**400, 0]]], "pair of numbers"),
        ([[[1e300, 0], [-1e300, 0]]], "pair of numbers"),
        ([[[0, 0]]] * 201, "more than 200 strokes"),
        ([[[0, 0]] * 10_001, [[0, 0]] * 10_000], "20,000 vertices"),
    ],
)
def test_faulty_drawings_are_refused(strokes: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cloud_from_strokes(strokes)


def test_the_largest_drawing_is_taken() -> None:
    circle = [[math.cos(k), math.sin(k)] for k in range(100)]
    cloud = cloud_from_strokes([circle] * 200, n=100)
    assert cloud.support is not None
    assert cloud.support(cloud.points).all()
    with pytest.raises(DataError, match="from 2 to"):
        cloud_from_strokes([circle], n=1)
