"""Pairs of predicted and true lesions, from seeds, on which the metrics are compared with published packages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPE = (12, 24, 24)
CELL = 6
"""Each lesion lies in a cell of its own, a voxel or more from its neighbours: the packages number parts themselves."""
SEEDS = range(12)
MIN_IOU = {"picai_eval": 0.1, "panoptica": 0.5}


@dataclass(frozen=True, eq=False)
class OracleCase:
    """(z, y, x) labels, and the confidence of each predicted lesion."""

    predicted: NDArray[np.int32]
    truth: NDArray[np.int32]
    confidences: dict[int, float]


def oracle_case(seed: int) -> OracleCase:
    """Boxes at random places: some found well, some badly, some missed, some false."""
    rng = np.random.default_rng(seed)
    predicted, truth = np.zeros(SHAPE, dtype=np.int32), np.zeros(SHAPE, dtype=np.int32)
    confidences: dict[int, float] = {}
    for corner in np.ndindex(*(side // CELL for side in SHAPE)):
        for labels, share in ((truth, 0.5), (predicted, 0.6)):
            if rng.random() >= share:
                continue
            low = np.array(corner) * CELL + rng.integers(0, 2, size=3)
            size = rng.integers(2, CELL - 1, size=3)
            number = int(labels.max()) + 1
            labels[tuple(slice(start, start + length) for start, length in zip(low, size, strict=True))] = number
            if labels is predicted:
                confidences[number] = round(float(rng.uniform(0.05, 1.0)), 2)
    return OracleCase(predicted, truth, confidences)
