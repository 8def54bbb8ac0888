"""From a mask to numbered lesions: connected components, smallest volume, order, separation of touching lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.errors import SegmentationError
from petlesion.lesions import CONNECTIVITY, LABEL_DTYPE
from petlesion.volume import Box

SLAB_VOXELS = 2**22
"""Voxels handled at a time where numpy would widen a temporary to 64 bits."""
VOLUME_TOLERANCE_ML = 1e-9
"""Rounding allowed when a volume is compared with the smallest one, mL."""


def label_components(mask: NDArray[np.bool_], voxel_ml: float, min_volume_ml: float) -> NDArray[np.uint16]:
    """Number the connected components of a mask by decreasing volume.

    Parameters
    ----------
    mask
        (z, y, x).
    voxel_ml
        Volume of a voxel, mL.
    min_volume_ml
        Components below this are removed, mL.

    Returns
    -------
    numpy.ndarray
        (z, y, x) uint16, 1..n; of equal volumes the one nearer to the first voxel comes first.

    Raises
    ------
    SegmentationError
        If more than 65535 components remain.
    """
    labels, _ = ndimage.label(mask, structure=CONNECTIVITY)
    return number_by_volume(labels, voxel_ml, min_volume_ml)


def number_by_volume(labels: NDArray[np.int32], voxel_ml: float, min_volume_ml: float) -> NDArray[np.uint16]:
    """Renumber regions 1..n by decreasing volume and drop the small ones; see `label_components`.

    Parameters
    ----------
    labels
        (z, y, x) int32; 0 is background; need not be contiguous.
    voxel_ml, min_volume_ml
        Volume of a voxel and of the smallest region kept, mL.
    """
    sizes = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int64)
    for slab in _slabs(labels.shape):
        inside = labels[slab][labels[slab] > 0]  # few: much faster than counting the background
        sizes += np.bincount(inside, minlength=len(sizes))
    kept = np.flatnonzero((sizes > 0) & (sizes * voxel_ml >= min_volume_ml - VOLUME_TOLERANCE_ML))
    limit = np.iinfo(LABEL_DTYPE).max
    if len(kept) > limit:
        raise SegmentationError(
            f"{len(kept)} separate regions were found, more than the {limit} that a label map can hold",
            remedy="raise the threshold or the minimum volume",
        )
    order = kept[np.argsort(-sizes[kept], kind="stable")]
    number = np.zeros(len(sizes), dtype=LABEL_DTYPE)
    number[order] = np.arange(1, len(order) + 1, dtype=LABEL_DTYPE)
    numbered = np.zeros(labels.shape, dtype=LABEL_DTYPE)
    for slab in _slabs(labels.shape):
        foreground = labels[slab] > 0
        numbered[slab][foreground] = number[labels[slab][foreground]]
    return numbered


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    thickness = max(1, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield slice(start, start + thickness)


def grow_box(box: Box, margin: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """`box` widened by `margin` voxels on every side, within `shape`."""
    z, y, x = (
        slice(max(0, axis.start - pad), min(size, axis.stop + pad))
        for axis, pad, size in zip(box, margin, shape, strict=True)
    )
    return z, y, x


def margin_voxels(margin_mm: float, spacing_mm: tuple[float, ...]) -> tuple[int, ...]:
    """Voxels along (z, y, x) that cover `margin_mm`."""
    return tuple(int(np.ceil(margin_mm / spacing)) for spacing in spacing_mm)


def goes_on_beyond(mask: NDArray[np.bool_], box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a region of a box may go on beyond it, within the image of `shape`."""
    for axis, (bounds, size) in enumerate(zip(box, shape, strict=True)):
        if bounds.start > 0 and mask.take(0, axis=axis).any():
            return True
        if bounds.stop < size and mask.take(-1, axis=axis).any():
            return True
    return False
