"""Diffusion in the plane, where everything can be seen."""

from playground.toy.config import PRESETS, LabError, ToyConfig
from playground.toy.lab import ToyLab

__all__ = ["PRESETS", "LabError", "ToyConfig", "ToyLab"]
