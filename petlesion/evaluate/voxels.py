"""Agreement of two masks voxel by voxel, and the false volumes of the autoPET challenge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.lesions import CONNECTIVITY


@dataclass(frozen=True)
class VoxelScores:
    """Agreement of one prediction with its truth.

    Ratios are None where they are not defined: `dice` and `iou` when both masks are empty, `sensitivity` without truth,
    `ppv` without prediction. A case without truth therefore counts in the false-positive volume alone, as in autoPET.

    Attributes
    ----------
    dice
        2 |A∩B| / (|A| + |B|); 0 when one of the masks is empty.
    iou
        |A∩B| / |A∪B|.
    sensitivity
        Share of the truth that was predicted.
    ppv
        Share of the prediction that is true (precision).
    truth_ml, predicted_ml
        Volumes, mL.
    false_positive_ml
        Volume of predicted components (18-connected) that touch no truth, mL.
    false_negative_ml
        Volume of true components (18-connected) that no prediction touches, mL.
    """

    dice: float | None
    iou: float | None
    sensitivity: float | None
    ppv: float | None
    truth_ml: float
    predicted_ml: float
    false_positive_ml: float
    false_negative_ml: float


def voxel_scores(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], voxel_ml: float) -> VoxelScores:
    """Compare two masks on the same grid.

    Parameters
    ----------
    predicted, truth
        (z, y, x) masks.
    voxel_ml
        Volume of a voxel, mL.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction of shape {predicted.shape} against truth of shape {truth.shape}")
    both, n_predicted, n_truth = (int(np.count_nonzero(mask)) for mask in (predicted & truth, predicted, truth))
    return VoxelScores(
        dice=_ratio(2 * both, n_predicted + n_truth),
        iou=_ratio(both, n_predicted + n_truth - both),
        sensitivity=_ratio(both, n_truth),
        ppv=_ratio(both, n_predicted),
        truth_ml=n_truth * voxel_ml,
        predicted_ml=n_predicted * voxel_ml,
        false_positive_ml=untouched_voxels(predicted, truth) * voxel_ml,
        false_negative_ml=untouched_voxels(truth, predicted) * voxel_ml,
    )


def untouched_voxels(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
    """Number of voxels in those 18-connected components of `mask` that share no voxel with `other`."""
    labels, count = ndimage.label(mask, CONNECTIVITY)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[np.unique(labels[other])] = 0
    return int(sizes[1:].sum())


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
