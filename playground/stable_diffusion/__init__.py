"""Text to image: latent diffusion, with a tiny model that ships and any Stable Diffusion 1.x or 2.x beside it."""

from playground.stable_diffusion.generation import DenoisingStep, GenerationError
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.request import Request, RequestError

__all__ = ["DenoisingStep", "GenerationError", "Request", "RequestError", "StableDiffusionLab"]
