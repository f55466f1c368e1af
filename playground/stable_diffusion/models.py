"""The catalogue: which models there are, and how one gets into memory, once for all visitors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.settings import SETTINGS
from playground.stable_diffusion import attention, hub
from playground.stable_diffusion.devices import (
    SMALL,
    Machine,
    Plan,
    free_memory,
    measure,
    out_of_memory,
    plan,
)
from playground.stable_diffusion.digits.preview import load_preview
from playground.stable_diffusion.hub import LoadProgress, ModelError
from playground.stable_diffusion.offload import Offload
from playground.stable_diffusion.preview import linear_map
from playground.stable_diffusion.request import DEFAULT_SCHEDULER, Preview

__all__ = [
    "CATALOGUE",
    "Defaults",
    "LoadProgress",
    "Loaded",
    "Model",
    "ModelError",
    "default_model",
    "in_memory",
    "load",
    "loading",
]

TINY = Path(__file__).resolve().parents[2] / "assets" / "tiny-stable-diffusion"
CLASSES = ("StableDiffusionPipeline", "UNet2DConditionModel", "AutoencoderKL", "PNDMScheduler")


@dataclass(frozen=True)
class Defaults:
    """What suits a model: where its knobs stand when it is chosen."""

    prompt: str
    steps: int
    guidance_scale: float
    scheduler: str
    size: int  # pixels, height and width
    images: int
    preview: Preview


# As the course notebook has them: PNDM, 50 steps, guidance 8, four images of one prompt
_NOTEBOOK = Defaults("a photograph of an astronaut riding a horse", 50, 8.0, DEFAULT_SCHEDULER, 512, 4, "linear")


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue. `source`: a local diffusers folder, or a Hub id; `bytes`: of its weights in half
    precision, about.
    """

    name: str
    title: str
    source: str | Path
    about: str
    defaults: Defaults
    bytes: int


def _catalogue(added: tuple[str, ...]) -> dict[str, Model]:
    models = [
        Model(
            "tiny",
            "Tiny (coloured digits)",
            TINY,
            "3 million weights, trained here on handwritten digits and words for them; needs no GPU and no network.",
            Defaults("a red seven on a blue background", 20, 3.0, DEFAULT_SCHEDULER, 32, 4, "decode"),
            8_000_000,
        ),
        Model(
            "sd15",
            "Stable Diffusion 1.5",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "Rombach et al. 2022, trained further: 1.1 billion weights; wants a GPU.",
            _NOTEBOOK,
            2_740_000_000,
        ),
        Model(
            "sd14",
            "Stable Diffusion 1.4",
            "CompVis/stable-diffusion-v1-4",
            "Rombach et al. 2022: the course notebook's own; wants a GPU.",
            _NOTEBOOK,
            2_740_000_000,
        ),
    ]
    for source in added:
        folder = Path(source)
        local = folder.is_dir()
        models.append(
            Model(
                folder.name if local else source,
                folder.name if local else source,
                folder.resolve() if local else source,
                "Added by whoever runs this playground.",
                _NOTEBOOK,
                sum(size for file, size in hub.files_in(folder).items() if file.endswith(".safetensors"))
                if local
                else 2_740_000_000,
            )
        )
    return {model.name: model for model in models}


CATALOGUE = _catalogue(SETTINGS.models)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory. One for all visitors: read it, never write to it."""

    model: Model
    pipeline: Any  # diffusers' StableDiffusionPipeline: its parts are used, its own scheduler and state are not
    plan: Plan
    offload: Offload | None = None  # moves its parts, where the plan says so
    # Held at every use of the tokenizer: its truncation and padding settings are shared by all calls
    tokenizing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, pipeline: Any, model: Model | None = None, plan: Plan | None = None) -> Loaded:
        """A pipeline as it stands, in float32 on the processor unless a plan says otherwise."""
        for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
            part.eval().requires_grad_(False)
        attention.install(pipeline.unet)
        if plan is None:
            plan = Plan("cpu", torch.float32, False, False, False, False, "float32 on the processor.")
        if model is None:
            size = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
            defaults = Defaults("", 20, 3.0, DEFAULT_SCHEDULER, size, 1, "decode")
            model = Model("unnamed", "A pipeline in memory", "", "", defaults, 0)
        return cls(model, pipeline, plan, Offload(pipeline) if plan.offload else None)

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The noise schedule that the model was trained on."""
        return self.pipeline.scheduler.config

    @cached_property
    def fast_unet(self) -> Any:
        """The U-Net as the loop calls it: compiled, where the plan says so."""
        return torch.compile(self.pipeline.unet) if self.plan.compile else self.pipeline.unet

    @cached_property
    def preview_decoder(self) -> nn.Module | None:
        """A quicker decoder for previews, where the model ships one."""
        decoder = load_preview(self.model.source) if isinstance(self.model.source, Path) else None
        return decoder and decoder.to(self.plan.device, self.plan.dtype)

    @cached_property
    def linear_map(self) -> Tensor:
        """(C + 1, 3): RGB of each latent channel and, last, a constant, for the rough preview."""
        return linear_map(self.pipeline.vae, self.model.defaults.size)

    @cached_property
    def _float32_vae(self) -> Any:
        vae = self.pipeline.vae
        # Not deepcopy: the hooks of an offloaded VAE hold the U-Net and the text encoder, which would be copied too
        copied = type(vae).from_config(vae.config).to(self.plan.device)
        copied.load_state_dict(vae.state_dict())
        copied.use_slicing = vae.use_slicing
        return copied.eval().requires_grad_(False)

    def float32_vae(self) -> Any:
        """A copy of the VAE that cannot overflow, made when it is first needed. The shared one stays as it is."""
        with self._lock:
            return self._float32_vae


