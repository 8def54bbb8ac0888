"""Truth of a simulated patient as files: label volumes on the PET grid, JSON, DICOM segmentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion import __version__
from petlesion.dicom.segmentation import build_segmentation
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.nifti import write_labels
from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.labels import STRUCTURES, Label
from petlesion.phantom.patient import SimulatedPatient
from petlesion.report import MethodRecord, Review, SuvRecord
from petlesion.study import DicomSource, Patient, PetCt
from petlesion.tracers import TRACERS
from petlesion.volume import Grid, Volume

SCHEMA = "petlesion-truth/1"


def organ_labels_on(anatomy: Anatomy, grid: Grid) -> NDArray[np.uint8]:
    """Label of the structure at the centre of every voxel of an axial grid, (z, y, x) uint8; 0 outside the anatomy."""
    inside, index = [], []
    for axis in range(3):
        points = np.zeros((grid.shape[axis], 3))
        points[:, axis] = np.arange(grid.shape[axis])
        nearest = np.rint(anatomy.grid.to_index(grid.to_world(points))[:, axis]).astype(np.intp)
        inside.append((nearest >= 0) & (nearest < anatomy.grid.shape[axis]))
        index.append(nearest[inside[-1]])
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[np.ix_(*inside)] = anatomy.labels[np.ix_(*index)]
    return labels


def write_truth(patient: SimulatedPatient, grid: Grid, record: Mapping[str, Any], folder: Path) -> NDArray[np.uint16]:
    """Write `lesions.nii.gz`, `foci.nii.gz`, `organs.nii.gz` and `truth.json`.

    Parameters
    ----------
    patient
        Whose truth.
    grid
        Grid of the PET.
    record
        Line of the manifest; becomes part of `truth.json`.
    folder
        Created.

    Returns
    -------
    numpy.ndarray
        (z, y, x) uint16 lesions on `grid`, ids of the patient's lesion table.
    """
    folder.mkdir(parents=True)
    lesions = patient.lesions_on(grid)
    write_labels(lesions, grid, folder / "lesions.nii.gz")
    write_labels(patient.foci_on(grid), grid, folder / "foci.nii.gz")
    write_labels(organ_labels_on(patient.anatomy, grid), grid, folder / "organs.nii.gz")
    document = {
        "schema": SCHEMA,
        **record,
        "labels": {
            str(int(label)): {"name": row.name, "organ": row.organ and row.organ.value}
            for label, row in STRUCTURES.items()
            if label is not Label.AIR
        },
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return lesions


def truth_segmentation(
    patient: SimulatedPatient, lesions: NDArray[np.uint16], pet: Volume, headers: Sequence[Dataset]
) -> Dataset | None:
    """Truth as a DICOM segmentation that refers to the written PET; None without a lesion.

    Parameters
    ----------
    patient
        Gives the places of the lesions.
    lesions
        (z, y, x) ids of the lesion table on the grid of `pet`.
    pet
        SUVbw.
    headers
        Of the PET slices, in slice order.
    """
    ids = sorted(
        set(np.unique(lesions).tolist()) - {0}, key=lambda number: (-np.count_nonzero(lesions == number), number)
    )
    if not ids:
        return None
    renumber = np.zeros(int(lesions.max()) + 1, dtype=np.uint16)
    renumber[ids] = np.arange(1, len(ids) + 1)
    places = {lesion.id: lesion.place for lesion in patient.lesion_table}
    study = PetCt(
        pet=pet,
        ct=None,
        tracer=TRACERS[patient.tracer],
        patient=Patient(patient_id=patient.patient_id, sex=patient.anatomy.sex.value),
        suv=SuvRecord("SUV", "simulated", None, None, None),
        study_instance_uid=str(headers[0].StudyInstanceUID),
        pet_series_instance_uid=str(headers[0].SeriesInstanceUID),
        source=DicomSource(tuple(headers)),
    )
    found = Lesions(
        labels=renumber[lesions],
        grid=pet.grid,
        method=MethodRecord("simulated truth", __version__),
        review=Review.REVIEWED,
        locations={int(renumber[number]): places[number] for number in ids},
    )
    return build_segmentation(study, found, measure(study, found))
