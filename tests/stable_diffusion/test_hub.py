"""Models on a Hub: which files are fetched, and everything that can be wrong, in words."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from playground.stable_diffusion import hub
from playground.stable_diffusion.hub import ModelError, wanted
from tests.local_hub import serve

pytest_plugins = ["tests.stable_diffusion.saved_model"]
ROOT = Path(__file__).resolve().parents[2]


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
