"""Training outside the page, by its real command: killed and resumed, shared by two processes, on a full disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from playground.diffusion.optimizer import OPTIMIZERS
from playground.diffusion.prediction import PREDICTIONS
from playground.mnist import train
from playground.mnist.data import mnist
from playground.mnist.export import sheet
from playground.mnist.train import Run, parse
from playground.mnist.weights import load_model
from playground.training_run import RunError

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--size", "14", "--channels", "16", "32", "--patch", "1", "--batch-size", "16", "--threads", "1"]
PATIENCE = 300.0  # seconds for what takes ten, on a machine that has much else to do


def command(folder: Path, *more: str) -> list[str]:
    return ["--out", str(folder), *SMALL, *more]


def begin(folder: Path, *more: str) -> Run:
    """The same as the command, up to its first step."""
    return Run(parse(command(folder, *more))[0], folder, Accelerator(cpu=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, with nothing in its way."""
    folder = tmp_path_factory.mktemp("finished")
    train.main(command(folder, "--steps", "60", "--checkpoint-every", "5", "--sample-every", "30"))
    return folder


# Killed and resumed


def test_a_killed_run_goes_on_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    arguments = command(tmp_path, "--steps", "60", "--checkpoint-every", "5", "--sample-every", "30")
    with subprocess.Popen(
        [sys.executable, "-m", "playground.mnist.train", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "checkpoint.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "model.safetensors").exists()
    stopped = begin(tmp_path, "--steps", "60").step
    assert 5 <= stopped < 60
    train.main(arguments)
    for name in ("model.safetensors", "samples-000060.png"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path, finished))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_run_has_nothing_left_to_do(finished: Path, tmp_path: Path) -> None:
    before = (finished / "model.safetensors").read_bytes()
    train.main(command(finished, "--steps", "60"))
    assert (finished / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "name"),
    [(["--seed", "1"], "seed"), (["--steps", "61"], "steps"), (["--prediction", "x0"], "training")],
)
def test_another_recipe_needs_another_folder(finished: Path, change: list[str], name: str) -> None:
    before = (finished / "checkpoint.safetensors").read_bytes()
    with pytest.raises(RunError, match=f"another recipe.*{name}"):
        begin(finished, "--steps", "60", *change)
    assert (finished / "checkpoint.safetensors").read_bytes() == before


# What is written


