"""Lesions to numbers: volume and uptake of each lesion, and of all together."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.identifiers import derived_uid
from petlesion.lesions import Lesions
from petlesion.measure.peak import suv_peak
from petlesion.report import LesionRecord, MethodRecord, Report, StudyRecord, Totals
from petlesion.study import PetCt
from petlesion.volume import Volume


def measure(study: PetCt, lesions: Lesions) -> Report:
    """Measure all lesions of a study.

    Parameters
    ----------
    study
        PET in SUVbw.
    lesions
        Lesions on the grid of the PET.

    Returns
    -------
    Report
        What `report.json` holds. `suv_sd` is the population SD (divisor n), as IBSI defines the variance. `suv_peak`
        is that of `petlesion.measure.peak.suv_peak`. `centroid_mm` is the mean of the lesion's voxel centres in LPS,
        unweighted, and may lie outside a curved lesion.

    Raises
    ------
    ValueError
        If the lesions are on another grid than the PET, or their numbers have a gap.
    """
    if not lesions.grid.is_close(study.pet.grid):
        raise ValueError("lesions must be on the grid of the PET")
    pet = Volume(np.ascontiguousarray(study.pet.array), study.pet.grid)
    identity = _identity(study, lesions.method)
    records = tuple(
        _measure_lesion(pet, lesions, number, box, identity)
        for number, box in enumerate(ndimage.find_objects(lesions.labels), start=1)
    )
    return Report(
        study=_study_record(study),
        suv=study.suv,
        reference=lesions.reference,
        method=lesions.method,
        lesions=records,
        totals=totals(records),
        review=lesions.review,
        warnings=tuple(dict.fromkeys((*study.warnings, *lesions.warnings))),
    )


def totals(lesions: tuple[LesionRecord, ...]) -> Totals:
    """Sum up lesions: TTV, TLU, volume-weighted SUVmean, and the extremes over lesions.

    TLU = sum of SUVmean x volume; the lowest lesion SUVmean is prognostic together with TTV (Carlsen et al., JNM 2021).
    SUV values are None when there is no lesion.
    """
    ttv_ml = sum(lesion.volume_ml for lesion in lesions)
    tlu = sum(lesion.tlu for lesion in lesions)
    return Totals(
        n_lesions=len(lesions),
        ttv_ml=float(ttv_ml),
        tlu=float(tlu),
        suv_max=max((lesion.suv_max for lesion in lesions), default=None),
        suv_mean=tlu / ttv_ml if lesions else None,
        suv_peak=max((lesion.suv_peak for lesion in lesions), default=None),
        min_lesion_suv_mean=min((lesion.suv_mean for lesion in lesions), default=None),
    )


def _measure_lesion(
    pet: Volume, lesions: Lesions, number: int, box: tuple[slice, ...] | None, identity: tuple[str, ...]
) -> LesionRecord:
    if box is None:
        raise ValueError(f"lesion {number} has no voxel; number lesions 1 to n without gaps")
    mask = lesions.labels[box] == number
    corner = np.array([side.start for side in box])
    voxels = np.argwhere(mask) + corner
    values = pet.array[box][mask].astype(np.float64)
    volume_ml = len(values) * pet.grid.voxel_ml
    suv_mean = float(values.mean())
    x, y, z = pet.grid.to_world(voxels.mean(axis=0))
    return LesionRecord(
        id=number,
        tracking_uid=derived_uid(*identity, _content_hash(mask, corner)),
        volume_ml=volume_ml,
        suv_max=float(values.max()),
        suv_mean=suv_mean,
        suv_min=float(values.min()),
        suv_sd=float(values.std()),
        suv_peak=suv_peak(pet, voxels),
        tlu=suv_mean * volume_ml,
        centroid_mm=(float(x), float(y), float(z)),
        location=lesions.locations.get(number),
        confidence=lesions.confidences.get(number),
    )


def _identity(study: PetCt, method: MethodRecord) -> tuple[str, ...]:
    """What the tracking UIDs of all lesions of one segmentation have in common."""
    parameters = json.dumps(method.parameters, sort_keys=True)
    return (
        study.study_instance_uid,
        study.pet_series_instance_uid,
        method.name,
        method.version,
        method.weights_sha256 or "",
        parameters,
    )


def _content_hash(mask: NDArray[np.bool_], corner: NDArray[np.intp]) -> str:
    """SHA-256 of which voxels a lesion holds; `mask` is its bounding box, which starts at `corner`."""
    place = f"{corner.tolist()} {list(mask.shape)} "
    return hashlib.sha256(place.encode() + np.packbits(mask).tobytes()).hexdigest()


def _study_record(study: PetCt) -> StudyRecord:
    return StudyRecord(
        study_instance_uid=study.study_instance_uid,
        pet_series_instance_uid=study.pet_series_instance_uid,
        ct_series_instance_uid=None if study.source is None else study.source.ct_series_instance_uid,
        tracer=study.tracer.name.value,
        selection=study.selection,
    )
