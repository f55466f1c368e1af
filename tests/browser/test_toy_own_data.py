"""The toy lab on one's own data: drawings and files, the good ones and the others."""

import io
from typing import Any

import numpy as np
import pytest

from tests.browser.toy_page import ORANGE, ToyPage, Visit, around, count, grey, like

pytest_plugins = ["tests.browser.fixtures"]

UPLOAD = "Upload points (.csv, .npy)"


def npy(array: Any) -> bytes:
    """What numpy.save writes; of an array of objects, a pickle."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def ring(n: int = 400) -> np.ndarray:
    """(n, 2) points on the unit circle."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def stroke(toy: ToyPage, *places: tuple[float, float]) -> None:
    """Draw with the mouse; (0, 0) is the canvas's upper left corner, (1, 1) the lower right one."""
    box = toy.canvas.bounding_box()
    assert box
    for number, (x, y) in enumerate(places):
        toy.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if number == 0:
            toy.page.mouse.down()
    toy.page.mouse.up()


def test_draw_your_own(toy: ToyPage) -> None:
    toy.press("Draw your own", "Use this drawing")
    assert toy.status() == "Draw something first."
    stroke(toy, (0.1, 0.1), (0.9, 0.9))
    toy.still()
    assert count(toy.picture(), ORANGE) > 500
    toy.press("Clear")
    toy.still()
    assert count(toy.picture(), ORANGE) == 0
    stroke(toy, (0.3, 0.5), (0.7, 0.5))
    stroke(toy, (0.5, 0.3), (0.5, -0.4))  # and out of the canvas
    toy.press("Use this drawing")
    toy.notice("Your drawing: 5,000 points.").wait_for()
    assert toy.page.get_by_role("combobox", name="point cloud").input_value() == "Your own"

    toy.train(20)
    toy.until("() => Number(document.querySelector('[data-stat=distance]').textContent) < 0.12")
    toy.pause()
    toy.press("Samples")
    toy.still()
    rows, columns = np.nonzero(grey(toy.picture()))
    low, left, height, width = rows.max(), columns.min(), np.ptp(rows), np.ptp(columns)
    assert 0.6 < height / width < 1.8
    in_bar = rows > low - 0.15 * height
    assert np.ptp(columns[in_bar]) > 0.9 * width, "the bar lies at the bottom"
    assert np.ptp(columns[~in_bar]) < 0.25 * width, "and the stem stands on it"
    assert abs(np.median(columns[~in_bar]) - left - width / 2) < 0.1 * width

    toy.choose("point cloud", "Ramp")
    toy.page.wait_for_url("**dataset=ramp*")
    toy.choose("point cloud", "Your own")  # not kept: another way to say so than silence
    toy.notice("Draw your own").wait_for()


def test_draw_with_a_finger(visit: Visit) -> None:
    toy = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    toy.press("Draw your own")
    toy.canvas.scroll_into_view_if_needed()
    toy.still()
    box = toy.canvas.bounding_box()
    assert box
    touches, x = toy.page.context.new_cdp_session(toy.page), box["x"] + box["width"] / 2
    for step in range(16):
        touches.send(
            "Input.dispatchTouchEvent",
            {"type": "touchMove" if step else "touchStart", "touchPoints": [{"x": x, "y": box["y"] + 80 + 8 * step}]},
        )
    touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    toy.still()
    drawn = np.nonzero(like(toy.picture(), ORANGE))[0]
    assert np.ptp(drawn) / toy.picture().shape[0] > 110 / box["height"], "the page took the finger for scrolling"
    toy.press("Use this drawing")
    toy.notice("Your drawing").wait_for()
    toy.train(5)


@pytest.mark.parametrize("name", ["ring.csv", "ring.npy"])
def test_own_points(toy: ToyPage, name: str) -> None:
    spiral = grey(toy.picture())
    if name.endswith("csv"):
        content = b"x;y\n" + b"".join(b"%.4f;%.4f\n" % (3 + x, 3 + y) for x, y in ring())
    else:
        content = npy(np.column_stack([ring(), ring()[:, 0] > 0]))
    toy.upload(UPLOAD, name, content)
    toy.notice("Your file: 400 points.").wait_for()
    toy.train(20)
    assert (grey(toy.picture()) & ~around(spiral, 3)).sum() > 500
    if name.endswith("npy"):
        toy.restarted_by(toy.page.get_by_label("learn the classes").click)
        toy.until("c => Number(c.dataset.step) > 5")
    toy.pause()
    assert count(toy.picture(), ORANGE) > 500


def test_files_that_cannot_be_used_leave_the_run_alone(toy: ToyPage) -> None:
    faults = {
        "text.npy": (b"1,2\n3,4\n", "not a NumPy file"),
        "pickle.npy": (npy(np.array([{"a": 1}], dtype=object)), "holds object values"),
        "nan.csv": (b"0,0\nnan,1\n1,1\n", "NaN or infinite numbers in 1 of 3 rows, the first in line 2"),
        "one.csv": (b"0.5,0.5\n", "only 1 point"),
        "large.csv": (b"0.123456,0.1234567\n" * 120_000, "the limit is 2,000,000"),
        "empty.csv": (b"", "no points"),
    }
    toy.train(10)
    for name, (content, words) in faults.items():
        before = toy.step
        toy.upload(UPLOAD, name, content)
        toy.page.locator(".pg-wrong", has_text=words).wait_for()
        toy.until("(c, step) => Number(c.dataset.step) > step", before)
    assert toy.page.get_by_role("combobox", name="point cloud").input_value() == "Spiral"
    toy.upload(UPLOAD, "one.csv", faults["one.csv"][0])
    toy.page.locator(".pg-wrong", has_text="only 1 point").wait_for()
    toy.upload(UPLOAD, "one.csv", b"0,0\n1,1\n0,1\n")  # the same name, mended
    toy.notice("Your file: 3 points.").wait_for()
    toy.pause()
