"""DICOM folder → `PetCt`: choose, order, convert to SUVbw, bring the CT onto the grid of the PET."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion.dicom.attributes import joined, number, parse_date, person_name, text
from petlesion.dicom.body_measures import patient_height_m, patient_weight_kg
from petlesion.dicom.elements import raw_number, raw_text
from petlesion.dicom.pixels import read_volume
from petlesion.dicom.provenance import overlong_identifiers
from petlesion.dicom.scan import DicomIndex, Series
from petlesion.dicom.selection import choose_ct, choose_pet
from petlesion.dicom.series import Stack, is_complete, require_ends, stack_slices
from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.suv_overrides import NO_OVERRIDES, SuvOverrides
from petlesion.dicom.tracer import TracerIdentification, identify_tracer
from petlesion.errors import GeometryError, NoPetError, SuvError, UsageError
from petlesion.progress import Progress, silent
from petlesion.resample import resample
from petlesion.study import NO_CT_HU, DicomSource, Patient, PetCt, short_ct
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

_SAME_THICKNESS_MM = 0.05
"""SliceThickness that differs by less is rounding."""


@dataclass(frozen=True)
class SeriesChoice:
    """What the user wants to have read, where it shall not be chosen automatically.

    Attributes
    ----------
    study_uid
        StudyInstanceUID; needed where a folder holds several studies with a PET.
    pet_uid, ct_uid
        SeriesInstanceUIDs.
    """

    study_uid: str | None = None
    pet_uid: str | None = None
    ct_uid: str | None = None


AUTOMATIC = SeriesChoice()
"""The best PET and CT of the only study."""


def read_dicom(
    index: DicomIndex,
    *,
    tracer: TracerName | None = None,
    overrides: SuvOverrides = NO_OVERRIDES,
    choice: SeriesChoice = AUTOMATIC,
    ct: bool = True,
    progress: Progress = silent,
) -> PetCt:
    """Read one study of a folder that was scanned.

    Parameters
    ----------
    index
        From `petlesion.dicom.scan.scan`. Of a folder with several studies, each is read by a call with its `choice`.
    tracer
        Replaces what the header says.
    overrides
        Replace body weight, dose or injection time of the header.
    choice
        Study and series to read.
    ct
        Whether to look for a CT and read it.
    progress
        Told how many slices are decoded, for PET and CT in turn.

    Returns
    -------
    PetCt
        SUVbw on the regular grid of the PET slices, and CT in HU on the same grid.

    Raises
    ------
    UsageError
        If there are several studies and none is chosen, or a chosen one is not there.
    NoPetError
        If no PET is usable.
    SuvError
        If SUVbw does not follow from the header.
    GeometryError
        If the slices form no static volume, some are missing, or a file is damaged.
    """
    series = _study_series(index, choice)
    pet, why_pet, arbitrary = choose_pet(series, index.folder, choice.pet_uid)
    stack, warnings = _stack_pet(pet, index)
    headers = tuple(instance.header for instance in stack.instances)
    identified = identify_tracer(headers[0]) if tracer is None else given_tracer(tracer)
    conversion = suv_conversion(headers, overrides)
    suv = Volume(read_volume(stack, _slopes(stack) * conversion.factors, 0.0, progress), stack.grid)
    ct_stack, why_ct = choose_ct(series, stack, index.folder, choice.ct_uid) if ct else (None, ())
    if ct_stack is not None:
        warnings += (*ct_stack.warnings, *short_ct(stack.grid, ct_stack.grid))
    elif any(each.modality == "CT" for each in series):
        warnings += why_ct
    return PetCt(
        pet=suv,
        ct=None if ct_stack is None else _read_ct(ct_stack, stack.grid, progress),
        tracer=identified.tracer,
        patient=_read_patient(headers[0], overrides.weight_kg, replaced="weight" in conversion.record.overrides),
        suv=conversion.record,
        study_instance_uid=pet.study_uid,
        pet_series_instance_uid=pet.uid,
        source=DicomSource(
            pet_headers=headers,
            ct_series_instance_uid=None if ct_stack is None else ct_stack.instances[0].series_uid,
            one_header_per_slice=stack.positions is None,
        ),
        selection=(*why_pet, *why_ct, identified.reason),
        warnings=(*index.warnings, *arbitrary, *warnings, *overlong_identifiers(headers[0])),
    )


def given_tracer(name: TracerName) -> TracerIdentification:
    """The tracer that the user names."""
    return TracerIdentification(TRACERS[name], f"The tracer is {TRACERS[name].title}, as asked for.")


def _study_series(index: DicomIndex, choice: SeriesChoice) -> list[Series]:
    uids = index.study_uids
    if choice.study_uid is not None:
        if choice.study_uid not in {series.study_uid for series in index.series}:
            raise UsageError(
                f"no study has the StudyInstanceUID {choice.study_uid}",
                where=index.folder,
                remedy=f"give one of those with a PET: {', '.join(uids) or 'there is none'}",
            )
        uids = (choice.study_uid,)
    if not uids:
        raise NoPetError(
            f"no series of modality PT ({index.contents()})",
            where=index.folder,
            remedy="add the PET images of the study",
        )
    if len(uids) > 1:
        raise UsageError(
            f"{len(uids)} studies with a PET ({', '.join(uids)})",
            where=index.folder,
            remedy="choose one by its StudyInstanceUID (--study-uid)",
        )
    return [series for series in index.series if series.study_uid == uids[0]]


def _stack_pet(pet: Series, index: DicomIndex) -> tuple[Stack, tuple[str, ...]]:
    """Ordered slices of the PET, none of them missing; and what was tolerated."""
    for instance in pet.instances:
        if instance.damage:
            raise _damaged(instance.damage, instance.path)
    folders = {instance.path.parent for instance in pet.instances}
    suspects = [file for file in index.skipped if file.damaged and file.path.parent in folders]
    if suspects and not is_complete(pet.instances):
        raise _damaged(f"{suspects[0].reason}, perhaps a slice of the PET", suspects[0].path)
    stack = stack_slices(pet.instances, pet.title)
    require_ends(stack, pet.title)
    tolerated = [
        f"Damaged file {file.path.name} ignored ({file.reason}); the PET is complete without it." for file in suspects
    ]
    kind = raw_text(stack.instances[0].header, "SeriesType").partition("\\")[0]
    if kind in ("DYNAMIC", "GATED"):
        tolerated.append(f"SeriesType says {kind}; what is there is one volume, and read as if static.")
    if any(raw_text(instance.header, "LossyImageCompression") == "01" for instance in stack.instances):
        tolerated.append("The PET was compressed with loss (LossyImageCompression): its SUV are not the scanner's.")
    return stack, (*stack.warnings, *tolerated, *_odd_thickness(stack))


def _odd_thickness(stack: Stack) -> tuple[str, ...]:
    """One series has one slice thickness; another tells of a damaged header, whose slope may be wrong as well."""
    found = [number(instance.header, "SliceThickness") for instance in stack.instances]
    known = sorted(value for value in found if value is not None)
    if not known or known[-1] - known[0] <= _SAME_THICKNESS_MM:
        return ()
    warning = (
        f"SliceThickness differs between slices, from {known[0]:g} to {known[-1]:g} mm: headers may be damaged; "
        "compare the SUV of these slices with that of their neighbours."
    )
    return (warning,)


def _damaged(what: str, path: Path) -> GeometryError:
    return GeometryError(
        what, where=path, remedy="copy or export the file again, or remove it if it does not belong here"
    )


def _slopes(stack: Stack) -> NDArray[np.float64]:
    """(slices,) RescaleSlope of PET slices, which differs from slice to slice."""
    slopes = [raw_number(instance.header, "RescaleSlope") for instance in stack.instances]
    for slope, instance in zip(slopes, stack.instances, strict=True):
        if slope is None or slope <= 0:
            raise SuvError(
                "RescaleSlope (0028,1053) is missing or not above 0",
                where=instance.path,
                remedy="use the series as the scanner wrote it",
            )
    return np.array(slopes, dtype=np.float64)


def _read_ct(stack: Stack, grid: Grid, progress: Progress) -> Volume:
    """CT in HU, float32, on the grid of the PET."""
    headers = [instance.header for instance in stack.instances]
    slopes = [raw_number(header, "RescaleSlope") or 1.0 for header in headers]
    intercepts = [raw_number(header, "RescaleIntercept") or 0.0 for header in headers]
    array = read_volume(stack, slopes, intercepts, progress)
    np.maximum(array, NO_CT_HU, out=array)
    return resample(Volume(array, stack.grid), grid, outside=NO_CT_HU)


def _read_patient(header: Dataset, given_weight_kg: float | None, *, replaced: bool) -> Patient:
    """Who was scanned; what is missing or malformed stays empty, and SUV warnings are not repeated.

    The weight is that which SUV was computed with: a given one that did not replace the header's fills a gap only.
    """
    weight: float | None
    try:
        weight = patient_weight_kg(header, given_weight_kg if replaced else None, [])
    except SuvError:
        weight = given_weight_kg
    return Patient(
        patient_id=joined(header, "PatientID"),
        name=person_name(header, "PatientName"),
        birth_date=parse_date(text(header, "PatientBirthDate")),
        sex=text(header, "PatientSex").upper(),
        weight_kg=weight,
        height_m=patient_height_m(header, []),
    )
