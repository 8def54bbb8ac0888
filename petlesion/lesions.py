"""The result of every segmenter: a label volume on the PET grid, one integer a lesion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.report import NO_REFERENCE, MethodRecord, Reference, Review
from petlesion.volume import Grid, Volume

LABEL_DTYPE = np.uint16
CONNECTIVITY = ndimage.generate_binary_structure(3, 2)
"""Voxels that share a face or an edge belong to one lesion (18-connectivity), as in the metric code of autoPET I-V."""
PROBABILITY_MAP, ENTROPY_MAP = "probability", "entropy"
"""Maps that a network may give: probability of lesion, and its uncertainty, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Lesions:
    """Disjoint lesions on the grid of the PET.

    Attributes
    ----------
    labels
        (z, y, x) uint16; 0 is background, lesions are 1..n without gaps, ordered by decreasing volume.
    grid
        Grid of the PET.
    method
        What made them.
    reference
        Reference region and threshold, or `NO_REFERENCE`.
    review
        Whether they are candidates, filtered by a network, or reviewed by a person.
    locations, confidences
        Per lesion number, where known.
    warnings
        What the user must know about this segmentation.
    maps
        (z, y, x) float32 volumes on the grid of the PET by their name, where they were asked for.
    """

    labels: NDArray[np.uint16]
    grid: Grid
    method: MethodRecord
    reference: Reference = NO_REFERENCE
    review: Review = Review.CANDIDATES
    locations: dict[int, str] = field(default_factory=dict)
    confidences: dict[int, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    maps: Mapping[str, Volume] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels.dtype != LABEL_DTYPE:
            raise ValueError(f"labels must be uint16, not {self.labels.dtype}")
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"labels of shape {self.labels.shape} on a grid of shape {self.grid.shape}")

    @property
    def count(self) -> int:
        """Number of lesions."""
        return int(self.labels.max(initial=0))
