"""Organ masks on the PET grid, given by the user, a network or the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petlesion.volume import Grid


class Organ(StrEnum):
    """Organs that thresholds, location and staging refer to."""

    LIVER = "liver"
    SPLEEN = "spleen"
    KIDNEYS = "kidneys"
    BLADDER = "bladder"
    LUNGS = "lungs"
    BRAIN = "brain"
    HEART = "heart"
    STOMACH = "stomach"
    BOWEL = "bowel"
    PROSTATE = "prostate"
    AORTA = "aorta"
    BONES = "bones"
    GLANDS = "glands"


@dataclass(frozen=True, eq=False)
class Organs:
    """A label map of organs.

    Attributes
    ----------
    labels
        (z, y, x) integers on `grid`; 0 is none.
    grid
        The PET grid.
    values
        Which labels belong to which organ.
    """

    labels: NDArray[np.integer[Any]]
    grid: Grid
    values: Mapping[Organ, tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"organ labels of shape {self.labels.shape} on a grid of shape {self.grid.shape}")

    def mask(self, organ: Organ) -> NDArray[np.bool_] | None:
        """(z, y, x) mask of the organ, or None when no voxel carries it."""
        if not self.values.get(organ):
            return None
        mask = np.isin(self.labels, self.values[organ])
        return mask if mask.any() else None
