"""The programs that the page writes for a picture are run, and draw the same one."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.picture import Kind, Parameters, to_png
from playground.ui.stable_diffusion.scripts import INITIAL_IMAGE, MASK, scripts


@pytest.mark.parametrize("kind", ["text", "img2img", "inpaint"])
def test_the_programs_draw_the_picture(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = StableDiffusionLab("tiny")
    request = lab.request("a red three on a white background", seed=4, steps=5, strength=0.6)
    *_, first = lab.generate("a red seven on a white background", steps=4, scheduler="ddim", preview="none")
    assert first.images is not None
    (tmp_path / INITIAL_IMAGE).write_bytes(to_png(first.images[0], Parameters("tiny", request)))
    covered = np.zeros((32, 32), np.uint8)
    covered[8:24, 8:] = 255
    Image.fromarray(covered).save(tmp_path / MASK)
    os.symlink(Path("assets").resolve(), tmp_path / "assets")
    monkeypatch.chdir(tmp_path)
    ours, _, theirs = scripts(Parameters("tiny", request, kind)).partition("# The same picture with diffusers alone")
    drawn: dict[str, Any] = {}
    exec(ours, drawn)
    image = drawn["step"].images[0]
    if kind == "inpaint":
        assert "4\n# channels" in ours  # what diffusers' pipeline says of this model
        assert (image - first.images[0]).abs()[:, :6].mean() < (image - first.images[0]).abs()[:, covered > 0].mean()
        return
    exec(theirs, drawn)
    picture = torch.from_numpy(np.array(drawn["image"])).movedim(-1, 0)
    assert (image * 255 - picture).abs().max() < 1.01  # the file is rounded
