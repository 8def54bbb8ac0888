"""The SUV volume of a study on a scale of choice, and its NIfTI file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from petlesion.errors import OutputError, SuvError, reason
from petlesion.nifti import SUFFIXES, write_image
from petlesion.output import STAGING_PREFIX
from petlesion.study import PetCt
from petlesion.suv_scale import SuvScale
from petlesion.volume import Volume


def scaled(study: PetCt, scale: SuvScale) -> Volume:
    """PET of a study normalised by another body measure than weight.

    Returns
    -------
    Volume
        float32; the unit is that of the scale.

    Raises
    ------
    SuvError
        If weight, height or sex, which the scale needs, are not known.
    """
    if scale is SuvScale.BW:
        return study.pet
    from petlesion.dicom.body_measures import suv_scale_factor

    weight_kg, height_m, sex = study.patient.weight_kg, study.patient.height_m, study.patient.sex
    if weight_kg is None or height_m is None or (not sex and scale is not SuvScale.BSA):
        raise SuvError(
            f"{scale} needs weight, height and sex, and the header gives {weight_kg} kg, {height_m} m, sex {sex!r}",
            remedy="use --scale SUVbw",
        )
    return Volume(
        study.pet.array * study.pet.array.dtype.type(suv_scale_factor(scale, weight_kg, height_m, sex)), study.pet.grid
    )


def write_volume(volume: Volume, path: Path, *, overwrite: bool = False) -> None:
    """Write a volume as NIfTI, beside the target and moved in place.

    Raises
    ------
    OutputError
        If the file exists already and `overwrite` is False, does not end with .nii or .nii.gz, or cannot be written.
    """
    if not path.name.endswith(SUFFIXES):
        raise OutputError(f"{path.name} is no NIfTI name", remedy="end it with .nii.gz")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", remedy="give another file, or replace it with --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX, dir=path.parent) as staging:
            write_image(volume, Path(staging) / path.name)
            (Path(staging) / path.name).replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({reason(error)})",
            remedy="give a folder that is writable and has space",
        ) from error
