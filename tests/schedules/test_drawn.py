"""A drawn curve: made to fall, nothing else changed, and all of it said."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.drawn import MAX_POINTS, clipping, falling, knots_from_stroke

SHARE = st.floats(0, 1)


def projected(values: list[float], weights: list[float], rounds: int = 4000) -> np.ndarray:
    """The nearest falling sequence by Dykstra's alternating projections on every pair x_i ≥ x_{i+1}."""
    x, w = np.array(values), np.array(weights)
    moved = np.zeros((len(x) - 1, 2))
    for _ in range(rounds):
        for k in range(len(x) - 1):
            pair, both = x[k : k + 2] + moved[k], w[k : k + 2]
            near = pair if pair[0] >= pair[1] else np.full(2, (pair * both).sum() / both.sum())
            moved[k] = pair - near
            x[k : k + 2] = near
    return x


@pytest.mark.parametrize("seed", range(4))
def test_falling_is_the_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.random(6), rng.integers(1, 5, 6).astype(float)
    np.testing.assert_allclose(falling(values, weights), projected(values.tolist(), weights.tolist()), atol=1e-6)


@given(values=st.lists(SHARE, min_size=1, max_size=40))
def test_falling_falls_and_keeps_what_fell(values: list[float]) -> None:
    heights, ones = np.array(values), np.ones(len(values))
    fallen = falling(heights, ones)
    assert (np.diff(fallen) <= 1e-12).all()
    assert fallen.mean() == pytest.approx(heights.mean())
    np.testing.assert_allclose(falling(fallen, ones), fallen, atol=1e-12)
    down = np.sort(heights)[::-1]
    np.testing.assert_array_equal(falling(down, ones), down)


def test_a_falling_stroke_is_kept_and_nothing_is_said() -> None:
    u = np.linspace(0, 1, 200)
    drawn = np.cos(u * np.pi / 2) ** 2 * 0.99 + 0.005
    knots, words = knots_from_stroke(np.stack([u, drawn], 1).tolist())
    assert words == ""
    at, heights = np.array(knots).T
    np.testing.assert_allclose(heights, np.interp(at, u, drawn), atol=1e-4)
    assert ScheduleConfig("drawn", knots=knots).make().warning == ""


def test_a_bump_is_levelled_and_said() -> None:
    u = np.linspace(0, 1, 101)
    bumped = 1 - u + 0.2 * np.exp(-(((u - 0.5) / 0.05) ** 2))
    knots, words = knots_from_stroke(np.stack([u, bumped], 1).tolist())
    assert "where the curve rose it was levelled, by up to 0." in words
    assert "timesteps, where the curve is level" in words  # and β there lifted
    heights = np.array(knots)[:, 1]
    assert (np.diff(heights) <= 0).all()
    np.testing.assert_allclose(heights[:30], bumped[:30], atol=1e-3)  # far from the bump nothing moved
    np.testing.assert_allclose(heights[70:], bumped[70:], atol=1e-3)


def test_what_was_left_out_is_joined_to_the_corners() -> None:
    knots, words = knots_from_stroke([(0.2, 0.8), (0.75, 0.3)])
    assert "The first 20%" in words
    assert "The last 25%" in words
    drawn = dict(knots)
    assert (drawn[0.0], drawn[0.1], drawn[0.2]) == (1.0, 0.9, 0.8)
    assert (drawn[0.75], drawn[1.0]) == (0.3, 0.0)


def test_outside_the_frame_is_its_edge() -> None:
    knots, words = knots_from_stroke([(-0.1, 1.2), (0.5, 0.5), (1.3, -0.4)])
    assert "outside the frame" in words
    assert (knots[0], knots[-1]) == ((0.0, 1.0), (1.0, 0.0))


def test_the_hand_may_go_back() -> None:
    forth = [(k / 50, 1 - k / 50) for k in range(51)]
    assert knots_from_stroke(forth[::-1])[0] == knots_from_stroke(forth)[0]
    again, _ = knots_from_stroke([*forth, *forth[::-1], *forth])
    np.testing.assert_allclose(again, knots_from_stroke(forth)[0], atol=1e-4)


def test_a_cliff_is_said() -> None:
    knots, words = knots_from_stroke([(0, 1), (0.5, 1), (0.501, 0), (1, 0)], timesteps=20)
    assert "lowered to 0.999 at 1, where it falls at once" in words
    assert clipping(20, knots) in words
    assert clipping(20, ((0.0, 1.0), (1.0, 0.01))) == ""


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "no curve yet"),
        ([(0.5, 0.5)], "a dot"),
        ([(0.5, 0.9), (0.5, 0.1)], "straight down"),
        ([(0, 0), (1, 1)], "rises or stays level"),
        ([(0, 0.5), (1, 0.5)], "rises or stays level"),
        ([(0, 0.5), (1, 0.47)], "rises or stays level"),
        ([(0.0, 1.0, 2.0)], "no curve yet"),
        ([0.5, 0.4], "no curve yet"),
        ([(0, float("nan")), (1, 0)], "no curve yet"),
        ([(0, 1), (float("inf"), 0)], "no curve yet"),
        ([(0, "high"), (1, "low")], "pairs of numbers"),
        ([(0, 1), (1,)], "pairs of numbers"),
        ([(0, None), (1, {})], "pairs of numbers"),
        ([(0, 1)] * (MAX_POINTS + 1), "Draw a shorter one"),
    ],
)
def test_no_curve(points: Any, words: str) -> None:
    with pytest.raises(ScheduleError, match=words) as refusal:
        knots_from_stroke(points)
    assert refusal.value.knob == "knots"


@given(heights=st.lists(SHARE, min_size=2, max_size=40))
def test_what_falls_is_never_refused(heights: list[float]) -> None:
    falls = sorted([*heights, 0.9, 0.1], reverse=True)
    knots, _ = knots_from_stroke(list(zip(np.linspace(0, 1, len(falls)).tolist(), falls, strict=True)))
    assert knots[0][1] == pytest.approx(falls[0], abs=1e-4)
    assert knots[-1][1] == pytest.approx(falls[-1], abs=1e-4)


PLACE = st.floats(-0.5, 1.5)


@given(stroke=st.lists(st.tuples(PLACE, PLACE), max_size=60), timesteps=st.integers(2, 400))
def test_whatever_is_drawn(stroke: list[tuple[float, float]], timesteps: int) -> None:
    try:
        knots, words = knots_from_stroke(stroke, timesteps)
    except ScheduleError:
        return
    assert len(ScheduleConfig("drawn", timesteps, knots=knots).make()) == timesteps
    assert knots_from_stroke(knots, timesteps)[0] == knots  # what has become a schedule stays as it is
    outside = any(not -0.005 <= place <= 1.005 for point in stroke for place in point)
    assert outside == ("outside the frame" in words)
