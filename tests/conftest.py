"""Settings that every test runs under."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # both are read while gradio and diffusers are imported
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from hypothesis import settings

# One thread: the tensors are small, and sums come out the same on every number of cores.
torch.set_num_threads(int(os.environ.get("TORCH_THREADS", "1")))

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ci")
