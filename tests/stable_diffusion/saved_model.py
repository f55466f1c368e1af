"""A small model on disk, for the tests of what reads or fetches one."""

from pathlib import Path

import pytest
import torch

from tests.stable_diffusion.tiny import new_pipeline


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in half precision, as ours ships: the variant's name is not in the files."""
    folder = tmp_path_factory.mktemp("model")
    new_pipeline().to(torch.float16).save_pretrained(folder)
    return folder