def test_the_card_says_how_it_was_made(finished: Path) -> None:
    card = json.loads((finished / "model.json").read_text(encoding="utf-8"))
    assert card["data"] == {"name": "MNIST", "images": 60_000, "shape": [1, 14, 14]}
    assert card["classes"] == [str(k) for k in range(10)]
    assert card["recipe"] == parse(command(finished, "--steps", "60"))[0].to_dict()
    assert card["recipe"]["seed"] == 0
    assert card["recipe"]["network"]["channels"] == [16, 32]
    assert card["training_steps"] == card["recipe"]["steps"] == 60
    assert card["training_seconds"] >= 0
    assert (card["processes"], card["device"]) == (1, "cpu")
    weights = load_file(finished / "model.safetensors")
    network = load_model(finished / "model.safetensors").network
    assert card["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert {weight.dtype for weight in weights.values()} == {torch.float16}


def test_the_model_is_the_average_in_half_precision(finished: Path) -> None:
    model, run = load_model(finished / "model.safetensors"), begin(finished, "--steps", "60")
    assert (run.step, model.shape, model.prediction) == (60, (1, 14, 14), "v")
    x = torch.randn(8, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    for angle in (0.1, 0.8, 1.5):
        level = torch.tensor(angle).cos(), torch.tensor(angle).sin()
        with torch.no_grad():
            half = model.network(x, *level, labels)
            whole = run.trainer.ema(x, *level, labels)
            network = run.trainer.network(x, *level, labels)
        torch.testing.assert_close(half, whole, rtol=0, atol=5e-3)
        assert (whole - network).abs().max() > 2e-2, "the average, not the last weights"


def test_sheets_of_samples(finished: Path) -> None:
    assert sorted(path.name for path in finished.glob("samples-*.png")) == ["samples-000030.png", "samples-000060.png"]
    with Image.open(finished / "samples-000060.png") as sheet:
        assert (sheet.mode, sheet.size) == ("L", (8 * 14, 10 * 14)), "eight of each class, row by row"


@pytest.mark.parametrize(("n", "channels"), [(16, 1), (5, 3), (9, 1)])
def test_a_sheet_shows_every_image_in_its_place(n: int, channels: int) -> None:
    x = mnist("test")[:n].repeat(1, channels, 1, 1)
    picture = sheet(x, 8, scale=1, gap=0)
    assert picture.size == (8 * 28, -(-n // 8) * 28)
    assert picture.mode == ("L" if channels == 1 else "RGB")
    row, column = divmod(n - 1, 8)
    last = picture.crop((column * 28, row * 28, column * 28 + 28, row * 28 + 28))
    assert list(last.convert("L").tobytes()) == mnist("test").images[n - 1].flatten().tolist()


# A disk that is full

FULL = """
import resource, signal, sys
from playground.mnist import train

def fill(*_):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error then, where else the process would end
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))

step = train.Run.save
saved = []

def save(run):
    if saved:
        fill()
    saved.append(run.step)
    step(run)

train.Run.save = save
train.main(sys.argv[1:])
""".replace("ROOM", "50_000")


def test_a_full_disk_leaves_the_old_checkpoint(finished: Path, tmp_path: Path) -> None:
    """The second checkpoint finds no room: the run ends, the first one is whole, and the run can go on."""
    arguments = command(tmp_path, "--steps", "60", "--checkpoint-every", "5", "--sample-every", "30")
    ended = subprocess.run(
        [sys.executable, "-c", FULL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 1
    assert "File too large" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"], "and nothing half written"
    assert begin(tmp_path, "--steps", "60").step == 5
    train.main(arguments)
    assert (tmp_path / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


# Two processes

TWO = """
import sys
from pathlib import Path
from accelerate import Accelerator
from safetensors.torch import save_file
from playground.mnist import train

folder, arguments = Path(sys.argv[1]), sys.argv[2:]
accelerator = Accelerator()

def run(name, *more):
    recipe = train.parse(["--out", str(folder / name), *arguments, *more])[0]
    return train.Run(recipe, folder / name, accelerator)

for name, more in {"odd": ["--batch-size", "15"], "norm": ["--kind", "classic", "--norm", "batch"]}.items():
    try:
        run(name, *more)
    except train.RunError as error:
        (folder / f"{name}-{accelerator.process_index}.txt").write_text(str(error))

trainer = run("once").trainer
trainer.optimizer.step = lambda *_: None  # only the gradients of the first step are wanted
loss = trainer.step().loss
gradients = {name: p.grad.contiguous() for name, p in trainer.network.named_parameters()}
save_file(gradients, folder / f"gradients-{accelerator.process_index}.safetensors", {"loss": str(loss)})
train.main(["--out", str(folder / "whole"), *arguments])
"""
FEW = ["--steps", "4", "--optimizer", "adamw", "--learning-rate", "1e-3", "--warmup-steps", "0"]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes on the CPU make of TWO. `accelerate launch --cpu` would start one: see its launch.py."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "two.py").write_text(TWO)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", str(free_port()), str(folder / "two.py"), str(folder), *SMALL, *FEW]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(launch, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_two_processes_find_the_gradients_of_one(two: Path, tmp_path: Path) -> None:
    trainer = begin(tmp_path, *FEW).trainer
    trainer.optimizer.step = lambda *_: None  # type: ignore[method-assign]
    trainer.step()
    shared = [load_file(two / f"gradients-{index}.safetensors") for index in (0, 1)]
    for name, parameter in trainer.network.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(shared[0][name], shared[1][name])
        largest = float(parameter.grad.abs().max())
        torch.testing.assert_close(shared[0][name], parameter.grad, rtol=1e-4, atol=1e-5 * largest + 1e-9)
    assert any(gradient.abs().max() > 1e-3 for gradient in shared[0].values())


def test_two_processes_train_what_one_trains(two: Path, tmp_path: Path) -> None:
    """Adam turns the rounding of a gradient near 0 into a step of another sign: a few steps, and few such weights."""
    train.main(command(tmp_path, *FEW))
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path, two / "whole"))
    assert ours.keys() == theirs.keys()
    assert torch.equal(ours["generator"], theirs["generator"])

    def weights(tensors: dict[str, Tensor]) -> Tensor:
        return torch.cat([tensor.flatten() for name, tensor in tensors.items() if name.startswith("network/")])

    apart = (weights(ours) - weights(theirs)).abs()
    assert apart.max() < 4 * 2 * 1e-3
    assert (apart < 1e-6).float().mean() > 0.99
    card = json.loads((two / "whole" / "model.json").read_text(encoding="utf-8"))
    assert card["processes"] == 2


def test_what_two_processes_cannot_share(two: Path) -> None:
    for index in (0, 1):
        assert "15 cannot be shared evenly by 2" in (two / f"odd-{index}.txt").read_text()
        assert "--norm group" in (two / f"norm-{index}.txt").read_text()


# Every recipe learns


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_recipe_lowers_the_loss(tmp_path: Path, optimizer: str, prediction: str) -> None:
    knobs = ["--prediction", prediction, "--optimizer", optimizer, "--warmup-steps", "0", "--steps", "12"]
    rate = "2e-2" if optimizer == "muon" else "5e-3"
    run = begin(tmp_path, *knobs, "--channels", "8", "--patch", "2", "--batch-size", "64", "--learning-rate", rate)
    losses = [step.loss for step in run.steps()]
    assert len(losses) == 12
    assert sum(losses[-3:]) / 3 < 0.9 * losses[0]


def test_the_command_line_is_the_recipe(tmp_path: Path) -> None:
    default, _ = parse(["--out", str(tmp_path)])
    assert default == train.Recipe()
    recipe, options = parse(command(tmp_path, "--no-attention", "--kind", "classic", "--ema-decay", "0.5"))
    assert recipe.network.attention is False
    assert (recipe.network.kind, recipe.network.channels, recipe.training.ema_decay) == ("classic", (16, 32), 0.5)
    assert options.out == tmp_path
