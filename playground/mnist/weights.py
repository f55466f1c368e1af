"""Trained networks: how they are kept and read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from playground.diffusion.prediction import Prediction
from playground.diffusion.sampling import Denoiser, network_denoiser
from playground.mnist.data import ImageSet
from playground.mnist.networks import NetworkConfig, make_network
from playground.refusal import Refusal
from playground.storage import write_atomically

RANGE = torch.tensor(-1.0), torch.tensor(1.0)  # where all images lie
SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "mnist" / "model.safetensors"


class WeightsError(Refusal):
    """These weights cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A trained network and what it was trained on. `card`: how, as plain JSON."""

    name: str
    network: nn.Module
    prediction: Prediction
    shape: tuple[int, int, int]  # (C, H, W)
    classes: tuple[str, ...]
    card: dict[str, Any]

    def denoiser(self, labels: Tensor | None = None, guidance_scale: float = 1.0) -> Denoiser:
        """(x, α, σ) → x̂_0 for classes `labels` (N,) or none, held within [-1, 1], where all images are."""
        return network_denoiser(self.network, self.prediction, labels, guidance_scale, *RANGE)


def encode_weights(network: nn.Module) -> bytes:
    """A network's weights as a safetensors file in half precision: no pixel changes by more than .005."""
    weights = network.state_dict().items()
    return save({name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in weights})


def write_weights(network: nn.Module, path: Path) -> None:
    """`network` in half precision, without a card: an older one, which would not know these weights, goes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomically(path, encode_weights(network))


def make_card(path: Path, network: nn.Module, images: ImageSet, recipe: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """What the card of the weights in `path` says: the data, the recipe, and `facts` about this training."""
    return {
        "data": {"name": images.name, "images": len(images), "shape": images.shape},
        "classes": images.classes,
        "recipe": recipe,
        "parameters": sum(p.numel() for p in network.parameters()),
        **facts,
        "torch": torch.__version__.split("+")[0],
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Put the card beside the weights in `path`, under the same name."""
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path.with_suffix(".json"), text.encode())


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights of `path` into `network`; a card beside it with a checksum must know them.

    Raises WeightsError for a damaged file or another architecture's.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path.name} is missing. Check out the repository again.") from error
    found, expected = hashlib.sha256(packed).hexdigest(), _checksum(path.with_suffix(".json"))
    if expected not in (None, found):
        raise WeightsError(
            f"{path.name} is damaged: its SHA-256 begins with {found[:12]} where {str(expected)[:12]} is right. "
            "Check out the file again."
        )
    try:
        tensors = load(packed)
    except Exception as error:  # a damaged header fails in any of a dozen ways
        raise WeightsError(f"{path.name} is no safetensors file, or it was cut short.") from error
    try:
        network.load_state_dict(tensors)  # into float32, whatever the file has
    except RuntimeError as error:
        raise WeightsError(f"The weights in {path.name} belong to another architecture than asked for.") from error


def _checksum(card: Path) -> Any:
    """What the card says the weights' SHA-256 is; None where there is no card, or it does not say."""
    if not card.exists():
        return None
    try:
        return json.loads(card.read_text(encoding="utf-8")).get("sha256")
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"{card.name} is damaged: it is no JSON table. Check out the file again.") from error


@lru_cache(maxsize=4)
def load_model(path: Path = SHIPPED) -> ImageModel:
    """The network in `path` by the card beside it, model.safetensors and model.json. Raises WeightsError.

    One network for all who ask: it is never trained, only read.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        recipe, shape, classes = card["recipe"], tuple(card["data"]["shape"]), tuple(card["classes"])
        network = make_network(NetworkConfig(**recipe["network"]), shape, len(classes), 0)
        prediction = recipe["training"]["prediction"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"The card of {path.name} ({path.stem}.json) is missing or damaged.") from error
    load_weights(network, path)
    network.eval().requires_grad_(False)
    return ImageModel(card["data"]["name"], network, prediction, shape, classes, card)
