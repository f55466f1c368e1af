"""MnistLab: one visitor's experiments on images, free of any page.

lab = MnistLab()                                    # the model that ships
path = lab.sample(labels=[7] * 16, steps=20, guidance_scale=2.0, seed=0)
table = lab.forward(seed=0)                         # real digits, and the noise they sink into
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.sampling import SamplePath, SampleStep, collect, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig, TrainStep
from playground.mnist import generate
from playground.mnist.data import ImageSet, mnist
from playground.mnist.generate import MODEL_SCHEDULE, GenerateError, Request
from playground.mnist.live import LiveConfig, LiveRun
from playground.mnist.networks import NetworkConfig, make_network
from playground.mnist.weights import ImageModel, load_model
from playground.storage import StorageError, decode, encode, flatten, unflatten

FORMAT = "diffusion-playground/mnist/1"
SHOWN = 16
MAX_SIDE = 256  # pixels of the images that a file may ask for


@dataclass(frozen=True)
class ForwardTable:
    """Images and one noise for each, the same at every t: `x0`, `eps` (N, C, H, W), `labels` (N,) or None."""

    x0: Tensor
    eps: Tensor
    labels: Tensor | None
    schedule: NoiseSchedule

    def at(self, t: int) -> Tensor:
        """x_t = α_t x_0 + σ_t ε, (N, C, H, W). Ho et al. 2020, equation 4."""
        if not 0 <= t < len(self.schedule):
            raise GenerateError(f"Timesteps run from 0 to {len(self.schedule) - 1}.")
        return self.schedule.add_noise(self.x0, self.eps, torch.full((len(self.x0),), t))


class MnistLab:
    """A trained model, and perhaps one in training. Sampling only reads: several threads may.

    Raises the errors of Request, SamplingConfig and ScheduleConfig, all ValueErrors, for what cannot be drawn.
    """

    def __init__(self, model: ImageModel | None = None) -> None:
        self.shipped = load_model()
        self.model = model or self.shipped
        self.run: LiveRun | None = None

    # --- forward -------------------------------------------------------------------------------------------------

    def real(self, seed: int = 0, n: int = SHOWN) -> tuple[Tensor, Tensor]:
        """`n` test digits (n, 1, 28, 28) in [-1, 1], drawn by `seed`, and their labels. No network has seen them."""
        digits = mnist("test")
        index = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))[:n]
        assert digits.labels is not None
        return digits[index], digits.labels[index]

    def forward(
        self, seed: int = 0, n: int = SHOWN, schedule: ScheduleConfig | str = MODEL_SCHEDULE, **knobs: Any
    ) -> ForwardTable:
        """`n` real digits on their way into noise; `knobs` are the schedule's."""
        x0, labels = self.real(seed, n)
        eps = start_noise(n, x0[0].numel(), seed).reshape(x0.shape)
        config = (
            ScheduleConfig(schedule, **knobs) if isinstance(schedule, str) else dataclasses.replace(schedule, **knobs)
        )
        return ForwardTable(x0, eps, labels, config.make())

    # --- reverse -------------------------------------------------------------------------------------------------

    def sampling(self, labels: Any = None, n: int = SHOWN, **knobs: Any) -> Iterator[SampleStep]:
        """From noise to images, one state at a time. Arguments as for `sample`."""
        return generate.generate(self.model, Request.of(labels, n, **knobs))

    def sample(self, labels: Any = None, n: int = SHOWN, **knobs: Any) -> SamplePath:
        """Images of the classes `labels`, or `n` of whatever class, and the way there.

        Knobs: seed, guidance_scale (diffusers' convention, 1 is none), schedule, timesteps, rescale_betas_zero_snr, and
        SamplingConfig's: sampler, steps, spacing, eta, variance …
        """
        request = Request.of(labels, n, **knobs)
        return self._path(generate.generate(self.model, request), request)

    def _path(self, steps: Iterator[SampleStep], request: Request) -> SamplePath:
        return collect(steps, None if request.labels is None else torch.tensor(request.labels), request.seed)

    # --- training ------------------------------------------------------------------------------------------------

    def begin(self, config: LiveConfig | None = None) -> LiveRun:
        """A new live run; what drew before goes on drawing until `use_trained`."""
        self.run = LiveRun(config or LiveConfig.scratch(), self.shipped)
        return self.run

    def train(self, steps: int | None = None) -> Iterator[TrainStep]:
        """`steps` more steps of the live run, which begins where there is none. Raises Diverged."""
        return (self.run or self.begin()).train(steps)

    def use_trained(self) -> None:
        """From now on the live run's averaged weights draw."""
        if self.run is None or not self.run.step:
            raise GenerateError("Nothing is trained yet: press Train first.")
        self.model = self.run.model()

    @property
    def draws_shipped(self) -> bool:
        """Whether the model that ships draws."""
        return self.model is self.shipped

    def use_shipped(self) -> None:
        """From now on the model that ships draws."""
        self.model = self.shipped

    # --- keeping it ----------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """What draws, and the live run where there is one, as a safetensors file."""
        model, recipe = self.model, self.model.card["recipe"]
        tensors = {f"model/{name}": tensor.contiguous() for name, tensor in model.network.state_dict().items()}
        config: dict[str, Any] = {
            "name": model.name,
            "prediction": model.prediction,
            "shape": model.shape,
            "classes": model.classes,
            "network": recipe["network"],
            "training": recipe["training"],
        }
        rest: dict[str, Any] = {}
        if self.run is not None:
            run = self.run.config
            config["run"] = {
                "size": run.size,
                "start": run.start,
                "seed": run.seed,
                "network": dataclasses.asdict(run.network),
                "training": dataclasses.asdict(run.training),
            }
            state, rest = flatten(self.run.state(), "run/")
            tensors |= state
            if run.drawn is not None and run.drawn_labels is not None:
                tensors |= {"drawn": run.drawn, "drawn_labels": run.drawn_labels}
            if run.data is not None:
                config["run"]["data"] = {"name": run.data.name, "classes": run.data.classes}
                tensors["images"] = run.data.images
                if run.data.labels is not None:
                    tensors["labels"] = run.data.labels
        return encode(FORMAT, config, tensors, rest)

    @classmethod
    def from_bytes(cls, data: bytes) -> MnistLab:
        """The inverse of `to_bytes`: samples are bit-identical, training goes on where it stood.

        Raises GenerateError.
        """
        try:
            config, tensors, rest = decode(data, FORMAT, "an MNIST lab's model")
            channels, height, width = map(int, config["shape"])
            shape, classes = (channels, height, width), tuple(map(str, config["classes"]))
            if max(shape) > MAX_SIDE:  # a network's weights do not tell the size of its images
                raise ValueError(f"images of {shape}")
            network = make_network(NetworkConfig(**config["network"]), shape, len(classes), 0)
            weights = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
            network.load_state_dict(weights)
            network.eval().requires_grad_(False)
            training = TrainingConfig(**config["training"])
            card = {"recipe": {"network": config["network"], "training": config["training"]}}
            lab = cls(ImageModel(str(config["name"]), network, training.prediction, shape, classes, card))
            if "run" in config:
                lab._restore(config["run"], tensors, rest)
        except StorageError as error:
            raise GenerateError(str(error)) from error
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError) as error:
            raise GenerateError("This file's weights do not fit the network that its header names.") from error
        return lab

    def _restore(self, config: dict[str, Any], tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        network, training = NetworkConfig(**config["network"]), TrainingConfig(**config["training"])
        data = None
        if "data" in config:
            classes = tuple(map(str, config["data"]["classes"]))
            data = ImageSet(str(config["data"]["name"]), tensors["images"], tensors.get("labels"), classes)
            _check(data)
        drawn, labels = tensors.get("drawn"), tensors.get("drawn_labels")
        run = LiveConfig(config["size"], config["start"], config["seed"], network, training, drawn, labels, data)
        self.run = LiveRun(run, self.shipped)
        started = any(name.startswith("run/optimizer/") for name in tensors)
        trainer = self.run.trainer
        state = trainer.blank_state() if started else trainer.state_dict()
        trainer.load_state_dict(unflatten(state, tensors, rest, "run/"))

    def save(self, path: str | Path) -> None:
        """Write `to_bytes` to `path`."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> MnistLab:
        """Read what `save` wrote. Raises GenerateError."""
        return cls.from_bytes(Path(path).read_bytes())


def _check(data: ImageSet) -> None:
    """Raise ValueError for images or labels that training would stumble over."""
    if data.images.dtype != torch.uint8 or data.images.ndim != 4 or not data.images.numel():
        raise ValueError(f"images of {data.images.dtype}, {tuple(data.images.shape)}")
    labels = data.labels
    if labels is not None and not (
        labels.dtype == torch.int64
        and labels.shape == data.images.shape[:1]
        and ((labels >= 0) & (labels < len(data.classes))).all()
    ):
        raise ValueError("labels without an image or a class")
