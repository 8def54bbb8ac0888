"""A simulated patient: body, tracer and disease before any scanner, with the truth known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import Label
from petlesion.phantom.truth import Focus, Lesion, Shape, Staging
from petlesion.tracers import TracerName
from petlesion.volume import Grid

TRUTH_OCCUPANCY = 0.5
"""A voxel belongs to a lesion of the truth when the lesion fills at least this much of it."""


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """Everything that is known of a patient before the scanner.

    Attributes
    ----------
    patient_id
        Made from tracer, cohort and seed.
    seed
        The seed that gives this patient again.
    options
        How it was drawn.
    tracer
        Which tracer was injected.
    anatomy
        The body, its grid and its label map.
    activity_suv
        (z, y, x) float32 true SUVbw (g/mL) on `anatomy.grid`, decay-corrected to the injection, no blur, no noise.
    ct_hu
        (z, y, x) float32 HU on `anatomy.grid`, with anatomical texture, lesions and table, no noise; -1000 in air.
    lesions
        (z, y, x) uint16 on `anatomy.grid`; values are the ids of `lesion_table`, 0 elsewhere.
    lesion_table
        The lesions, ids 1..n in order.
    foci
        Physiological foci, ids 1..n in order.
    organ_suv
        Drawn SUVmean of the structures.
    staging
        miTNM N and M class and bone pattern that follow from the lesions.
    parameters
        Everything drawn, JSON-able, for the manifest.
    """

    patient_id: str
    seed: int
    options: CohortOptions
    tracer: TracerName
    anatomy: Anatomy
    activity_suv: NDArray[np.float32]
    ct_hu: NDArray[np.float32]
    lesions: NDArray[np.uint16]
    lesion_table: tuple[Lesion, ...]
    foci: tuple[Focus, ...]
    organ_suv: Mapping[Label, float]
    staging: Staging
    parameters: Mapping[str, Any]

    def lesions_on(self, grid: Grid) -> NDArray[np.uint16]:
        """Truth on the grid of a scanner: (z, y, x) uint16, ids of `lesion_table`.

        Made from the lesions' own fine shapes, not by resampling `lesions`. A lesion too small to fill half of any
        voxel keeps the one voxel that it fills most.
        """
        return paint_instances([lesion.shape for lesion in self.lesion_table], grid)

    def foci_on(self, grid: Grid) -> NDArray[np.uint16]:
        """Physiological foci on any axial grid: (z, y, x) uint16, ids of `foci`."""
        return paint_instances([focus.shape for focus in self.foci], grid)


def paint_instances(shapes: list[Shape], grid: Grid) -> NDArray[np.uint16]:
    """Label map (z, y, x) uint16 of shapes numbered from 1; where two touch, the one that fills more of the voxel wins.

    Parameters
    ----------
    shapes
        Regions in order of their number.
    grid
        Axial grid to paint on.
    """
    labels = np.zeros(grid.shape, dtype=np.uint16)
    best = np.zeros(grid.shape, dtype=np.float32)
    for number, shape in enumerate(shapes, start=1):
        found = shape.occupancy(grid)
        if found is None:
            continue
        block, fraction = found
        wins = (fraction >= min(TRUTH_OCCUPANCY, fraction.max())) & (fraction > best[block])
        labels[block][wins] = number
        best[block][wins] = fraction[wins]
    return labels


def simulate_patient(tracer: TracerName, seed: int, options: CohortOptions) -> SimulatedPatient:
    """Draw one patient.

    Parameters
    ----------
    tracer
        One of the simulated tracers: 68Ga-DOTATATE, 64Cu-DOTATATE, 68Ga-PSMA-11, 18F-FDG.
    seed
        Non-negative; the same seed, tracer and options give the same patient.
    options
        Cohort and fixed properties.

    Raises
    ------
    petlesion.errors.UsageError
        If the tracer has no uptake table or the seed is negative.
    """
    raise NotImplementedError
