"""What turns gradients into steps: AdamW for everything, or Muon for the convolutions and AdamW for the rest."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "muon"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
MUON_RATE = 10.0  # Muon's steps have unit spectral norm, AdamW's unit entries: so its rate is this much larger


def as_matrix(weight: Tensor) -> Tensor:
    """A convolution's weight (out, in, h, w) as the matrix (out, h·w·in): a view where the weight is channels-last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


class Optimizer:
    """AdamW (Loshchilov & Hutter 2019), fused; with "muon" every convolution between inner channels is updated by Muon
    (Jordan et al. 2024), which makes the momentum's singular values equal. torch's Muon takes matrices only, so it is
    given a second view of each such weight.
    """

    def __init__(self, network: nn.Module, name: OptimizerName) -> None:
        inner = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[:2]) >= 16] if name == "muon" else []
        self.matrices = [(p, nn.Parameter(as_matrix(p.data))) for p in inner]
        for weight, matrix in self.matrices:
            if matrix.data_ptr() != weight.data_ptr():
                raise ValueError("Muon needs convolutions in channels-last memory: a copy would never reach them.")
        ids = {id(p) for p in inner}
        rest = [p for p in network.parameters() if id(p) not in ids]
        self.parts: dict[str, torch.optim.Optimizer] = {"adamw": torch.optim.AdamW(rest, fused=True)}
        if inner:
            self.parts["muon"] = torch.optim.Muon([matrix for _, matrix in self.matrices])

    def step(self, rate: float, beta2: float, weight_decay: float) -> None:
        """One step along the gradients that the network holds."""
        for weight, matrix in self.matrices:
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        for name, part in self.parts.items():
            for group in part.param_groups:
                group["lr"], group["weight_decay"] = rate * (MUON_RATE if name == "muon" else 1.0), weight_decay
                if name == "adamw":
                    group["betas"] = (0.9, beta2)
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The momenta of each part; rate, β₂ and weight decay are passed to every step."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
            for weight, momenta in part.state.items():  # fused AdamW needs them in the weight's memory layout
                for key, value in momenta.items():
                    if value.shape == weight.shape:
                        momenta[key] = torch.empty_like(weight).copy_(value)
