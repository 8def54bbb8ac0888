"""What a client gets: a label file on the grid it draws on, and what was measured."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from petlesion.dicom.segmentation import build_segmentation
from petlesion.errors import UsageError
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.nifti import write_image
from petlesion.nrrd import write_nrrd
from petlesion.report import Report
from petlesion.resample import Interpolation, resample
from petlesion.study import PetCt
from petlesion.volume import Grid, Volume

LABEL = "lesion"
"""The one label of all models; its value is 1."""
EXTENSIONS = (".nrrd", ".nii.gz", ".nii")
BITS = {"uint8": 8, "uint16": 16}
"""Data types that clients may ask for (`result_dtype`)."""


def write_label(lesions: Lesions, grid: Grid, request: Mapping[str, Any], folder: Path, *, instances: bool) -> Path:
    """Write a label as the client wants it: `result_extension`, `result_dtype`, `result_compress` of its request.

    Parameters
    ----------
    lesions
        On the grid of the PET.
    grid
        Where the client draws: of the PET, or of the CT.
    request
        The client's.
    folder
        Where to; created where missing.
    instances
        One value a lesion rather than 1 for all.

    Returns
    -------
    Path
        The file, which the server removes after it was sent.

    Raises
    ------
    UsageError
        If the client wants a format that is not written here.
    """
    extension = str(request.get("result_extension") or EXTENSIONS[0])
    if extension not in EXTENSIONS:
        raise UsageError(f"result_extension is {extension[:20]!r}", remedy=f"give one of {', '.join(EXTENSIONS)}")
    labels = lesions.labels if instances else (lesions.labels > 0).astype(np.uint8)
    bits = BITS.get(str(request.get("result_dtype")), 8 if labels.max(initial=0) < 2**8 else 16)
    labels = np.minimum(labels, 2**bits - 1).astype(f"u{bits // 8}")
    volume = resample(Volume(labels, lesions.grid), grid, Interpolation.NEAREST)
    path = _new_file(folder, extension)
    if extension == ".nrrd":
        write_nrrd(volume, path, compress=bool(request.get("result_compress", False)))
    else:
        write_image(volume, path)
    return path


def describe(report: Report, *, instances: bool) -> dict[str, Any]:
    """The JSON of a result: each lesion by name, with volume and SUVs, the reference used, and the warnings.

    Those that name an option of the command line name the one that clients have in its place.
    """
    document: dict[str, Any] = json.loads(report.to_json())
    names = [f"{LABEL} {lesion['id']}" for lesion in document["lesions"]] if instances else [LABEL]
    document["warnings"] = [warning.replace("--tracer", "the option tracer") for warning in report.warnings]
    for lesion in document["lesions"]:
        lesion["name"] = f"{LABEL} {lesion['id']}"
    return {
        "label_names": {name: number for number, name in enumerate(names, start=1)},
        "threshold_suv": report.threshold_suv,
        **document,
    }


def write_segmentation(study: PetCt, lesions: Lesions, folder: Path) -> Path:
    """Write the DICOM SEG of a result; as `write_label`.

    Raises
    ------
    UsageError
        If there is no lesion, or the image is no DICOM series.
    """
    if study.source is None:
        raise UsageError("the image is no DICOM series, so there is no DICOM SEG of it", remedy="ask for output=image")
    if lesions.count == 0:
        raise UsageError("no lesion was found, so there is no DICOM SEG", remedy="ask for output=json or output=image")
    path = _new_file(folder, ".dcm")
    build_segmentation(study, lesions, measure(study, lesions)).save_as(path, enforce_file_format=True)
    return path


def _new_file(folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="lesions-", suffix=suffix, dir=folder)
    os.close(descriptor)
    return Path(name)
