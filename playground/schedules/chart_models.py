"""The models that the quality chart samples from: the exact denoiser of a blurred cloud, a toy network trained on the
schedule, or the MNIST network that ships. Each comes with its start noise and with a judge of its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from playground.diffusion.metrics import frechet_distance, sliced_wasserstein
from playground.diffusion.sampling import Denoiser, network_denoiser, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Trainer, TrainingConfig
from playground.mnist.data import mnist
from playground.mnist.judge import DIGIT, SAMPLED_AT_ONCE, features, reads
from playground.mnist.weights import load_model
from playground.schedules.cache import Cache
from playground.schedules.reference import blurred_cloud
from playground.toy.data import make_cloud
from playground.toy.network import NetworkConfig, PointMLP

TRAINED_ON = 5_000  # points, as in the toy lab
BOX_MARGIN = 0.1  # x̂0 may leave the data's box by this share of its size, as in the toy lab
FLOOR_DRAWS = 8  # the floor is the mean over this many draws: a single one errs by a third
FRESH, FIRST_DRAW = 2, 3  # added to the seed: of the data that samples are compared with, and of the floor's draws


@dataclass(frozen=True)
class Verdict:
    """`distance` to data, in the unit of the floor; `right`, of digits only: the share read as the class asked for."""

    distance: float
    right: float | None = None


@dataclass(frozen=True, eq=False)
class ChartModel:
    """`batches`: pairs of start noise (N, …) and its denoiser; `judge`: how good all the samples together are."""

    batches: tuple[tuple[Tensor, Denoiser], ...]
    judge: Callable[[Tensor], Verdict]


@dataclass(frozen=True)
class LearnProgress:
    """The toy network of schedule number `schedule` is being trained: `step` of `steps`, and the batch's loss."""

    schedule: int
    step: int
    steps: int
    loss: float


# --- the exact denoiser -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def exact_model(cloud: str, blur: float, n: int, seed: int) -> ChartModel:
    """The optimal denoiser of `blurred_cloud`: it needs no training and serves every schedule."""
    law = blurred_cloud(cloud, blur, seed)
    fresh = _draw_exact(cloud, blur, n, seed + FRESH, seed)
    return ChartModel(
        ((start_noise(n, 2, seed), law.mixture),),
        lambda x: Verdict(law.scale * sliced_wasserstein(x, fresh)),
    )


@lru_cache(maxsize=64)
def exact_floor(cloud: str, blur: float, n: int, seed: int) -> float:
    """The distance of n perfect samples, in the cloud's own units."""
    judge_ = exact_model(cloud, blur, n, seed).judge
    draws = (_draw_exact(cloud, blur, n, seed + FIRST_DRAW + k, seed) for k in range(FLOOR_DRAWS))
    return sum(judge_(draw).distance for draw in draws) / FLOOR_DRAWS


def _draw_exact(cloud: str, blur: float, n: int, seed: int, cloud_seed: int) -> Tensor:
    return blurred_cloud(cloud, blur, cloud_seed).mixture.sample(n, torch.Generator().manual_seed(seed))


# --- a toy network, trained on the schedule ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """What a toy network's weights depend on."""

    cloud: str
    schedule: ScheduleConfig
    steps: int
    seed: int


NETWORKS: Cache[Training, nn.Module] = Cache(64)  # 70 kB each


def toy_model(training: Training, index: int, n: int) -> Generator[LearnProgress, None, ChartModel]:
    """The toy lab's Fast network after `training.steps` steps at t drawn evenly from the schedule, number `index`.

    Evenly, as Ho et al. 2020 do, rather than as Fast does, whose noise levels know nothing of the schedule. Raises
    Diverged.
    """
    cloud = make_cloud(training.cloud, TRAINED_ON, training.seed)
    mean = cloud.points.mean(0)
    std = (cloud.points - mean).square().mean().sqrt()
    standard = (cloud.points - mean) / std
    config = TrainingConfig(noise_levels="uniform")
    network = NETWORKS.get(training)
    if network is None:
        network = PointMLP(NetworkConfig(), 0, training.seed)
        trainer = Trainer(network, standard, training.schedule.make(), config, training.seed)
        for step in trainer.steps(training.steps):
            yield LearnProgress(index, step.step, training.steps, step.loss)
        network = NETWORKS.put(training, trainer.ema)
    margin = BOX_MARGIN * (standard.amax(0) - standard.amin(0)).max()
    low, high = standard.amin(0) - margin, standard.amax(0) + margin
    denoise = network_denoiser(network, config.prediction, None, 1.0, low, high)
    fresh = make_cloud(training.cloud, n, training.seed + FRESH).points
    return ChartModel(
        ((start_noise(n, 2, training.seed), denoise),),
        lambda x: Verdict(sliced_wasserstein(x * std + mean, fresh)),
    )


@lru_cache(maxsize=64)
def toy_floor(cloud: str, n: int, seed: int) -> float:
    """The distance of n fresh data points to n others, in the cloud's own units."""
    fresh = make_cloud(cloud, n, seed + FRESH).points
    draws = (make_cloud(cloud, n, seed + FIRST_DRAW + k).points for k in range(FLOOR_DRAWS))
    return sum(sliced_wasserstein(draw, fresh) for draw in draws) / FLOOR_DRAWS


# --- the MNIST network that ships -------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def mnist_model(guidance_scale: float, n: int, seed: int) -> ChartModel:
    """n digits, as many of each class, from the shipped network."""
    model = load_model()
    labels = torch.arange(n) % len(model.classes)
    noise = start_noise(n, DIGIT[1] * DIGIT[2], seed).reshape(n, *DIGIT)
    parts = zip(noise.split(SAMPLED_AT_ONCE), labels.split(SAMPLED_AT_ONCE), strict=True)
    batches = tuple((x, model.denoiser(classes, guidance_scale)) for x, classes in parts)
    return ChartModel(batches, partial(_judge_digits, labels))


def _judge_digits(labels: Tensor, x: Tensor) -> Verdict:
    """As playground.mnist.judge does, without its search for copies, which takes longer than drawing a few digits."""
    x = x.clamp(-1, 1)  # as shown
    return Verdict(_distance_to_digits(x), float((reads(x).argmax(1) == labels).double().mean()))


@lru_cache(maxsize=1)
def _test_features() -> Tensor:
    return features(mnist("test")[:])


def _distance_to_digits(x: Tensor) -> float:
    return frechet_distance(features(x), _test_features())


@lru_cache(maxsize=32)
def mnist_floor(n: int, seed: int) -> float:
    """The Fréchet distance of n real digits, as many of each class: far from 0 for fewer than some thousands."""
    digits, counts = mnist("train"), (torch.arange(n) % 10).bincount(minlength=10).tolist()
    assert digits.labels is not None  # MNIST's digits have theirs
    generator = torch.Generator().manual_seed(seed + FIRST_DRAW)
    distances = []
    for _ in range(FLOOR_DRAWS):
        order = torch.randperm(len(digits), generator=generator)
        drawn = torch.cat([order[digits.labels[order] == c][:count] for c, count in enumerate(counts)])
        distances.append(_distance_to_digits(digits[drawn]))
    return sum(distances) / len(distances)
