"""A model whose images are known, for the tests that draw."""

from __future__ import annotations

import pytest

from playground.mnist.weights import ImageModel
from tests.mnist.six_images import CLASSES, SHAPE, Exact


@pytest.fixture
def network() -> Exact:
    return Exact()


@pytest.fixture
def model(network: Exact) -> ImageModel:
    return ImageModel("six images", network, "v", SHAPE, CLASSES, {})
