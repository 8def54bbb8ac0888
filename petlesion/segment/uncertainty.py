"""How unsure a network is of the lesions in a study: one number a lesion, one a study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from petlesion.segment.components import label_components
from petlesion.segment.network import NetworkResult
from petlesion.segment.options import MIN_VOLUME_ML

NEAR_PROBABILITY = 0.1
"""Voxels at or above this probability of lesion count, found or not: lesions that were just missed matter most."""


@dataclass(frozen=True)
class StudyUncertainty:
    """Uncertainty of a study.

    Attributes
    ----------
    entropy
        Mean over lesions of `lesion_entropies`; 0 without any.
    lesion_entropies
        Mean predictive entropy, 0 to 1, over each region of foreground, predicted or nearly so, by decreasing volume.
    lesions
        How many lesions the network found.
    """

    entropy: float
    lesion_entropies: tuple[float, ...]
    lesions: int


def study_uncertainty(result: NetworkResult) -> StudyUncertainty:
    """Predictive entropy over the foreground, aggregated by lesion.

    Over a whole volume the entropy of millions of certain background voxels hides that of a lesion; summed over lesions
    it would only count them.

    Parameters
    ----------
    result
        Of `segment_by_network` with maps.

    Raises
    ------
    ValueError
        If it has no maps.
    """
    if result.probability is None or result.entropy is None:
        raise ValueError("uncertainty needs maps of probability and entropy: segment with NetworkOptions(maps=True)")
    found = np.asarray(result.lesions.labels) > 0
    foreground = found | (result.probability.array >= NEAR_PROBABILITY)
    labels = label_components(foreground, result.probability.grid.voxel_ml, MIN_VOLUME_ML)
    numbers = np.arange(1, int(labels.max()) + 1)
    means = ndimage.mean(result.entropy.array, labels, numbers) if len(numbers) else []
    entropies = tuple(float(value) for value in means)
    return StudyUncertainty(
        entropy=float(np.mean(entropies)) if entropies else 0.0,
        lesion_entropies=entropies,
        lesions=int(result.lesions.labels.max()),
    )
