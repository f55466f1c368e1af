"""Drawings: points lie evenly along the strokes, within the canvas, and malicious strokes do no harm."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.toy.data import DataError
from playground.toy.strokes import clip, to_segments
from playground.toy.user_points import cloud_from_strokes

N = 100_000


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
    part = clip(to_segments([[inside, other]]))
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
