"""The toy lab's knobs as a table: what each sets, how it looks, and what turning it does."""

from __future__ import annotations

from typing import Any

from playground.diffusion.noise_schedule import MAX_TIMESTEPS
from playground.diffusion.prediction import PREDICTIONS
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.sampling_config import DEFAULT_SPACING, every_spacing, with_knob
from playground.diffusion.training import DECAYS
from playground.settings import SETTINGS
from playground.toy.data import DATASETS
from playground.toy.network import ACTIVATIONS
from playground.toy.user_points import MAX_CLASSES
from playground.ui.shared.knobs import NOTHING, OWN, Choices, Knob
from playground.ui.shared.schedule_knobs import NAME, TIMESTEPS, ZERO_TERMINAL_SNR, row_knobs, schedule_choices


def _plain(*values: Any) -> Choices:
    return tuple((f"{v:g}" if isinstance(v, float) else str(v), v) for v in values)


def groups() -> dict[str, tuple[Knob, ...]]:
    """The knobs by group. Made anew for each page: schedules and samplers may have been added."""
    return {
        "Data": (
            Knob(
                "dataset",
                "point cloud",
                "What the network must learn to draw. A new cloud starts a new network.",
                (*((d.title, name) for name, d in DATASETS.items()), ("Your own", OWN)),
            ),
            Knob(
                "conditional",
                "learn the classes",
                "Tell the network each point's class, so that samples can be asked for by class (guidance).",
            ),
            Knob(
                "n_points",
                "points to learn from",
                "Few points are learned by heart; many show the shape between them.",
                limits=(100, SETTINGS.max_points, 100),
                more=True,
            ),
            Knob(
                "seed", "seed", "The same seed gives the same run, to the last digit.", limits=(0, 9999, 1), more=True
            ),
        ),
        "Noise": (
            Knob(
                NAME,
                "schedule",
                "How fast data drown in noise as t grows. The network is told σ/α, so it need not start again.",
                schedule_choices(),
            ),
            Knob(
                TIMESTEPS,
                "timesteps T",
                "Into how many steps the way to noise is cut.",
                limits=(10, MAX_TIMESTEPS, 10),
            ),
            Knob(
                ZERO_TERMINAL_SNR,
                "zero terminal SNR",
                "Stretch the schedule so that nothing of the data is left at t = T-1 (Lin et al. 2023).",
                more=True,
            ),
            *row_knobs(),
            Knob(
                "training.p_mean",
                "mean of ln σ",
                "Log-normal levels only: where the practice lies. Lower is finer detail. Takes effect at once.",
                limits=(-4, 2, 0.1),
                more=True,
            ),
            Knob(
                "training.p_std",
                "spread of ln σ",
                "Log-normal levels only: how wide the practice is. Takes effect at once.",
                limits=(0.2, 3, 0.1),
                more=True,
            ),
            Knob(
                "training.noise_levels",
                "levels trained on",
                "Log-normal practises where the shape emerges (Karras et al. 2022); uniform in t is Ho et al. 2020.",
                (("log-normal σ", "log_normal"), ("uniform t", "uniform")),
                more=True,
            ),
        ),
        "Network": (
            Knob(
                "network.width",
                "width",
                "Neurons a layer: wider learns finer detail, and slower. Starts again.",
                _plain(16, 32, 64, 128, 256),
            ),
            Knob("network.depth", "hidden layers", "More layers bend space more. Starts again.", limits=(1, 6, 1)),
            Knob(
                "network.fourier_features",
                "Fourier features",
                "Waves of x the network sees besides x itself; 0 blurs fine detail. Starts again.",
                _plain(0, 8, 16, 32, 64),
                more=True,
            ),
            Knob(
                "network.damp_features",
                "damp features by noise",
                "Fade a wave where the noise is longer than it. Starts again.",
                more=True,
            ),
            Knob(
                "network.activation",
                "activation",
                "The bend in each neuron. Starts again.",
                _plain(*ACTIVATIONS),
                more=True,
            ),
            Knob(
                "network.time_embedding",
                "time embedding",
                "How the network is told the noise level: waves of ln σ/α, or one number appended. Starts again.",
                (("sinusoidal", "sinusoidal"), ("appended", "append")),
                more=True,
            ),
        ),
        "Learning": (
            Knob(
                "training.learning_rate",
                "learning rate",
                "The size of a step: too small crawls, too large explodes (try 10). Takes effect at once.",
                _plain(1e-4, 3e-4, 1e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0, 10.0),
            ),
            Knob(
                "training.batch_size",
                "batch size",
                "Points a step: larger is steadier and slower. Takes effect at once.",
                _plain(8, 25, 64, 128, 256, 512, 1024),
            ),
            Knob(
                "training.prediction",
                "the network predicts",
                "Noise ε, clean x0, v = αε - σx0, or the flow ε - x0. Starts again.",
                _plain(*PREDICTIONS),
            ),
            Knob(
                "training.warmup_steps",
                "warm-up steps",
                "Steps until the full rate: Adam knows nothing of the gradient's scale at first.",
                limits=(0, 200, 1),
                more=True,
            ),
            Knob(
                "training.decay_steps",
                "decay begins at step",
                "Before it the rate is constant. Takes effect at once.",
                limits=(10, 5000, 10),
                more=True,
            ),
            Knob(
                "training.beta2",
                "Adam β₂",
                "How long Adam remembers the size of gradients. Takes effect at once.",
                _plain(0.9, 0.99, 0.999),
                more=True,
            ),
            Knob(
                "training.decay",
                "rate decays",
                "With time (∝ 1/√step), or not at all. Takes effect at once.",
                tuple((d.replace("_", " "), d) for d in DECAYS if d != "cosine"),  # a live run has no planned end
                more=True,
            ),
            Knob(
                "training.ema_decay",
                "weight averaging (EMA)",
                "Samples come from a running average of the weights: larger is smoother and lags. Takes effect at "
                "once.",
                _plain(0.0, 0.9, 0.99, 0.999, 0.9999),
                more=True,
            ),
            Knob(
                "training.weight_decay",
                "weight decay",
                "Pulls all weights towards 0 a little at each step. Takes effect at once.",
                limits=(0, 0.5, 0.01),
                more=True,
            ),
            Knob(
                "training.max_grad_norm",
                "longest gradient",
                "Longer ones are cut to this length, which tames a rate too large; 0 lets all pass. Takes effect at "
                "once.",
                limits=(0, 10, 0.1),
                more=True,
            ),
            Knob(
                "training.label_dropout",
                "label dropout",
                "Share of classes hidden while training; guidance needs some.",
                limits=(0, 1, 0.05),
                more=True,
            ),
        ),
        "Sampling": (
            Knob(
                "sampling.sampler",
                "sampler",
                "The way from noise to data; the same classes as in Stable Diffusion.",
                tuple((s.title, name) for name, s in SAMPLERS.items()),
            ),
            Knob(
                "sampling.steps",
                "steps",
                f"Steps from noise to data. While training, frames take at most {SETTINGS.preview_steps}.",
                limits=(2, 1000, 1),
            ),
            Knob(
                "guidance_scale",
                "guidance scale s",
                "1 is none. diffusers' s; the paper's w is s - 1. Needs a network that learned the classes.",
                limits=(0, 10, 0.25),
            ),
            Knob(
                "label",
                "class to draw",
                "One class alone, or all as often as in the data. Needs a network that learned the classes.",
                (("all", NOTHING), *((str(k), k) for k in range(MAX_CLASSES))),
            ),
            Knob(
                "sampling.spacing",
                "steps fall",
                "Where on the schedule the steps stand.",
                (("sampler's default", DEFAULT_SPACING), *((s, s) for s in every_spacing())),
                more=True,
            ),
            Knob(
                "sampling.eta",
                f"η ({with_knob('eta')})",
                "0 is deterministic, 1 adds as much noise as DDPM.",
                limits=(0, 1, 0.1),
                more=True,
            ),
            Knob(
                "sampling.variance",
                f"variance ({with_knob('variance')})",
                "How much noise each step adds back: β̃ or β.",
                (("β̃, the posterior's", "fixed_small"), ("β", "fixed_large")),
                more=True,
            ),
            Knob(
                "sampling.langevin_step",
                "step size (Langevin)",
                "Over σ²: larger mixes faster and errs more.",
                limits=(0.05, 1, 0.05),
                more=True,
            ),
            Knob(
                "sampling.langevin_inner",
                "moves a level (Langevin)",
                "Annealed Langevin: moves at each noise level.",
                limits=(1, 20, 1),
                more=True,
            ),
            Knob(
                "sampling.langevin_t",
                "noise level (Langevin)",
                "Where plain Langevin stays, as a share of T.",
                limits=(0, 1, 0.05),
                more=True,
            ),
        ),
    }


def all_knobs() -> tuple[Knob, ...]:
    """All of them, in order."""
    return tuple(knob for group in groups().values() for knob in group)
