"""Peaks of uptake that stand out of their surroundings, and the separation of lesions that touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.lesions import CONNECTIVITY
from petlesion.segment.components import number_by_volume

PROMINENCE = 0.2
"""A peak counts when every way to a higher one falls by this fraction of it: more than noise, less than a gap."""


def prominent_peaks(suv: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the peaks of a region that stand out by `PROMINENCE`.

    They are the h-maxima of the logarithm of uptake (Soille, Morphological Image Analysis), on which a fixed h is a
    fixed fraction.

    Parameters
    ----------
    suv
        (z, y, x), positive inside the region.
    region
        (z, y, x) mask; peaks outside of it do not count.

    Returns
    -------
    numpy.ndarray
        (z, y, x) int32, 1..n at the voxels of each peak.
    """
    from skimage.morphology import h_maxima

    floor = float(suv[region].min(initial=np.inf, where=suv[region] > 0))
    logarithm = np.log(np.where(region, np.maximum(suv, floor), floor * (1.0 - PROMINENCE)))
    tops = h_maxima(logarithm, -np.log(1.0 - PROMINENCE), footprint=CONNECTIVITY) > 0
    numbered, _ = ndimage.label(tops & region, structure=CONNECTIVITY)
    return np.asarray(numbered, dtype=np.int32)


def split_touching(
    suv: NDArray[np.float32], labels: NDArray[np.uint16], voxel_ml: float, min_volume_ml: float
) -> NDArray[np.int32]:
    """Separate lesions that touch, by a watershed from their prominent peaks.

    Parameters
    ----------
    suv
        (z, y, x).
    labels
        (z, y, x) connected regions 1..n.
    voxel_ml
        Volume of a voxel, mL.
    min_volume_ml
        A part smaller than this stays with its neighbour.

    Returns
    -------
    numpy.ndarray
        (z, y, x) int32 with the same background, renumbered arbitrarily.
    """
    parts = labels.astype(np.int32)
    highest = int(parts.max(initial=0))
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[box] == label
        pieces = _pieces(suv[box], region, voxel_ml, min_volume_ml)
        count = int(pieces.max())
        if count > 1:
            parts[box][region] = np.where(pieces[region] == 1, label, highest + pieces[region] - 1)
            highest += count - 1
    return parts


def split_lesions(
    suv: NDArray[np.float32], labels: NDArray[np.uint16], voxel_ml: float, min_volume_ml: float
) -> NDArray[np.uint16]:
    """Separate lesions that touch, and number all anew by decreasing volume; see `split_touching`."""
    return number_by_volume(split_touching(suv, labels, voxel_ml, min_volume_ml), voxel_ml, min_volume_ml)


def _pieces(
    suv: NDArray[np.float32], region: NDArray[np.bool_], voxel_ml: float, min_volume_ml: float
) -> NDArray[np.int32]:
    from skimage.segmentation import watershed

    markers = prominent_peaks(suv, region)
    while True:
        pieces = watershed(-suv, markers, connectivity=CONNECTIVITY, mask=region)
        sizes = np.bincount(pieces[region])
        small = np.flatnonzero((sizes > 0) & (sizes * voxel_ml < min_volume_ml))
        if len(small) == 0 or np.count_nonzero(sizes) == 1:
            number = np.zeros(len(sizes), dtype=np.int32)
            number[sizes > 0] = np.arange(1, np.count_nonzero(sizes) + 1)
            return np.asarray(np.where(region, number[pieces], 0))
        weakest = min(small, key=lambda part: (sizes[part], part))
        markers[markers == weakest] = 0
