"""The default experiment, trained once for all tests that look at it."""

import pytest

from playground.toy import ToyLab
from tests.toy.labs import losses


@pytest.fixture(scope="session")
def trained_bytes() -> bytes:
    lab = ToyLab()
    losses(lab, 800)
    return lab.to_bytes()


@pytest.fixture
def trained(trained_bytes: bytes) -> ToyLab:
    """The default experiment after 800 steps."""
    return ToyLab.from_bytes(trained_bytes)
