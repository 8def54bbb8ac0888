"""A simulated patient: body, tracer and disease before any scanner, with the truth known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.phantom.activity import conserve, render_activity
from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.attenuation import render_ct
from petlesion.phantom.body.build import build_body
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.cohort_models import disease_model
from petlesion.phantom.disease import Finding, draw_disease, staging_of
from petlesion.phantom.foci import draw_foci
from petlesion.phantom.labels import Label
from petlesion.phantom.manifest import describe
from petlesion.phantom.placing import Places
from petlesion.phantom.truth import Focus, Lesion, Shape, Staging
from petlesion.phantom.tumour import LARGEST_SHARE, paint_foci, paint_lesions, paint_lesions_on_ct, tumour_share
from petlesion.phantom.uptake import draw_uptake, table_of
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
        Made from tracer, cohort and seed; the same at all visits, so that no split puts them on both sides.
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
        voxel keeps the one voxel that it fills most, unless another one fills more of that.
        """
        return paint_instances([lesion.shape for lesion in self.lesion_table], grid)

    def foci_on(self, grid: Grid) -> NDArray[np.uint16]:
        """Physiological foci on any axial grid: (z, y, x) uint16, ids of `foci`."""
        return paint_instances([focus.shape for focus in self.foci], grid)


def paint_instances(shapes: list[Shape], grid: Grid) -> NDArray[np.uint16]:
    """Label map (z, y, x) uint16 of shapes numbered from 1; a voxel goes to the shape that fills most of it.

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
    table_of(tracer)
    if seed < 0:
        raise UsageError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    body = build_body(seed, tracer, options)
    findings = draw_disease(tracer, seed, options, body.anatomy)
    return image_patient(tracer, seed, options, body.anatomy, findings, visit=0)


def image_patient(
    tracer: TracerName,
    seed: int,
    options: CohortOptions,
    anatomy: Anatomy,
    findings: Sequence[Finding],
    visit: int,
) -> SimulatedPatient:
    """Give a body with its lesions the uptake of one visit.

    Parameters
    ----------
    tracer, seed, options, anatomy
        Whose body.
    findings
        His lesions at this visit.
    visit
        0 for the first scan, 1, 2, ... for later ones.
    """
    share = tumour_share(findings, anatomy.weight_kg)
    uptake = draw_uptake(tracer, anatomy, seed, visit, min(share, LARGEST_SHARE))
    activity = render_activity(anatomy, uptake, seed, visit)
    uptake = conserve(activity, anatomy, uptake, min(share, LARGEST_SHARE))
    ct = render_ct(anatomy, seed)
    contrast = disease_model(options.cohort, tracer).contrast
    lesions = paint_lesions(findings, anatomy, uptake, contrast, seed, activity)
    paint_lesions_on_ct(lesions, tracer, anatomy, seed, ct)
    places = Places(anatomy)
    for lesion in lesions:
        places.keep(lesion.shape)
    foci = tuple(draw_foci(tracer, seed, visit, places, uptake))
    paint_foci(foci, anatomy, activity)
    staging = staging_of(lesions, tracer)
    organ_suv: dict[Label, float] = {
        label: uptake.of(label) for label in Label if label not in (Label.AIR, Label.TABLE)
    }
    name = f"{tracer.value}-{options.cohort.value}-{seed:06d}"
    return SimulatedPatient(
        patient_id=name,
        seed=seed,
        options=options,
        tracer=tracer,
        anatomy=anatomy,
        activity_suv=activity,
        ct_hu=ct,
        lesions=paint_instances([lesion.shape for lesion in lesions], anatomy.grid),
        lesion_table=lesions,
        foci=foci,
        organ_suv=organ_suv,
        staging=staging,
        parameters=describe(name, seed, visit, options, tracer, anatomy, uptake, lesions, foci, staging),
    )
