"""The contour of the body: what lies outside of it is no lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.segment.coarse import Coarse, refine
from petlesion.study import NO_CT_HU

BODY_GRID_MM = 8.0
"""Voxel edge on which the contour is found, mm: no more than the blur of the skin, and quick."""
AIR_FRACTION = 0.25
"""Body begins at this fraction of the median uptake of the body at the latest: below muscle, above scatter in air."""
AIR_RANGE = 1000.0
"""Uptake below the 99th percentile divided by this counts as none when air is told from body."""
SURFACE_HU = -500.0
"""CT number between air and the body's surface, HU."""
UNSEEN_HU = NO_CT_HU + 0.5
"""A block at or below this lies outside the CT's field of view, which tells nothing of it."""
MIN_BODY_PART = 0.02
"""Separate parts smaller than this fraction of the largest one are no limbs (contamination, a urine bag, noise)."""
CT_REACH_MM = 20.0
"""How far uptake may lie outside the CT's body and still belong to it (breathing, motion, blur)."""


def body_mask(pet: Coarse, ct: Coarse | None = None) -> NDArray[np.bool_]:
    """The body on the coarse grid, cavities filled.

    Air and body are the two classes of Otsu's method (IEEE Trans Syst Man Cybern 1979;9:62) on the logarithm of
    uptake, on which hot organs weigh no more than their volume. The threshold scales with the image.

    Parameters
    ----------
    pet
        Uptake, block means of about `BODY_GRID_MM`.
    ct
        CT numbers (HU) on the same blocks. It adds cold parts of the body and removes what does not touch the body;
        outside its field of view (a short CT, arms beyond its edge) the PET decides alone.

    Returns
    -------
    numpy.ndarray
        (z, y, x) bool.
    """
    smooth = ndimage.gaussian_filter(pet.array, 0.5)
    body = smooth > _air_threshold(smooth)
    if ct is None:
        body = _keep_parts(body)
    else:
        # opened: the table is thin; filled before, because so is the chest wall
        solid = _keep_parts(ndimage.binary_opening(_filled(ct.array > SURFACE_HU)))
        if solid.any():
            seen = _touching(body, solid, pet.spacing_mm) | solid
            body = np.where(ct.array > UNSEEN_HU, seen, _keep_parts(body))
    return _filled(body)


def remove_outside(mask: NDArray[np.bool_], body: NDArray[np.bool_], factors: tuple[int, int, int]) -> None:
    """Clear the voxels of `mask` outside the body, in place, slab by slab.

    Parameters
    ----------
    mask
        (z, y, x) on the PET grid.
    body
        Block mask of `body_mask`.
    factors
        Voxels per block along (z, y, x).
    """
    thickness = factors[0]
    for slab in range(body.shape[0]):
        last = slab == body.shape[0] - 1
        voxels = mask[slab * thickness : None if last else (slab + 1) * thickness]
        if voxels.any():
            voxels &= refine(body[slab : slab + 1], factors, voxels.shape)


def _air_threshold(smooth: NDArray[np.float32]) -> float:
    from skimage.filters import threshold_otsu

    floor = float(np.percentile(smooth, 99)) / AIR_RANGE
    if floor <= 0:
        return 0.0
    logarithm = np.log(np.maximum(smooth, floor)).ravel()
    threshold = min(float(np.exp(threshold_otsu(logarithm))), float(smooth.max()))
    # where the body fills the image, the two classes are tissues; then the median keeps the threshold low
    return min(threshold, AIR_FRACTION * float(np.median(smooth[smooth >= threshold])))


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without holes, slice by slice: lungs that are open to the neck are no holes in 3D."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def _keep_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= MIN_BODY_PART * sizes.max())[labels])


def _touching(
    mask: NDArray[np.bool_], solid: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Parts of the mask that touch the solid body, as far as they lie near it."""
    labels, count = ndimage.label(mask)
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(labels[solid])] = True
    keep[0] = False
    near = ndimage.binary_dilation(solid, iterations=max(1, round(CT_REACH_MM / min(spacing_mm))))
    return np.asarray(keep[labels] & near)
