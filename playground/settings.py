"""Every limit and environment variable of the playground, each with its reason."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Read once at start by `Settings.from_environment()`."""

    # What one visitor may ask for
    max_training_steps: int = 200_000  # toy networks stop improving long before; a forgotten tab must not go on
    max_training_seconds: float = 1_800.0  # half a lesson on one core; pressing Train continues
    max_points: int = 25_000  # the reference's own count; the exact denoiser costs time in proportion
    max_samples: int = 10_000  # enough for every figure here; 1,000 steps of them take 12 s on one core
    max_sampling_values: int = 24_000_000  # of one sampled path: 96 MB for each of x, x̂0 and ε̂
    max_upload_bytes: int = 2_000_000  # 25,000 points as text
    max_file_bytes: int = 40_000_000  # an experiment saved with the largest network, its average and Adam's state
    max_set_images: int = 60_000  # of one data set: as many as MNIST has, 184 MB at 32×32 in colour
    max_hub_bytes: int = 1_000_000_000  # a visitor's click must not fetch ImageNet; CIFAR-10 has 144 MB
    any_hub_set: bool = False  # true: any data set, not only the known ones; visitors are trusted with disk and network
    max_image_upload_bytes: int = 40_000_000  # one image or a zip of them: a dozen photographs, thousands of digits
    max_unpacked_bytes: int = 80_000_000  # images hardly shrink in a zip, so much more is a zip bomb
    max_upload_images: int = 2_000  # 24 MB at 64×64 in colour, as much as a timeline
    max_image_pixels: int = 16_000_000  # a phone's photograph has 12; up to 230 MB while it is cropped to a square
    max_upload_pixels: int = 250_000_000  # of all images together: some 5 to 15 s on one core
    timeline_bytes: int = 24_000_000  # checkpoints of one run: about ninety of the Fast network

    max_images: int = 64  # drawn at a time in the MNIST tab: a sheet of 8 x 8
    max_image_calls: int = 40_000  # images x network calls: 16 guided digits in DDPM's 1,000 steps take 45 s
    image_preview_share: float = 0.3  # the most of a live training on digits that goes into its previews
    image_timeline_bytes: int = 80_000_000  # checkpoints of one live training on digits: about ten of the small network

    max_prompt_characters: int = 1_000  # CLIP reads 77 tokens, about 300 characters
    max_denoising_steps: int = 1_000  # as many as DDPM was trained with; every other sampler needs far fewer
    max_image_steps: int = 4_000  # images x steps of one run: two minutes on one core with the tiny model
    max_guidance_scale: float = 30.0  # pictures burn out long before
    max_pictures: int = 16  # of one prompt at a time: a sheet of 4 x 4
    max_picture_side: int = 1_024  # pixels; Stable Diffusion 1.x was trained on 512
    max_run_bytes: int = 300_000_000  # steps of one run to be scrubbed: a browser's tab holds them all
    max_grid_pictures: int = 64  # of an X/Y grid or a sweep: 64 tiny pictures are a minute of one core
    max_gallery_bytes: int = 64_000_000  # PNGs of one visitor's session: some hundred of 512 x 512
    max_gallery_pictures: int = 200  # tiny ones have few bytes, but each one is an element on the page
    max_picture_bytes: int = 20_000_000  # a picture dropped on the page
    compile_unet: bool = False  # a minute of compiling, a fifth off every step after it; CUDA only
    models: tuple[str, ...] = ()  # local diffusers folders and Hub ids that the operator trusts

    # What the machine can give to all visitors together
    max_visitors: int = 64  # labs kept at once, about 30 MB each when a timeline is full
    max_idle_seconds: float = 3_600.0  # a lab left alone for an hour is dropped
    max_training_visitors: int = 32  # runs at the same time, enough for a class; each holds a thread of the pool
    max_threads: int = 80  # Gradio's pool: the runs above, and some for everyone's knobs
    torch_threads: int = 1  # for small matrices a second thread costs more than it gains, and visitors share the cores

    # The page
    # New sample frames while one visitor trains; the browser tweens between them. Each costs some 50 ms on one core,
    # and where there are two, the browser needs one of them.
    frames_per_second: float = 5.5 if (os.cpu_count() or 1) <= 2 else 10.0
    sampling_share: float = 0.4  # the most of a run's computing that goes into frames; above it they come less often
    study_share: float = 0.1  # and the most that goes into score fields and charts
    preview_points: int = 1_000
    preview_steps: int = 20  # a frame every 0.1 s leaves no time for a thousand steps
    still_steps: int = 100  # when nothing trains: enough to look right, without seconds of waiting after Pause
    study_seconds: float = 2.0  # between two refreshes of path, score field and loss by timestep while training

    @classmethod
    def from_environment(cls) -> Settings:
        """The defaults, or PLAYGROUND_MAX_VISITORS, _TORCH_THREADS, _FPS, _ANY_HUB_SET and _COMPILE (1: yes), and
        _MODELS (local diffusers folders and Hub ids, separated by commas).
        """
        return cls(
            max_visitors=int(os.environ.get("PLAYGROUND_MAX_VISITORS", cls.max_visitors)),
            any_hub_set=os.environ.get("PLAYGROUND_ANY_HUB_SET", "") == "1",
            torch_threads=int(os.environ.get("PLAYGROUND_TORCH_THREADS", cls.torch_threads)),
            frames_per_second=float(os.environ.get("PLAYGROUND_FPS", cls.frames_per_second)),
            compile_unet=os.environ.get("PLAYGROUND_COMPILE", "") == "1",
            models=tuple(name.strip() for name in os.environ.get("PLAYGROUND_MODELS", "").split(",") if name.strip()),
        )


SETTINGS = Settings.from_environment()
