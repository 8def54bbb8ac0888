"""A folder on disk → `PetCt`: DICOM, or NIfTI with the names `pet.nii.gz` and `ct.nii.gz`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from petlesion.case_files import CT, PET, case_facts, image_file
from petlesion.dicom.reader import AUTOMATIC, SeriesChoice, given_tracer, read_dicom
from petlesion.dicom.scan import scan
from petlesion.dicom.suv_overrides import NO_OVERRIDES, SuvOverrides
from petlesion.errors import SuvError, UsageError
from petlesion.identifiers import derived_uid
from petlesion.nifti import read_image
from petlesion.progress import Progress, silent
from petlesion.report import SuvRecord
from petlesion.resample import resample
from petlesion.study import NO_CT_HU, Patient, PetCt, short_ct
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Volume

BQML_ABOVE = 1000.0
"""A PET with higher values than this draws a warning: SUVbw stays below even in the bladder, Bq/mL does not."""


def read_study(
    folder: Path,
    *,
    tracer: TracerName | None = None,
    overrides: SuvOverrides = NO_OVERRIDES,
    choice: SeriesChoice = AUTOMATIC,
    ct: bool = True,
    progress: Progress = silent,
) -> PetCt:
    """Read a study.

    Parameters
    ----------
    folder
        With `pet.nii.gz` or `pet.nii` (SUVbw) and, where there is one, `ct.nii.gz` or `ct.nii` (HU, any grid);
        otherwise DICOM files, nested, mixed, with other series and files among them.
    tracer
        Replaces what the header says, or beside NIfTI files `case.json` or the truth of the simulator.
    overrides
        Replace body weight, dose or injection time of the DICOM header.
    choice
        Study and series to read from DICOM.
    ct
        Whether to read the CT.
    progress
        Told how many files are looked at, then how many slices are decoded.

    Returns
    -------
    PetCt
        PET in SUVbw; CT, if any, on its grid.

    Raises
    ------
    UsageError
        If `folder` is no folder, or options do not go with it.
    PetlesionError
        If it holds no DICOM, no usable PET, no SUV, or no static volume; see `petlesion.dicom.reader.read_dicom`.

    Examples
    --------
    >>> read_study(Path("nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    petlesion.errors.UsageError: no study in nowhere, which does not exist; give a folder of DICOM files, or ...
    """
    try:
        pet_file = image_file(folder, PET)
    except OSError:  # a folder that cannot be looked at, as the search for DICOM files will say
        pet_file = None
    if pet_file is None:
        index = scan(folder, progress)
        return read_dicom(index, tracer=tracer, overrides=overrides, choice=choice, ct=ct, progress=progress)
    if overrides != NO_OVERRIDES or choice != AUTOMATIC:
        raise UsageError(
            f"{pet_file.name} is SUVbw of one series already",
            where=folder,
            remedy="leave out --weight, --dose, --injection-time, --study-uid and --pet-series",
        )
    named_by = ""
    if tracer is None:
        facts = case_facts(folder)
        tracer, named_by = facts.tracer, facts.file
    return read_nifti(pet_file, image_file(folder, CT) if ct else None, tracer, named_by)


def read_nifti(
    pet_file: Path, ct_file: Path | None = None, tracer: TracerName | None = None, named_by: str = ""
) -> PetCt:
    """Read a study from NIfTI files of any name.

    Parameters
    ----------
    pet_file
        SUVbw.
    ct_file
        HU, on any grid.
    tracer
        What NIfTI files do not name.
    named_by
        File that names the tracer; empty where the user does.

    Raises
    ------
    PetlesionError
        If a file is no NIfTI volume, or the PET has values that are not finite.
    """
    warnings: list[str] = []
    pet = read_image(pet_file, warnings)
    content = _content_hash(pet)
    return PetCt(
        pet=pet,
        ct=None if ct_file is None else _read_ct(ct_file, pet, warnings),
        tracer=TRACERS[tracer or TracerName.UNKNOWN],
        patient=Patient(),
        suv=_suv_record(pet, pet_file),
        study_instance_uid=derived_uid("study", content),
        pet_series_instance_uid=derived_uid("series", content),
        selection=(
            f"PET {pet_file.name}, SUVbw by its name.",
            "No ct.nii.gz." if ct_file is None else f"CT {ct_file.name}, HU by its name.",
            _tracer_reason(tracer, named_by),
        ),
        warnings=tuple(warnings),
    )


def _tracer_reason(tracer: TracerName | None, named_by: str) -> str:
    if tracer is None:
        return "NIfTI files name no tracer."
    return f"The tracer is {TRACERS[tracer].title}, as {named_by} says." if named_by else given_tracer(tracer).reason


def _read_ct(ct_file: Path, pet: Volume, warnings: list[str]) -> Volume | None:
    ct = read_image(ct_file, warnings)
    bad = ~np.isfinite(ct.array)
    if bad.any():
        warnings.append(f"{np.count_nonzero(bad)} voxels of {ct_file.name} are not finite and taken as air.")
        ct.array[bad] = NO_CT_HU
    np.maximum(ct.array, NO_CT_HU, out=ct.array)
    on_pet = resample(ct, pet.grid, outside=NO_CT_HU)
    if not np.any(on_pet.array > NO_CT_HU):
        warnings.append(f"{ct_file.name} does not overlap the PET and is not used.")
        return None
    warnings.extend(short_ct(pet.grid, ct.grid))
    return on_pet


def _suv_record(pet: Volume, pet_file: Path) -> SuvRecord:
    """Values taken as SUVbw.

    Raises
    ------
    SuvError
        If a value is not finite.
    """
    low, high = float(pet.array.min()), float(pet.array.max())
    if not np.isfinite([low, high]).all():
        raise SuvError(
            "values that are not finite (NaN or infinity)", where=pet_file, remedy="give SUVbw in every voxel"
        )
    warnings = ["SUVbw as the file holds it; how it was computed is not known."]
    if high > BQML_ABOVE:
        warnings.append(f"The highest value is {high:.0f}: this may be Bq/mL, not SUVbw.")
    return SuvRecord("g/ml", "unknown", None, None, None, tuple(warnings))


def _content_hash(volume: Volume) -> str:
    """SHA-256 of values and geometry, however the file was written."""
    digest = hashlib.sha256(repr((volume.grid.shape, volume.grid.affine.round(4).tolist())).encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.hexdigest()
