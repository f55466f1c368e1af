"""The catalogue and models on disk, and everything that can be wrong with them, in words."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.settings import Settings
from playground.stable_diffusion import models
from playground.stable_diffusion.hub import ModelError
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.models import CATALOGUE, Defaults, Model, load, loading, read
from tests.stable_diffusion.tiny import PROMPT

pytest_plugins = ["tests.stable_diffusion.saved_model"]
ROOT = Path(__file__).resolve().parents[2]
torch.set_num_threads(1)


@pytest.fixture
def mine(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "mine"))


def entry(name: str, source: str | Path) -> Model:
    return Model(name, name, source, "", Defaults(PROMPT, 2, 2.0, "ddim", 32, 1, "none"), 8_000_000)


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in memory before, nothing after."""
    monkeypatch.setattr(models, "_IN_MEMORY", {})


# ---- What there is


def test_the_catalogue() -> None:
    assert list(CATALOGUE)[:3] == ["tiny", "sd15", "sd14"]
    assert CATALOGUE["sd15"].source == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert CATALOGUE["sd14"].source == "CompVis/stable-diffusion-v1-4"
    assert CATALOGUE["tiny"].source == ROOT / "assets" / "tiny-stable-diffusion"
    notebook = CATALOGUE["sd14"].defaults
    assert (notebook.scheduler, notebook.steps, notebook.guidance_scale, notebook.images) == ("pndm", 50, 8.0, 4)
    tiny = CATALOGUE["tiny"].defaults
    assert (tiny.scheduler, tiny.steps, tiny.guidance_scale, tiny.preview) == ("pndm", 20, 3.0, "decode")


def test_more_by_the_environment(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_MODELS", f" {saved} , o/model,")
    added = models._catalogue(Settings.from_environment().models)
    assert set(added) - set(CATALOGUE) == {saved.name, "o/model"}
    assert added[saved.name].source == saved.resolve()
    assert added[saved.name].bytes == sum(f.stat().st_size for f in saved.rglob("*.safetensors"))
    assert added["o/model"].source == "o/model"


def test_names_that_are_not_in_the_catalogue() -> None:
    for name in ("sd", "o/model", "/etc", "../x"):
        with pytest.raises(ModelError, match="There is no model"):
            load(name)


# ---- Loading


@pytest.mark.usefixtures("catalogue")
def test_a_folder_is_loaded_once_for_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "mine", entry("mine", saved))
    said = list(loading("mine"))
    assert [p.fraction for p in said] == sorted(p.fraction for p in said)
    assert said[-1].fraction == 1
    assert load("mine") is load("mine")
    assert len(list(loading("mine"))) == 1
    step = list(StableDiffusionLab("mine").generate(PROMPT, steps=2))[-1]
    assert step.images is not None
    assert load("mine").pipeline.unet.dtype == torch.float32
    again = read(saved, "mine")
    for part in ("unet", "vae", "text_encoder"):
        weights = getattr(again, part).state_dict()
        assert all(torch.equal(w, weights[k]) for k, w in getattr(load("mine").pipeline, part).state_dict().items())


@pytest.mark.usefixtures("catalogue")
def test_many_visitors_get_one_copy(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "mine", entry("mine", saved))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load("mine"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(each) for each in found}) == 1


@pytest.mark.usefixtures("catalogue")
def test_who_leaves_while_loading_does_not_block_the_next(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "mine", entry("mine", saved))
    first = loading("mine")
    next(first)
    other = loading("mine")
    assert "Somebody else" in next(other).words
    first.close()  # type: ignore[attr-defined]
    assert list(other)[-1].fraction == 1


@pytest.mark.usefixtures("catalogue")
def test_one_large_model_at_a_time(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        large = entry(name, saved)
        monkeypatch.setitem(CATALOGUE, name, Model(**{**vars(large), "bytes": 200_000_000}))
    one = load("one")
    load("two")
    assert set(models._IN_MEMORY) == {"two"}
    assert list(StableDiffusionLab(one).generate(PROMPT, steps=2))  # who still uses it keeps it


# ---- What is wrong with a folder


def test_pickles_are_refused(mine: Path) -> None:
    (mine / "unet" / "diffusion_pytorch_model.safetensors").rename(mine / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickles only \(unet/diffusion_pytorch_model.bin\).*can run any code"):
        read(mine, "mine")


def test_a_pickle_beside_safetensors_is_never_read(mine: Path) -> None:
    (mine / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    assert read(mine, "mine").unet


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_class_name": "StableDiffusionXLPipeline"}, "is a StableDiffusionXLPipeline"),
        ({"unet": ["subprocess", "Popen"]}, "does not have"),
        ({"helper": ["diffusers", "AutoencoderKL"]}, "does not have"),
        ({"_class_name": None}, "is a None"),
        ({"unet": []}, "does not have"),
        ({"unet": [[], "UNet2DConditionModel"]}, "does not have"),
    ],
)
def test_an_index_that_names_other_things(mine: Path, change: dict[str, Any], words: str) -> None:
    index = json.loads((mine / "model_index.json").read_text())
    (mine / "model_index.json").write_text(json.dumps(index | change))
    with pytest.raises(ModelError, match=words):
        read(mine, "mine")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("model_index.json", None, "no diffusers model"),
        ("model_index.json", b"[]", "missing or damaged"),
        ("model_index.json", b"{", "missing or damaged"),
        ("vae/diffusion_pytorch_model.safetensors", None, "not whole"),
        ("vae/diffusion_pytorch_model.safetensors", b"nothing", "damaged or do not fit"),
        ("unet/config.json", b"{}", "damaged or do not fit"),
        ("text_encoder/config.json", b"\xff", "damaged or do not fit"),
    ],
)
def test_folders_that_are_damaged(mine: Path, file: str, content: bytes | None, words: str) -> None:
    if content is None:
        (mine / file).unlink()
    else:
        (mine / file).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        read(mine, "mine")


@pytest.mark.usefixtures("catalogue")
def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "gone", entry("gone", tmp_path / "gone"))
    with pytest.raises(ModelError, match="is not on this machine"):
        load("gone")
    with pytest.raises(ModelError):  # the lock is free again
        load("gone")
