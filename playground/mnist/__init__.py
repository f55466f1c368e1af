"""Diffusion on images one knows: digits, with a model that ships and one that is trained live."""

from playground.diffusion.sampling import SamplePath
from playground.mnist.generate import GenerateError, Request
from playground.mnist.lab import ForwardTable, MnistLab

__all__ = ["ForwardTable", "GenerateError", "MnistLab", "Request", "SamplePath"]
