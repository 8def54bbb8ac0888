"""Names and parameters of the segmentation methods; imports nothing that a command line would wait for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from petlesion.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from petlesion.organs import Organs
    from petlesion.report import Reference


class MethodName(StrEnum):
    """Names of methods as `--method` and the annotation server take them."""

    PERCIST = "percist"
    """Threshold from normal liver, or spleen where the liver is diseased."""
    FIXED = "fixed"
    """Fixed SUV threshold."""
    RELATIVE = "relative"
    """Fraction of each region's maximum."""
    GRADIENT = "gradient"
    """PERCIST detection, boundary at the edge of uptake."""
    UNET = "unet"
    """Network of a model folder."""


@dataclass(frozen=True)
class SegmentOptions:
    """Method and parameters of a segmentation.

    Attributes
    ----------
    method
        Which method.
    suv
        Threshold of `fixed`, SUVbw; a voxel at the threshold belongs to the lesion.
    fraction
        Of each maximum, for `relative`.
    incremental
        For `relative`: every region around a local maximum above `min_suv_max`, highest first, instead of the
        regions that the PERCIST threshold detects.
    min_suv_max
        Lowest maximum of an incremental region (exclusive), SUVbw.
    min_volume_ml
        Smaller regions are removed, mL. A region grown from a click is kept whatever its volume.
    organs
        Organ masks on the PET grid, to place reference spheres in.
    liver_sphere_mm
        LPS point (x, y, z), mm: centre of one reference sphere in the liver, instead of automatic ones.
    point_mm
        LPS point (x, y, z), mm: grow one lesion there instead of segmenting the whole body.
    split_touching
        Separate touching lesions by a watershed from their peaks.
    model
        Model folder of `unet`; None takes the version in service of the model that is installed.
    model_sha256
        Identity that the model must have, and by which it is loaded once for several studies; None accepts any.
    reference
        A reference found before for the same study, so that a click need not search the whole PET again.

    Raises
    ------
    UsageError
        If a number is out of range.
    """

    method: MethodName = MethodName.PERCIST
    suv: float = 3.0
    fraction: float = 0.41
    incremental: bool = False
    min_suv_max: float = 1.0
    min_volume_ml: float = 0.1
    organs: Organs | None = None
    liver_sphere_mm: tuple[float, float, float] | None = None
    point_mm: tuple[float, float, float] | None = None
    split_touching: bool = False
    model: Path | None = None
    model_sha256: str | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        for name, value in (("SUV threshold", self.suv), ("lowest maximum SUV", self.min_suv_max)):
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"the {name} must be above 0, not {value:g}", remedy="give a positive number")
        if not 0 < self.fraction < 1:
            raise UsageError(
                f"the fraction of the maximum must lie between 0 and 1, not {self.fraction:g}",
                remedy="give 0.41 for 41 %",
            )
        if not (math.isfinite(self.min_volume_ml) and self.min_volume_ml >= 0):
            raise UsageError(
                f"the minimum volume must be 0 or more mL, not {self.min_volume_ml:g}", remedy="give a volume in mL"
            )
