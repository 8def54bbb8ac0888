"""The body of a simulated patient: structures as occupancies on a fine grid, label map, landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from petlesion.organs import Organ, Organs
from petlesion.phantom.labels import Label, labels_of
from petlesion.volume import Grid

Block = tuple[slice, slice, slice]
"""Where a small array lies in a volume, (z, y, x)."""


LEGS_BELOW = 0.222
"""Share of the body's mass below mid-thigh: half of both thighs (10 % each), shanks (4.65 %) and feet (1.45 %);
segment masses of Dempster in Winter, Biomechanics and Motor Control of Human Movement, table 4.1."""
FOREARMS_ABOVE = 0.044
"""Share of both forearms and hands, which lie beyond the vertex with the arms up (same source)."""


def mass_out_of_view(arms_up: bool) -> float:
    """Share of the body's mass that a scan from vertex to mid-thigh does not see."""
    return LEGS_BELOW + (FOREARMS_ABOVE if arms_up else 0.0)


class Sex(StrEnum):
    """Sex as DICOM PatientSex writes it."""

    MALE = "M"
    FEMALE = "F"


class Layer(StrEnum):
    """Which layer of a structure a part is, where they differ in uptake or density."""

    WHOLE = "whole"
    CORTEX = "cortex"
    """Compact bone."""
    CORE = "core"
    """White matter of the brain; medulla of a kidney."""
    NUCLEUS = "nucleus"
    """Deep grey matter of the brain."""


@dataclass(frozen=True, eq=False)
class Part:
    """One painted structure: how much of each voxel it fills.

    Attributes
    ----------
    label
        Which structure.
    block
        Its bounding box in the grid of the anatomy.
    occupancy
        (z, y, x) uint8 of the bounding box; 255 is a voxel filled by it before parts painted later cover it.
    layer
        Which layer of the structure.
    """

    label: Label
    block: Block
    occupancy: NDArray[np.uint8]
    layer: Layer = Layer.WHOLE


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A body without tracer and without disease.

    Attributes
    ----------
    sex, age_years, height_m, weight_kg, arms_up
        Who lies on the table, and how.
    contrast
        Whether the CT is in the portal venous phase of an intravenous contrast medium.
    grid
        Fine grid, axial, z towards the head, LPS mm. The origin of the world lies midway between the hip joints.
    labels
        (z, y, x) uint8, values of `Label`: the structure that fills most of each voxel.
    parts
        All structures in the order they are painted; a later one covers an earlier one.
    landmarks
        Named LPS points: (n, 3) as (x, y, z) in mm, in order along curves (`aorta`, `ureter left`, `T7`, ...).
    """

    sex: Sex
    age_years: int
    height_m: float
    weight_kg: float
    arms_up: bool
    contrast: bool
    grid: Grid
    labels: NDArray[np.uint8]
    parts: tuple[Part, ...]
    landmarks: Mapping[str, NDArray[np.float64]]

    def mask(self, *labels: Label) -> NDArray[np.bool_]:
        """(z, y, x) mask of the voxels that carry one of `labels`."""
        wanted = np.zeros(256, dtype=np.bool_)
        wanted[list(labels)] = True
        return wanted[self.labels]

    def organs(self) -> Organs:
        """Label map and the labels of each organ, as every segmenter takes them."""
        return Organs(self.labels, self.grid, {organ: tuple(map(int, labels_of(organ))) for organ in Organ})
