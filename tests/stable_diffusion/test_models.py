"""The catalogue, models on disk and models on a Hub; and everything that can be wrong with them, in words."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.settings import Settings
from playground.stable_diffusion import hub, models
from playground.stable_diffusion.hub import ModelError, wanted
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.models import CATALOGUE, Defaults, Model, load, loading, read
from tests.local_hub import serve
from tests.stable_diffusion.tiny import PROMPT, new_pipeline

ROOT = Path(__file__).resolve().parents[2]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in half precision, as ours ships: the variant's name is not in the files."""
    folder = tmp_path_factory.mktemp("model")
    new_pipeline().to(torch.float16).save_pretrained(folder)
    return folder


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


# ---- Which files are fetched

FILES = {
    "model_index.json": 500,
    "README.md": 9,
    "v1-5-pruned.ckpt": 7 * 10**9,
    "v1-5-pruned.safetensors": 7 * 10**9,
    "scheduler/scheduler_config.json": 300,
    "tokenizer/vocab.json": 10**6,
    "tokenizer/merges.txt": 5 * 10**5,
    "feature_extractor/preprocessor_config.json": 300,
    **{
        f"{part}/{name}{ending}": 10**9
        for part, name in [
            ("unet", "diffusion_pytorch_model"),
            ("vae", "diffusion_pytorch_model"),
            ("text_encoder", "model"),
            ("safety_checker", "model"),
        ]
        for ending in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin", ".non_ema.safetensors")
    },
    **{f"{part}/config.json": 1_000 for part in ("unet", "vae", "text_encoder", "safety_checker")},
}


def test_half_precision_is_fetched_and_no_more_than_needed() -> None:
    files, variant = wanted(FILES, "sd")
    assert variant == "fp16"
    weights = [f for f in files if FILES[f] >= 10**9]
    assert sorted(weights) == [
        "safety_checker/model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    assert {"model_index.json", "tokenizer/vocab.json", "tokenizer/merges.txt"} <= set(files)
    assert not [f for f in files if f.endswith((".ckpt", ".bin", ".md"))]


def test_full_precision_where_a_half_is_missing() -> None:
    some = {f: size for f, size in FILES.items() if f != "vae/diffusion_pytorch_model.fp16.safetensors"}
    files, variant = wanted(some, "sd")
    assert variant is None
    assert "unet/diffusion_pytorch_model.safetensors" in files


def test_pickles_on_the_hub_are_refused() -> None:
    with pytest.raises(ModelError, match="pickles only"):
        wanted({f: size for f, size in FILES.items() if not f.endswith(".safetensors")}, "sd")
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        wanted({"model.safetensors": 1, "model.ckpt": 1}, "sd")


@pytest.mark.parametrize(
    ("source", "words"),
    [("/models/v1-5.ckpt", "is a pickle"), ("/no/such/folder", "neither a folder"), ("nothing", "neither a folder")],
)
def test_what_is_neither_a_folder_nor_an_id_of_the_hub(source: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        next(hub.fetch(source))


# ---- The Hub, through Hugging Face's own client in a process of its own: it reads its address when it is imported

OPEN = """
import json, sys
from playground.stable_diffusion import hub
for hub_id in json.loads(sys.argv[1]):
    try:
        said = [p.fraction for p in hub.fetch(hub_id)]
        folder = hub.cached(hub_id)
        files = sorted(hub.files_in(folder))
        print(json.dumps([files, said == sorted(said) and all(0 <= f <= 1 for f in said)]))
    except hub.ModelError as error:
        print(json.dumps(str(error)))
"""


def asked_of(url: str, home: Path, *ids: str) -> list[Any]:
    """What a playground answers whose Hub is at `url`: [files, progress rises] or the error's words."""
    env = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    env |= {"no_proxy": "127.0.0.1"}
    command = [sys.executable, "-c", OPEN, json.dumps(ids)]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_hub(saved: Path, tmp_path: Path) -> None:
    (pickled := tmp_path / "pickled").mkdir()
    for file in ("model_index.json", "unet/model.bin"):
        (pickled / file).parent.mkdir(exist_ok=True)
        (pickled / file).write_bytes(b"{}")
    with serve({"o/model": saved, "o/pickled": pickled}, gated="o/gated") as (url, asked):
        home = tmp_path / "home"
        found, gated, missing, pickle = asked_of(url, home, "o/model", "o/gated", "o/nothing", "o/pickled")
        assert found[1]
        assert set(found[0]) == set(wanted(hub.files_in(saved), "o/model")[0])
        assert "gated" in gated
        assert "HF_TOKEN" in gated
        assert "no public model o/nothing" in missing
        assert "pickles only" in pickle
        assert not [path for path in asked if path.endswith(".bin")]
    # The Hub is gone now: what was fetched is still there, what was not is told.
    again, never = asked_of(url, home, "o/model", "o/other")
    assert again[0] == found[0]
    assert "o/other could not be fetched (the Hub did not answer, or broke off)" in never
    assert "take Tiny" in never
