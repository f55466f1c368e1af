"""The toy lab's stage: every view by its colour, scrubbing that asks nothing of the server, and the score."""

from itertools import pairwise

from tests.browser.toy_page import BLUE, GREEN, ORANGE, PINK, RED, ToyPage, around, count, grey, like

pytest_plugins = ["tests.browser.fixtures"]

SLIDER = "how noisy"
FAINT = 80  # tolerance for the noise's dots, which are translucent


def scrub(toy: ToyPage, share: float) -> None:
    """Press on the slider of noise with the mouse, at this share of its length."""
    box = toy.page.get_by_label(SLIDER).bounding_box()
    assert box
    toy.page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    toy.still()


def test_scrubbing_asks_nothing_of_the_server(toy: ToyPage) -> None:
    toy.train(40)
    toy.pause()
    asked, frames, painted = toy.quiet(), toy.data("frames"), toy.data("painted")
    pictures = [toy.picture()]

    slider = toy.page.get_by_label(SLIDER)
    for key in ("ArrowRight", "PageUp", "End", "PageDown"):
        slider.press(key)
        toy.still()
        pictures.append(toy.picture())
    scrub(toy, 0.5)
    assert 400 < toy.data("t") < 600
    pictures.append(toy.picture())
    for before, after in pairwise(pictures):
        assert (before != after).any()

    half = pictures[-1]
    for view in ("Data", "Samples", "Forward", "Paths", "x̂₀", "Density"):
        toy.press(view)
        toy.still()
        other = toy.picture()
        assert (other != half).any(), f"{view} changes nothing"
        if view == "Data":
            assert grey(other).sum() < 0.2 * grey(half).sum()
        if view == "Samples":
            assert count(other, ORANGE) < 0.2 * count(half, ORANGE)
        if view == "Forward":
            assert count(other, BLUE, FAINT) > count(half, BLUE, FAINT) + 500
        if view == "x̂₀":
            assert count(other, GREEN) > count(half, GREEN) + 500
        toy.press(view)
        toy.still()
        assert (toy.picture() == half).all(), f"{view} leaves something behind"

    toy.press("play the reverse process")
    toy.until("(c, t) => Number(c.dataset.t) < t", toy.data("t"))
    toy.press("stop playing", "to the data")
    toy.look_back(0)
    toy.press("to pure noise")
    assert toy.data("t") == 999

    assert toy.quiet() == asked, toy.watched.requests[asked:]
    assert toy.data("frames") == frames
    assert toy.data("painted") > painted + 20


def test_the_score_learned_exact_and_their_difference(toy: ToyPage) -> None:
    toy.train(40)
    toy.pause()
    scrub(toy, 0.02)  # near the data, where learned and exact part
    plain, asked = toy.picture(), toy.quiet()
    score = toy.page.get_by_label("score arrows")
    for choice, colour, requests in (("learned", BLUE, 0), ("exact", PINK, 2), ("difference", RED, 0)):
        score.select_option(choice)
        now = toy.quiet()
        assert now <= asked + requests  # joining the queue, and listening to it
        asked = now
        assert count(toy.picture(), colour) > count(plain, colour) + 500, f"no arrows: {choice}"

        fields = [toy.picture()]
        for share in (0.3, 0.9, 0.02):
            scrub(toy, share)
            fields.append(toy.picture())
        assert all((a != b).any() for a, b in pairwise(fields))
        assert toy.quiet() == asked, toy.watched.requests[asked:]
    score.select_option("off")
    toy.still()
    assert (toy.picture() == plain).all()


def test_the_exact_score_follows_to_new_data(toy: ToyPage) -> None:
    toy.page.get_by_label("score arrows").select_option("exact")
    toy.until("c => c.dataset.frames > 0")  # asked for before any training
    toy.quiet()
    assert count(toy.picture(), PINK) > 500
    toy.choose("point cloud", "Two moons")
    toy.page.wait_for_url("**dataset=two_moons*")
    toy.train(20)
    toy.pause()
    toy.quiet()
    assert count(toy.picture(), PINK) > 500


def test_before_training_the_data_dissolve_into_noise(toy: ToyPage) -> None:
    toy.until("c => Number(c.dataset.t) > 300")  # plays by itself
    asked = toy.quiet()
    toy.press("stop playing", "to the data")
    toy.still()
    clean = like(toy.picture(), BLUE, FAINT)
    toy.press("to pure noise")
    toy.still()
    noise = like(toy.picture(), BLUE, FAINT)
    assert "100 % noise" in toy.page.locator(".pg-readout").inner_text()
    assert clean.sum() > 500
    assert (noise & ~around(clean, 5)).sum() > 0.3 * noise.sum()  # noise does not keep to the shape
    assert toy.quiet() == asked
