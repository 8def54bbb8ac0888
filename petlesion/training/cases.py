"""Labelled cases on disk: what a cohort's folder holds, and how its labels become classes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion.case_files import CASE_FILE, CT, PET, SIMULATED_TRUTH, case_facts, image_file
from petlesion.errors import UsageError
from petlesion.networks.model_config import BACKGROUND, LESION, PHYSIOLOGICAL, organ_classes
from petlesion.nifti import read_labels
from petlesion.organs import Organ, Organs, read_organs
from petlesion.reader import read_study
from petlesion.resample import Interpolation, lies_apart, resample
from petlesion.segment.reference import find_reference
from petlesion.study import PetCt
from petlesion.tracers import TracerName
from petlesion.training.config import CohortConfig
from petlesion.volume import Volume

LESION_FILES: Final = ("lesions.nii.gz", "lesions.nii", "gtv.nii.gz", "gtv.nii")
"""Names of a label volume whose positive values are tumour."""
ORGAN_FILE = "organs.nii.gz"


@dataclass(frozen=True)
class Case:
    """A labelled case that has not been read yet.

    Attributes
    ----------
    name
        Folder name; unique within the cohorts.
    patient_id
        Decides the split. Cases that do not say are patients of their own.
    folder, files
        What it is made of, the PET first.
    tracer
        Given or read.
    weight, mirror, suv_gamma_range
        How often it is drawn, and how it is then varied, as its cohort says.
    """

    name: str
    patient_id: str
    folder: Path
    files: tuple[Path, ...]
    tracer: TracerName
    weight: float = 1.0
    mirror: float = 0.0
    suv_gamma_range: float = 1.0

    @property
    def pet_file(self) -> Path:
        """SUVbw."""
        return self.files[0]

    @property
    def simulated(self) -> bool:
        """Whether it carries the truth of the simulator."""
        return (self.folder / SIMULATED_TRUTH).is_file()

    def content_sha256(self) -> str:
        """Hash over all its files."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(bytes.fromhex(file_sha256(path)))
        return digest.hexdigest()

    def pet_sha256(self) -> str:
        """Hash of its PET alone, whatever its label is."""
        return file_sha256(self.pet_file)


@dataclass(frozen=True, eq=False)
class LabelledStudy:
    """A case as training uses it, on the grid of its PET.

    Attributes
    ----------
    study
        PET, CT, tracer.
    classes
        (z, y, x) uint8 class of every voxel; classes that are not known are background.
    known
        Classes that are labelled; voxels of the others may hide in the background.
    threshold
        Reference threshold, SUVbw.
    """

    study: PetCt
    classes: NDArray[np.uint8]
    known: tuple[str, ...]
    threshold: float


def patient_name(patient_id: str) -> str:
    """Name that the annotation server gives a patient in cases: it says nothing of him, and is always the same."""
    return hashlib.sha256(f"petlesion patient\0{patient_id}".encode()).hexdigest()


def find_cases(cohorts: Iterable[CohortConfig]) -> list[Case]:
    """List the cases of all cohorts by name.

    Raises
    ------
    UsageError
        If a folder does not exist, holds no case, a case has no tracer, or two have the same name.
    """
    cases: dict[str, Case] = {}
    for cohort in cohorts:
        if not cohort.folder.is_dir():
            raise UsageError(f"cohort {cohort.folder} does not exist", remedy="correct cohorts: in the configuration")
        found = [_case(path, cohort) for path in sorted(cohort.folder.iterdir()) if image_file(path, PET)]
        if not found:
            raise UsageError(
                f"cohort {cohort.folder} holds no case", remedy="give a folder of folders with pet.nii.gz and lesions"
            )
        for case in found:
            if case.name in cases:
                raise UsageError(f"two cases are named {case.name}", where=cohort.folder, remedy="rename one of them")
            cases[case.name] = case
    return [cases[name] for name in sorted(cases)]


