"""Models on disk and on the Hub: which files are wanted, how they are fetched, and that none of them is a pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from playground.refusal import Refusal

HUB_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]{0,60}\b/\w[\w.-]{0,95}\b(?<!\.git)", re.ASCII)  # the Hub's own rule
HUB_SECONDS = 5.0
REPORT_SECONDS = 0.25  # between two messages on a download
# The parts of a Stable Diffusion 1.x or 2.x, and the file of weights of those that have one
PARTS = {
    "text_encoder": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "safety_checker": "model",
    "scheduler": None,
    "tokenizer": None,
    "feature_extractor": None,
    "image_encoder": None,  # named in newer files, and empty
}
LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


class ModelError(Refusal):
    """This model cannot be loaded; the message says why, and what helps."""


@dataclass(frozen=True)
class LoadProgress:
    """How far loading has come: in words, and as a fraction from 0 to 1."""

    words: str
    fraction: float


def wanted(files: Mapping[str, int], name: str) -> tuple[list[str], str | None]:
    """Of a model's `files` (path: bytes), those to fetch, and the variant of its weights: "fp16" where all have it,
    half the bytes for the same pictures. Raises ModelError where weights are missing or there as pickles only.
    """
    configs = [f for f in files if f == "model_index.json" or re.fullmatch(r"\w+/[\w.-]+\.(json|txt)", f)]
    configs = [f for f in configs if f.split("/")[0] in {*PARTS, "model_index.json"} and "index.fp16" not in f]
    if "model_index.json" not in files:
        raise ModelError(
            f"{name} is no diffusers model: it has no model_index.json. Choose one of the Hub's that lists Stable "
            "Diffusion 1.x or 2.x among its diffusers models."
        )
    present = {part: stem for part, stem in PARTS.items() if stem and any(f.startswith(f"{part}/") for f in files)}
    for variant in ("fp16", None):
        ending = ".safetensors" if variant is None else f".{variant}.safetensors"
        weights = [f"{part}/{stem}{ending}" for part, stem in present.items()]
        if {"unet", "vae", "text_encoder"} <= present.keys() and all(f in files for f in weights):
            return sorted(configs + weights), variant
    pickles = sorted(f for f in files if f.endswith(PICKLES))
    if pickles:
        raise ModelError(
            f"{name} has its weights as pickles only ({pickles[0]}): a pickle can run any code when it is read, so it "
            "is refused. Choose a model with .safetensors files, or convert it where you trust it."
        )
    raise ModelError(f"{name} is not whole: it needs the weights of unet, vae and text_encoder as .safetensors.")


def files_in(folder: Path) -> dict[str, int]:
    """The files of a local model and their bytes."""
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}


def check_index(folder: Path, name: str) -> None:
    """Raise ModelError unless model_index.json names Stable Diffusion's own parts, and nothing that is not of diffusers
    or transformers: the library imports what it reads there.
    """
    try:
        index: Any = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        kind, parts = index["_class_name"], {k: v for k, v in index.items() if isinstance(v, list)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The model_index.json of {name} is missing or damaged.") from error
    if kind != "StableDiffusionPipeline":
        raise ModelError(
            f"{name} is a {str(kind)[:60]}. This playground runs Stable Diffusion 1.x and 2.x: StableDiffusionPipeline."
        )
    for part, named in parts.items():
        if part not in PARTS or not named or named[0] not in (*LIBRARIES, None):
            raise ModelError(f"{name} brings a part that Stable Diffusion does not have ({part[:60]}): it is refused.")


def fetch(hub_id: str) -> Iterator[LoadProgress]:
    """Bring a model of the Hub to this machine's cache, or find it there; `cached` then gives its folder.

    Raises ModelError. Closing this does not wait: the file under way goes on in its thread, and the next call finds
    what has arrived.
    """
    if hub_id.endswith(PICKLES):
        raise ModelError(
            f"{hub_id} is a pickle, which can run any code when it is read: refused. Give a diffusers folder."
        )
    if not HUB_ID.fullmatch(hub_id):
        raise ModelError(f"{hub_id} is neither a folder on this machine nor an id of the Hub.")
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(hub_id, timeout=HUB_SECONDS, files_metadata=True)
        files, _ = wanted({f.rfilename: f.size or 0 for f in info.siblings or []}, hub_id)
        sizes = {f.rfilename: f.size or 0 for f in info.siblings or [] if f.rfilename in files}
        total, before = sum(sizes.values()) or 1, 0
        pool = ThreadPoolExecutor(1)
        try:
            for file in files:
                counts: list[int] = []
                download = pool.submit(hf_hub_download, hub_id, file, tqdm_class=_counting(counts))
                while not wait([download], REPORT_SECONDS).done:
                    now = min(before + max(counts, default=0), total)
                    yield LoadProgress(f"Fetching {file}: {now / 1e9:.2f} of {total / 1e9:.2f} GB", now / total)
                download.result()
                before += sizes[file]
        finally:
            pool.shutdown(wait=False)
    except GatedRepoError as error:
        raise ModelError(
            f"{hub_id} is gated. Sign in on the Hub, accept its conditions on the model's page, make a token in your "
            "settings there (Access Tokens, kind: read), and start the playground with HF_TOKEN=… or after "
            "`hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"The Hub has no public model {hub_id}. Copy the id from its page there; a private one needs a token "
            "(`hf auth login`)."
        ) from error
    except (HTTPError, OSError) as error:
        if cached(hub_id) is None:
            # A full disk has a `strerror`.
            why = getattr(error, "strerror", None) or "the Hub did not answer, or broke off"
            raise ModelError(
                f"{hub_id} could not be fetched ({why}), and no copy of it is on this machine. Try again with a "
                "network, or take Tiny: it is always here."
            ) from error


def cached(hub_id: str) -> Path | None:
    """The folder of a Hub's model on this machine, if all of it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True, allow_patterns=["*.json"]))
        wanted(files_in(folder), hub_id)
    except (LocalEntryNotFoundError, ModelError):
        return None
    return folder


def _counting(counts: list[int]) -> type[tqdm]:
    """A progress bar for the Hub's client that only counts bytes. One or two a file: the larger count is right."""

    class Counting(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self.place = len(counts)
            counts.append(0)

        def update(self, n: float | None = 1) -> None:
            counts[self.place] += int(n or 0)

    return Counting
