"""Redraw a network's lesions at the patient's threshold, as the DEEP-PSMA challenge proposes for such truth."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.networks.model_config import PHYSIOLOGICAL
from petlesion.organs import Organ
from petlesion.segment.components import grow_box, margin_voxels

EXPANSION_MM = 7.0
"""How far a prediction is expanded before the threshold cuts it (DEEP-PSMA 2025, model refinement tips)."""
AVID_CLASSES: Final = (
    PHYSIOLOGICAL,
    Organ.KIDNEYS,
    Organ.BLADDER,
    Organ.SPLEEN,
    Organ.BRAIN,
    Organ.HEART,
    Organ.STOMACH,
    Organ.BOWEL,
    Organ.GLANDS,
)
"""Classes whose uptake above the threshold is physiological. Liver, bone, lung, prostate and aorta are not among them:
their normal uptake lies below the threshold, so what is above it beside a lesion is its edge."""


def refine_to_threshold(
    lesion: NDArray[np.bool_],
    physiological: NDArray[np.bool_],
    suv: NDArray[np.float32],
    threshold: float,
    spacing_mm: tuple[float, float, float],
    expansion_mm: float = EXPANSION_MM,
) -> NDArray[np.bool_]:
    """Expand a prediction, keep what reaches the threshold, and remove physiological uptake.

    Parameters
    ----------
    lesion, physiological
        (z, y, x) predictions.
    suv
        (z, y, x) SUVbw.
    threshold
        SUVbw from which uptake counts.
    spacing_mm
        (z, y, x), mm.
    expansion_mm
        Distance of voxel centres to the prediction that is still taken in.

    Returns
    -------
    numpy.ndarray
        (z, y, x) bool. A predicted lesion without a voxel above the threshold disappears.
    """
    refined = np.zeros_like(lesion)
    parts, _ = ndimage.label(lesion)
    for z, y, x in ndimage.find_objects(parts):
        box = grow_box((z, y, x), margin_voxels(expansion_mm, spacing_mm), lesion.shape)
        near = ndimage.distance_transform_edt(~lesion[box], sampling=spacing_mm) <= expansion_mm
        refined[box] |= near & (suv[box] >= threshold) & ~physiological[box]
    return refined