def default_model(machine: Machine) -> str:
    """What the page opens with: Tiny, unless there is a GPU that Stable Diffusion fits on."""
    fits = machine.kind == "cuda" and not plan(machine, CATALOGUE["sd15"].bytes, 512).offload
    return "sd15" if fits else "tiny"


# ---- Loading: one model at a time, and what is loaded is there for all visitors

_LOADING = threading.Lock()
_IN_MEMORY: dict[str, Loaded] = {}
POLL = 0.2  # seconds


def in_memory(name: str) -> bool:
    """Whether `load(name)` takes no time. A large model makes room for the next one."""
    return name in _IN_MEMORY


def load(name: str) -> Loaded:
    """The model `name`, in memory from now on. Raises ModelError."""
    for _ in loading(name):
        pass
    return _IN_MEMORY[name]


def loading(name: str) -> Iterator[LoadProgress]:
    """Load the model `name`, reporting progress; afterwards `load(name)` takes no time. Raises ModelError."""
    if name not in CATALOGUE:
        raise ModelError(f"There is no model {name[:80]!r}. Choose one of: {', '.join(CATALOGUE)}.")
    while name not in _IN_MEMORY:
        if not _LOADING.acquire(timeout=POLL):
            yield LoadProgress("Somebody else's page is loading a model; this one is next", 0.0)
            continue
        try:
            if name not in _IN_MEMORY:
                yield from _load(CATALOGUE[name])
        finally:
            _LOADING.release()
    yield LoadProgress("Ready", 1.0)


def _load(model: Model) -> Iterator[LoadProgress]:
    yield LoadProgress("Importing diffusers and transformers (once, some seconds)", 0.02)
    import_diffusers(*CLASSES)
    folder = model.source if isinstance(model.source, Path) else None
    if folder is None:
        for progress in hub.fetch(str(model.source)):
            yield LoadProgress(progress.words, 0.1 + 0.7 * progress.fraction)
        folder = hub.cached(str(model.source))
    if folder is None or not folder.is_dir():
        raise ModelError(f"{model.title} is not on this machine. Check out the repository again, or choose another.")
    yield LoadProgress(f"Reading {model.title}", 0.8)
    if model.bytes >= SMALL:  # one large model at a time; a run that still uses another one keeps it until it ends
        for other in [name for name, loaded in _IN_MEMORY.items() if loaded.model.bytes >= SMALL]:
            del _IN_MEMORY[other]
        free_memory(measure().kind)
    size, images = model.defaults.size, model.defaults.images
    chosen = plan(measure(), model.bytes, size, images, SETTINGS.compile_unet)
    _IN_MEMORY[model.name] = _place(read(folder, model.title, chosen.dtype), model, chosen)


def read(folder: Path, name: str, dtype: torch.dtype = torch.float32) -> Any:
    """The StableDiffusionPipeline in a diffusers folder, safetensors only. Raises ModelError."""
    _, variant = hub.wanted(hub.files_in(folder), name)
    hub.check_index(folder, name)
    diffusers = import_diffusers(*CLASSES)
    try:
        return diffusers.StableDiffusionPipeline.from_pretrained(
            folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True
        )
    except Exception as error:  # whatever may be in such a folder: the libraries fail in any of a dozen ways
        raise ModelError(
            f"The files of {name} are damaged or do not fit each other ({type(error).__name__}). Fetch it again."
        ) from error


def _place(pipeline: Any, model: Model, chosen: Plan) -> Loaded:
    """Put a pipeline where the plan says."""
    full = False
    try:
        if chosen.channels_last:
            pipeline.unet.to(memory_format=torch.channels_last)
            pipeline.vae.to(memory_format=torch.channels_last)
        if chosen.vae_slicing:
            pipeline.vae.enable_slicing()
        if chosen.offload:
            pipeline.enable_model_cpu_offload()
        else:
            pipeline.to(chosen.device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        full = True  # raised outside of the handler, whose traceback keeps what was moved already in memory
    if full:
        del pipeline
        free_memory(chosen.device)
        raise ModelError(f"The GPU's memory is not enough for {model.title}. Close what else uses it, or take Tiny.")
    return Loaded.of(pipeline, model, chosen)
