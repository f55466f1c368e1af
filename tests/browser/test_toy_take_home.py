"""What can be taken home from the toy lab and brought back: experiments, samples, pictures, links."""

import csv
import io
import re

import numpy as np
import pytest
from PIL import Image

from playground.toy import PRESETS, ToyLab
from tests.browser.toy_page import ORANGE, ToyPage, Visit, count, grey

pytest_plugins = ["tests.browser.fixtures"]

SAVE, OPEN, TABLE = "Save the experiment (.safetensors)", "Open a saved experiment", "Save samples (.csv)"


def test_experiment_samples_and_picture(toy: ToyPage) -> None:
    toy.choose("learning rate", "0.003")
    toy.page.wait_for_url("**training.learning_rate=0.003*")
    toy.train(30)
    step = toy.pause()
    toy.unfold("Take it home")
    toy.download(SAVE)
    name, saved = toy.download(SAVE)  # a second time too
    assert name == f"toy-lab-step-{step}.safetensors"
    lab = ToyLab.from_bytes(saved)
    assert (lab.step, lab.config.training.learning_rate) == (step, 0.003)

    tables = [toy.download(TABLE) for _ in range(2)]
    assert tables[0] == tables[1]
    assert tables[0][0] == f"toy-lab-samples-step-{step}.csv"
    rows = list(csv.reader(io.StringIO(tables[0][1].decode())))
    assert rows[0] == ["x", "y"]
    assert len(rows) == 1 + 5_000
    samples = lab.sample(5_000, seed=0).x[-1].numpy()
    np.testing.assert_allclose(np.array(rows[1:], dtype=float), samples, atol=2e-3)

    name, picture = toy.download("PNG")
    assert re.fullmatch(r"toy-lab-step-\d+-t-0\.png", name)
    with Image.open(io.BytesIO(picture)) as image:
        assert (np.asarray(image.convert("RGB")) == toy.picture()).all()

    before = toy.picture()
    toy.press("Reset")
    toy.until("c => c.dataset.step === '0'")
    toy.upload(OPEN, "any name", b"no experiment")
    toy.page.locator(".pg-wrong", has_text="no safetensors file").wait_for()
    toy.upload(OPEN, "any name", saved)
    toy.notice(f"Opened: step {step:,}.").wait_for()
    toy.until("(c, step) => c.dataset.step === step", str(step))
    toy.stopped()
    assert (toy.picture() != before).mean() < 1e-3, "other samples"
    toy.train(5)
    assert toy.pause() > step


def test_the_largest_recipe_comes_back_too(toy: ToyPage) -> None:
    toy.choose("recipe", PRESETS["minidiffusion"].title)
    toy.page.wait_for_url("**network.width=256*")
    toy.train(5)
    step = toy.pause()
    toy.unfold("Take it home")
    _, saved = toy.download(SAVE)
    toy.press("Reset")
    toy.until("c => c.dataset.step === '0'")
    toy.upload(OPEN, "mini.safetensors", saved)
    toy.notice(f"Opened: step {step:,}.").wait_for()


def test_a_link_opens_its_experiment(visit: Visit) -> None:
    toy = visit("?dataset=disc_grid&training.learning_rate=0.003&__theme=light")
    toy.page.wait_for_url("**dataset=disc_grid*")
    assert toy.page.get_by_role("combobox", name="point cloud").input_value() == "Disc grid"
    assert toy.page.get_by_role("combobox", name="learning rate").input_value() == "0.003"
    data = grey(toy.picture())
    toy.train(5)
    toy.pause()
    other = visit()
    assert (grey(other.picture()) ^ data).sum() > 0.5 * data.sum()
    other.choose("point cloud", "Disc grid")
    other.choose("learning rate", "0.003")
    other.page.wait_for_url("**?dataset=disc_grid&training.learning_rate=0.003")


@pytest.mark.parametrize("query", ["?dataset=nonsense", "?training.learning_rate=NaN&network.width=[1]"])
def test_a_nonsense_link_says_so_and_opens_the_default(visit: Visit, query: str) -> None:
    toy = visit(query)
    toy.page.locator(".pg-wrong", has_text="This link's experiment cannot be run").wait_for()
    assert toy.page.get_by_role("combobox", name="point cloud").input_value() == "Spiral"
    toy.train(3)
    toy.pause()
    assert count(toy.picture(), ORANGE) > 500