def read_case(case: Case, class_names: Sequence[str]) -> LabelledStudy:
    """Read images and labels of a case.

    Classes exclude each other: lesion goes before organ, organ before `physiological`, which is what remains of the
    voxels at or above the threshold. Only the simulator's truth tells what is physiological; elsewhere that class, and
    organs that the case has no mask of, count as not known.

    Raises
    ------
    PetlesionError
        If a file cannot be read.
    """
    study = read_study(case.folder, tracer=case.tracer)
    lesions = lesion_mask(case, study)
    organs = _organs(case, study)
    reference, _ = find_reference(study, organs=organs)
    threshold = reference.threshold or study.tracer.fallback_suv
    classes = np.zeros(study.pet.grid.shape, dtype=np.uint8)
    known = {BACKGROUND, LESION}
    if case.simulated and PHYSIOLOGICAL in class_names:
        classes[study.pet.array >= threshold] = class_names.index(PHYSIOLOGICAL)
        known.add(PHYSIOLOGICAL)
    for organ, number in organ_classes(class_names).items():
        if organs is not None and organs.values.get(organ):
            known.add(organ.value)
            classes[np.isin(organs.labels, organs.values[organ])] = number
    classes[lesions] = class_names.index(LESION)
    return LabelledStudy(study, classes, tuple(name for name in class_names if name in known), threshold)


def _case(folder: Path, cohort: CohortConfig) -> Case:
    truth = folder / SIMULATED_TRUTH
    images = [path for name in (PET, CT) if (path := image_file(folder, name))]
    if truth.is_file():
        _truth(truth)  # a damaged one is refused now, and not once a training runs
        images += [truth, *(folder / "truth" / name for name in ("lesions.nii.gz", ORGAN_FILE))]
    else:
        lesions = next((path for name in LESION_FILES if (path := folder / name).is_file()), None)
        if lesions is None:
            raise UsageError(
                f"case has no {LESION_FILES[0]}",
                where=folder,
                remedy="add lesions or remove the case",
            )
        images += [lesions, *(path for name in (ORGAN_FILE, CASE_FILE) if (path := folder / name).is_file())]
    facts = case_facts(folder)
    tracer = facts.tracer or cohort.tracer
    if tracer is None:
        raise UsageError(
            "case names no tracer", where=folder, remedy=f"name it in {CASE_FILE}, or give tracer: with its cohort"
        )
    return Case(
        folder.name,
        facts.patient_id or folder.name,
        folder,
        tuple(images),
        tracer,
        weight=cohort.weight,
        mirror=cohort.mirror,
        suv_gamma_range=cohort.suv_gamma_range,
    )


def file_sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _truth(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        TracerName(record["tracer"])
        str(record["patient_id"])
        dict(record["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("truth of the simulator cannot be read", where=path, remedy="simulate it again") from error
    return dict(record)


def lesion_mask(case: Case, study: PetCt) -> NDArray[np.bool_]:
    """Labelled tumour, (z, y, x) on the grid of the PET.

    Raises
    ------
    UsageError
        If there is tumour, and all of it lies outside the PET.
    """
    path = next(path for path in case.files if path.name in LESION_FILES)
    labels = read_labels(path)
    mask = Volume(labels.array > 0, labels.grid)
    if lies_apart(mask, study.pet.grid):
        raise UsageError(
            f"{path.name} lies outside the PET", where=case.folder, remedy="correct its coordinates, or remove the case"
        )
    return resample(mask, study.pet.grid, Interpolation.NEAREST).array.astype(bool, copy=False)


def _organs(case: Case, study: PetCt) -> Organs | None:
    path = next((path for path in case.files if path.name == ORGAN_FILE), None)
    if path is None:
        return None
    if not case.simulated:
        return read_organs(path, study, alone_is_liver=False)
    labels = resample(read_labels(path), study.pet.grid, Interpolation.NEAREST).array
    values: dict[Organ, tuple[int, ...]] = {}
    for number, row in _truth(case.folder / SIMULATED_TRUTH)["labels"].items():
        if row["organ"]:
            values[Organ(row["organ"])] = (*values.get(Organ(row["organ"]), ()), int(number))
    return Organs(labels, study.pet.grid, values)
