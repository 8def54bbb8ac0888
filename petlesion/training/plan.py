"""Grid and patch of a network from what the data look like, as nnU-Net plans from a fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from petlesion.errors import GeometryError
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
from petlesion.training.cases import Case
from petlesion.training.config import TrainConfig

FINEST_MM = 2.0
"""No finer grid is planned: PET resolves 4 to 7 mm."""
COARSEST_MM = 4.0
"""No coarser grid is planned: lesions of 0.1 mL have a diameter of 6 mm."""
PATCH_VOXELS = 96**3
"""Voxels of a planned patch at most."""
DEEPEST = 4
"""Smallest side of the deepest level, voxels."""


@dataclass(frozen=True)
class Fingerprint:
    """What planning knows of the data.

    Attributes
    ----------
    spacing_mm
        Median voxel size (z, y, x) over the cases, mm.
    extent_mm
        Median size of the field of view (z, y, x), mm.
    """

    spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]


def fingerprint(cases: Sequence[Case]) -> Fingerprint:
    """Measure the geometry of all cases, from file headers alone, in patient axes."""
    spacings, extents = zip(*(_geometry(case) for case in cases), strict=True)
    sz, sy, sx = np.median(spacings, axis=0)
    ez, ey, ex = np.median(extents, axis=0)
    return Fingerprint((float(sz), float(sy), float(sx)), (float(ez), float(ey), float(ex)))


def plan(config: TrainConfig, found: Fingerprint) -> ModelConfig:
    """Model configuration: what the file says, and for the rest what suits the data.

    Spacing: that of the PET, between 2 and 4 mm. Patch: the median field of view, shortened along its longest side
    until it has at most 96³ voxels. Depth: levels are halved as long as the deepest side stays at 4 voxels.
    """
    given = dict(config.model)
    z, y, x = (round(float(np.clip(value, FINEST_MM, COARSEST_MM)), 3) for value in found.spacing_mm)
    spacing = given.setdefault("spacing_mm", (z, y, x))
    architecture = ArchitectureConfig.model_validate(given.get("architecture", {}))
    if "patch" not in given:
        given["patch"] = _patch(found, spacing, architecture)
    return ModelConfig.model_validate(given)


def _patch(found: Fingerprint, spacing_mm: Sequence[float], architecture: ArchitectureConfig) -> tuple[int, ...]:
    """Sides are multiples of the reduction, and long enough for the deepest level."""
    steps = architecture.reduction
    least = [step * (DEEPEST if step > 1 else 1) for step in steps]
    wanted = [extent / spacing for extent, spacing in zip(found.extent_mm, spacing_mm, strict=True)]
    sides = [max(low, -(-round(length) // step) * step) for length, step, low in zip(wanted, steps, least, strict=True)]
    while prod(sides) > PATCH_VOXELS:
        free = np.array(sides) > least
        lengths = np.where(free, np.array(sides) * spacing_mm, 0.0)
        longest = int(np.argmax(lengths))
        if lengths[longest] == 0:
            break
        sides[longest] -= steps[longest]
    return tuple(sides)


def _geometry(case: Case) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    import nibabel as nib

    path = case.pet_file
    try:
        image: Any = nib.load(path)
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise GeometryError("no readable NIfTI file", where=path, remedy="copy or export it again") from error
    # nib.as_closest_canonical would read all voxels to turn them
    axes = nib.io_orientation(image.affine)[:, 0].astype(int)
    zooms, sizes = np.empty(3), np.empty(3)
    zooms[axes], sizes[axes] = image.header.get_zooms()[:3], image.shape[:3]
    (x, y, z), (ex, ey, ez) = zooms.tolist(), (zooms * sizes).tolist()
    return (z, y, x), (ez, ey, ex)
