"""The first thing on the page: a run of DDPM through all 1,000 timesteps, drawn beforehand. It takes half a minute.

    python -m playground.mnist.trajectory

writes assets/mnist/trajectory.npz: every 5th of the run's states, x̂_0 and ε̂ in 8 bits each (x_t = α x̂_0 + σ ε̂).
"""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from playground.diffusion.sampling import SamplePath
from playground.mnist.data import MNIST, ImageDataError
from playground.mnist.generate import Request, generate
from playground.mnist.weights import load_model
from playground.storage import write_atomically

FILE = MNIST / "trajectory.npz"
EVERY = 5
EPS_STEP = 0.05  # finer than the eye can see in noise
REQUEST = Request.of(
    [k % 10 for k in range(16)], sampler="ddpm", steps=1_000, schedule="linear", guidance_scale=1.0, seed=0
)


def make() -> bytes:
    """Draw the run and pack it."""
    steps = tqdm(generate(load_model(), REQUEST), total=1_001)
    kept = [step for step in steps if step.index % EVERY == 0 or step.t < 0]
    out = io.BytesIO()
    np.savez_compressed(
        out,
        x0=(torch.stack([s.x0 for s in kept]) * 127).round().clamp(-127, 127).to(torch.int8).numpy(),
        eps=(torch.stack([s.eps for s in kept]) / EPS_STEP).round().clamp(-127, 127).to(torch.int8).numpy(),
        t=np.array([s.t for s in kept], np.float32),
        alpha=np.array([s.alpha for s in kept], np.float32),
        sigma=np.array([s.sigma for s in kept], np.float32),
    )
    return out.getvalue()


@lru_cache(maxsize=1)
def load_trajectory(path: Path = FILE) -> SamplePath:
    """The shipped run. Raises ImageDataError for a missing or damaged file."""
    try:
        with np.load(path) as file:
            data = {name: torch.from_numpy(file[name]) for name in file.files}
        x0, eps = data["x0"].float() / 127, data["eps"].float() * EPS_STEP
        alpha, sigma = data["alpha"], data["sigma"]
        shape = (-1, 1, 1, 1, 1)
        x = alpha.reshape(shape) * x0 + sigma.reshape(shape) * eps
        return SamplePath(x, x0, eps, data["t"], alpha, sigma, REQUEST.check(load_model()), 1_000, REQUEST.seed)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ImageDataError(f"{path.name} is missing or damaged. Check out the repository again.") from error


if __name__ == "__main__":
    torch.set_num_threads(1)
    written = make()
    write_atomically(FILE, written)
    print(f"{FILE.name}: {len(written):,} bytes", file=sys.stderr)
