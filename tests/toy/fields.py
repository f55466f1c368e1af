"""Learned and exact score at one timestep, as the page draws them."""

from typing import NamedTuple

from torch import Tensor

from playground.toy.snapshot import Snapshot


class Field(NamedTuple):
    """`points` (G², 2) in the data's coordinates; `learned`, `exact` (G², 2)."""

    points: Tensor
    learned: Tensor
    exact: Tensor


def field_of(now: Snapshot, t: int, grid: int = 21) -> Field:
    return Field(now.lattice(grid), next(now.learned_fields([t], grid)), next(now.exact_fields([t], grid)))
