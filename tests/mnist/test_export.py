"""What is taken home opens in other programs, and holds what was seen."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from playground.diffusion.sampling import SamplePath
from playground.mnist import export, trajectory
from playground.mnist.data import ImageDataError, to_bytes
from playground.mnist.export import GAP, SCALE


def path(states: int = 30, n: int = 6, shape: tuple[int, int, int] = (1, 14, 14), labelled: bool = True) -> SamplePath:
    """A walk from noise to images, without a network."""
    rng = torch.Generator().manual_seed(0)
    x0 = torch.rand(states, n, *shape, generator=rng) * 2 - 1
    eps = torch.randn(states, n, *shape, generator=rng)
    angle = torch.linspace(1.5, 0, states)
    alpha, sigma = angle.cos(), angle.sin()
    x = alpha.reshape(-1, 1, 1, 1, 1) * x0 + sigma.reshape(-1, 1, 1, 1, 1) * eps
    t = torch.cat([torch.arange(states - 1).flip(0).float(), torch.tensor([-1.0])])
    return SamplePath(x, x0, eps, t, alpha, sigma, torch.arange(n) if labelled else None, states, 5)


def side(images: int, pixels: int) -> int:
    return (images * (pixels + GAP) - GAP) * SCALE


@pytest.mark.parametrize(("states", "n", "columns", "rows"), [(30, 6, 10, 12), (4, 20, 4, 16), (2, 1, 2, 2)])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_filmstrip_shows_noise_over_reading(states: int, n: int, columns: int, rows: int, colours: int) -> None:
    made = path(states, n, (colours, 14, 14))
    picture = Image.open(io.BytesIO(export.filmstrip(made)))
    assert (picture.format, picture.mode) == ("PNG", "L" if colours == 1 else "RGB")
    assert picture.size == (side(columns, 14), side(rows, 14))
    pixels = torch.from_numpy(np.array(picture)).reshape(picture.height, picture.width, colours).permute(2, 0, 1)
    pixels = pixels[:, SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
    step = 14 + GAP
    assert torch.equal(pixels[:, :14, :14], to_bytes(made.x[0, 0]))
    assert torch.equal(pixels[:, step : step + 14, :14], to_bytes(made.x0[0, 0]))
    assert torch.equal(pixels[:, :14, -14:], to_bytes(made.x[-1, 0])), "time goes to the right"
    last = min(n, export.STRIP_ROWS) - 1
    assert torch.equal(pixels[:, -14:, -14:], to_bytes(made.x0[-1, last]))


@pytest.mark.parametrize(("states", "frames"), [(30, 30), (201, 60), (2, 2)])
@pytest.mark.parametrize("colours", [1, 3])
def test_an_animation_ends_on_the_images_and_repeats(states: int, frames: int, colours: int) -> None:
    made = path(states, 6, (colours, 14, 14))
    picture = Image.open(io.BytesIO(export.animation(made)))
    assert (picture.format, picture.n_frames) == ("GIF", frames)  # type: ignore[attr-defined]
    assert picture.size == (side(3, 14), side(2, 14))
    assert picture.info["loop"] == 0, "for ever"
    durations = []
    for k in range(frames):
        picture.seek(k)
        durations.append(picture.info["duration"])
    assert durations[-1] == 2000
    if frames > 2:  # GIF counts in hundredths of a second
        assert sum(durations[:-1]) == pytest.approx(1000 * export.GIF_SECONDS, rel=0.2)
    if colours == 1:  # 256 greys are all that a palette needs
        corner = np.array(picture.convert("L"))[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE][:14, :14]
        np.testing.assert_array_equal(corner, to_bytes(made.x[-1, 0])[0].numpy())


@pytest.mark.parametrize("labelled", [True, False])
def test_arrays_are_the_path_in_half_precision(labelled: bool) -> None:
    made = path(12, 3, (3, 14, 14), labelled)
    with np.load(io.BytesIO(export.arrays(made)), allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    assert data["x"].shape == data["x0"].shape == data["eps"].shape == (12, 3, 3, 14, 14)
    assert {data[name].dtype for name in ("x", "x0", "eps")} == {np.dtype(np.float16)}
    for name in ("t", "alpha", "sigma"):
        np.testing.assert_array_equal(data[name], getattr(made, name).numpy())
    alpha, sigma = (data[name].reshape(-1, 1, 1, 1, 1) for name in ("alpha", "sigma"))
    np.testing.assert_allclose(alpha * data["x0"] + sigma * data["eps"], data["x"], rtol=0, atol=5e-3)
    np.testing.assert_array_equal(data["labels"], [0, 1, 2] if labelled else [])
    assert data["seed"] == 5


def test_half_precision_paths_can_be_taken_home() -> None:
    """What is on the page is kept in half precision."""
    made = path()
    half = SamplePath(
        made.x.half(), made.x0.half(), made.eps.half(), made.t, made.alpha, made.sigma, made.labels, made.calls, 5
    )
    for write in (export.filmstrip, export.animation, export.arrays):
        assert write(half)


# The trajectory that ships


def test_the_shipped_run_is_whole() -> None:
    run = trajectory.load_trajectory()
    states = trajectory.REQUEST.sampling.steps // trajectory.EVERY + 1
    assert run.x.shape == run.x0.shape == run.eps.shape == (states, 16, 1, 28, 28)
    assert run.labels is not None
    assert run.labels.tolist() == [k % 10 for k in range(16)]
    assert [float(run.t[0]), float(run.t[-1])] == [999, -1]
    assert (run.t.diff() < 0).all()
    torch.testing.assert_close(run.alpha.square() + run.sigma.square(), torch.ones(states))
    alpha, sigma = (level.reshape(-1, 1, 1, 1, 1) for level in (run.alpha, run.sigma))
    torch.testing.assert_close(run.x, alpha * run.x0 + sigma * run.eps)
    assert run.x[-1].abs().max() <= 1
    assert float(run.x[0].std()) == pytest.approx(1, abs=0.03)
    assert float(run.eps[0].std()) == pytest.approx(1, abs=0.03)
    assert trajectory.FILE.stat().st_size <= 4_000_000


def test_the_shipped_run_is_in_8_bits_what_is_drawn() -> None:
    """The first states again: rounding to 8 bits moves x̂_0 by half of 1/127, ε̂ by half a step."""
    model, request = trajectory.load_model(), trajectory.REQUEST
    run = trajectory.load_trajectory()
    noise = request.noise(model)
    torch.testing.assert_close(run.x[0], noise, rtol=0, atol=trajectory.EPS_STEP / 2 + 0.01)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_run_says_so(tmp_path, content: bytes) -> None:
    file = tmp_path / "trajectory.npz"
    with pytest.raises(ImageDataError, match=r"trajectory\.npz is missing"):
        trajectory.load_trajectory(file)
    file.write_bytes(content)
    with pytest.raises(ImageDataError, match="damaged"):
        trajectory.load_trajectory(file)
    file.write_bytes(trajectory.FILE.read_bytes()[:50_000])
    with pytest.raises(ImageDataError, match="damaged"):
        trajectory.load_trajectory(file)
