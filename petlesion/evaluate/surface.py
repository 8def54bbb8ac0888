"""Agreement of outlines: surface Dice at a tolerance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def surface_dice(
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float = 0.0,
) -> float | None:
    """Share of both outlines that lies within a tolerance of the other one.

    The outline of a mask is its voxels with a face neighbour outside, as `sitk.LabelContour` finds it for DEEP-PSMA;
    with tolerance 0 these must coincide. Nikolov et al. (J Med Internet Res 2021;23:e26151) measure between
    voxels and weight by area instead; numbers of the two are not comparable.

    Parameters
    ----------
    predicted, truth
        (z, y, x) masks.
    spacing_mm
        (z, y, x), mm.
    tolerance_mm
        Distance of voxel centres that still counts as agreement.

    Returns
    -------
    float or None
        None when both masks are empty; 0 when one is.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction of shape {predicted.shape} against truth of shape {truth.shape}")
    box = ndimage.find_objects((predicted | truth).astype(np.uint8))
    if not box:
        return None
    # one voxel around, so that a mask at the edge of the box still has an outside; at the edge of the image it has none
    z, y, x = (slice(max(0, axis.start - 1), axis.stop + 1) for axis in box[0])
    first, second = _outline(predicted[z, y, x]), _outline(truth[z, y, x])
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    if total == 0:
        return 1.0 if predicted.any() and truth.any() else 0.0
    agreeing = _near(first, second, spacing_mm, tolerance_mm) + _near(second, first, spacing_mm, tolerance_mm)
    return agreeing / total


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))


def _near(
    outline: NDArray[np.bool_], other: NDArray[np.bool_], spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> int:
    """How many voxels of an outline lie within the tolerance of the other."""
    if not other.any():
        return 0
    if tolerance_mm <= 0:
        return int(np.count_nonzero(outline & other))
    distance = ndimage.distance_transform_edt(~other, sampling=spacing_mm)
    return int(np.count_nonzero(outline & (distance <= tolerance_mm)))
