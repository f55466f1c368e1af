"""The MNIST tab draws: new digits, compared ones, from a drawing, around a mask."""

import io
import zipfile

import numpy as np
from PIL import Image

from playground.mnist import MnistLab
from playground.mnist.data import to_bytes
from tests.browser.mnist_page import FORWARD, REVERSE, MnistPage

pytest_plugins = ["tests.browser.fixtures"]


def test_generate_draws_what_the_lab_draws(digits: MnistPage) -> None:
    digits.draw_now(lambda: digits.press("Generate"))
    digits.hold()
    digits.scrub(-1)
    assert "40 network calls" in digits.status()
    path = MnistLab().sample([k % 10 for k in range(16)], steps=20, guidance_scale=2.0, schedule="linear", seed=0)
    wanted = to_bytes(path.x[-1])[:, 0].numpy().astype(float)
    found = digits.tiles(REVERSE, "x")[:, 1:-1, 1:-1]
    assert np.abs(found - wanted[:, 1:-1, 1:-1]).max() <= 4, "eight bits a pixel on the way"


def test_a_knob_draws_anew_and_a_refusal_stays_beside_it(digits: MnistPage) -> None:
    digits.draw_now(lambda: digits.press("Generate"))
    digits.hold()
    digits.scrub(-1)
    before = digits.tiles(REVERSE, "x")
    digits.draw_now(lambda: digits.choose("digit", "7"))
    digits.hold()
    digits.scrub(-1)
    sevens = digits.tiles(REVERSE, "x")
    assert np.abs(sevens - before).mean() > 10
    digits.unfold("more")
    digits.choose("spacing", "karras")
    digits.draw_now(lambda: digits.press("Generate"))
    digits.choose("sampler", "DDPM")
    digits.notice("DDPM has no 'karras' spacing").first.wait_for()
    digits.hold()
    assert digits.data("paths") >= 3, "what was there is still shown"


def test_stop(digits: MnistPage) -> None:
    number = digits.number("steps")
    number.fill("1000")
    number.press("Enter")
    digits.until("() => !document.querySelector('.pg-mnist [data-do=stop]').disabled")
    digits.press("Stop")
    digits.notice("Stopped.").first.wait_for()
    paths = digits.data("paths")
    digits.quiet()
    assert digits.data("paths") == paths
    number.fill("5")
    digits.draw_now(lambda: digits.press("Generate"))


def test_compare_four(digits: MnistPage) -> None:
    digits.unfold("Compare")
    digits.number("steps").fill("5")
    digits.quiet()
    digits.draw_now(lambda: digits.button("Compare").last.click(), paths=4)
    digits.hold()
    places = digits.canvas.evaluate("c => JSON.parse(c.dataset.places).length")
    assert places == 2 * 4 * 16
    digits.scrub(-1)
    first, last = digits.tiles(0, "x"), digits.tiles(3, "x")
    assert first.shape == last.shape == (16, 28, 28)
    digits.unfold("Take it home")
    name, packed = digits.download("Numbers (.npz)")
    assert name.endswith(".npz.zip")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["1.npz", "2.npz", "3.npz", "4.npz"], "what is seen, all of it"


def test_start_from_a_drawing(digits: MnistPage) -> None:
    digits.hold()
    digits.press("Draw a digit", "Start from this")
    digits.notice("Draw something first.").wait_for()
    digits.stroke((0.5, 0.15), (0.5, 0.85))
    digits.draw_now(lambda: digits.press("Start from this"))
    digits.hold()
    digits.scrub(-1)
    drawn = digits.tiles(REVERSE, "x")
    assert (drawn > 200).mean() > 0.03, "there is ink"
    digits.unfold("Start from")
    assert digits.page.get_by_role("combobox", name="start from").input_value() == "my drawing (SDEdit)"


def test_repaint_a_part(digits: MnistPage) -> None:
    digits.hold()
    digits.scrub(-1)
    real = digits.tiles(FORWARD, "x0")[0]
    digits.number("steps").fill("5")
    digits.quiet()
    digits.press("Repaint a part")
    digits.stroke((0.05, 0.2), (0.95, 0.2))
    digits.stroke((0.05, 0.35), (0.95, 0.35))
    digits.draw_now(lambda: digits.press("Repaint this"))
    digits.hold()
    digits.scrub(-1)
    painted = digits.tiles(REVERSE, "x")
    assert np.abs(painted[:, 16:-1, 1:-1] - real[16:-1, 1:-1]).max() <= 4, "below the mask nothing changed"
    assert np.abs(painted[:, 4:11, 1:-1] - real[4:11, 1:-1]).max() > 40


def test_take_it_home(digits: MnistPage) -> None:
    digits.unfold("Take it home")
    name, strip = digits.download("Filmstrip (.png)")
    with Image.open(io.BytesIO(strip)) as picture:
        assert name.endswith(".png")
        assert picture.width > 500
    _, gif = digits.download("Animation (.gif)")
    with Image.open(io.BytesIO(gif)) as film:
        assert getattr(film, "n_frames", 1) >= 20
    _, numbers = digits.download("Numbers (.npz)")
    with np.load(io.BytesIO(numbers)) as file:
        assert file["x"].shape[1:] == (16, 1, 28, 28)
    name, seen = digits.download("PNG")
    with Image.open(io.BytesIO(seen)) as picture:
        assert picture.width > 400
