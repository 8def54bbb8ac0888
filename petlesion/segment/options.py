"""Names and parameters of the segmentation methods; imports nothing that a command line would wait for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petlesion.errors import UsageError
from petlesion.report import MethodName as MethodName

if TYPE_CHECKING:
    from pathlib import Path

    from petlesion.organs import Organs
    from petlesion.report import Reference

FIXED_SUV = 3.0
"""Threshold of `fixed`, SUVbw; a voxel at it belongs to the lesion."""
FRACTION = 0.41
"""Of each maximum, for `relative`: EANM 2.0 guideline (Boellaard et al., EJNMMI 2015)."""
MIN_VOLUME_ML = 0.1
"""Smaller lesions are removed (Carlsen et al., EJNMMI Res 2022)."""


@dataclass(frozen=True)
class NetworkOptions:
    """How to run networks.

    Attributes
    ----------
    device
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".
    threads
        Of the CPU; None takes what PyTorch was given (OMP_NUM_THREADS), at most the cores this process may use.
    overlap
        Share of a window that its neighbour covers too. At a quarter, which is faster, a window's edge decides more:
        instance normalisation makes what a network says of a voxel depend on what else is in the window.
    mirror
        Average over left-right mirror images: twice the time.
    refine
        Redraw lesions at the patient's threshold (`segment.refinement`).
    min_volume_ml
        Smaller lesions are removed.
    split_touching
        Separate touching lesions by a watershed from their peaks.
    maps
        Whether maps of probability and entropy are wanted.
    """

    device: str = "auto"
    threads: int | None = None
    overlap: float = 0.5
    mirror: bool = False
    refine: bool = False
    min_volume_ml: float = MIN_VOLUME_ML
    split_touching: bool = False
    maps: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise UsageError(f"overlap is {self.overlap:g}", remedy="give a number from 0 up to, but not including, 1")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"number of threads is {self.threads}", remedy="give 1 or more")


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
    models
        Model folders of `unet`, averaged where there are several; none takes the version in service of the model that
        is installed. One folder of `nnunet`, which averages its own folds.
    model_sha256
        Identity that the model must have, and by which it is loaded once for several studies; None accepts any.
    network
        How `unet` and `nnunet` are run; `min_volume_ml` and `split_touching` are those of the other methods.
    reference
        A reference found before for the same study, so that a click need not search the whole PET again.

    Raises
    ------
    UsageError
        If a number is out of range.
    """

    method: MethodName = MethodName.PERCIST
    suv: float = FIXED_SUV
    fraction: float = FRACTION
    incremental: bool = False
    min_suv_max: float = 1.0
    min_volume_ml: float = MIN_VOLUME_ML
    organs: Organs | None = None
    liver_sphere_mm: tuple[float, float, float] | None = None
    point_mm: tuple[float, float, float] | None = None
    split_touching: bool = False
    models: tuple[Path, ...] = ()
    model_sha256: str | None = None
    network: NetworkOptions = NetworkOptions()
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
