"""Read a mask of lesions, whatever its format, onto the grid of the PET."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.misc import is_dicom
from scipy import ndimage

from petlesion import __version__
from petlesion.dicom.attributes import items, text
from petlesion.errors import UsageError
from petlesion.lesions import CONNECTIVITY, LABEL_DTYPE, Lesions
from petlesion.nifti import read_labels
from petlesion.regions import Region, chosen, disjoint, labelled_regions
from petlesion.report import MethodRecord, Review
from petlesion.resample import Interpolation, resample
from petlesion.study import PetCt
from petlesion.volume import Grid, Volume

METHOD_NAME = "mask"
"""Name of the method that reports of masks carry."""
_NAMES_LENGTH = 2000
_DAMAGE = (
    BytesLengthException,
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on damaged files, among it RecursionError and NotImplementedError (as RuntimeError)."""
_REMEDY = "give a DICOM SEG, a DICOM RTSTRUCT or a NIfTI file (.nii, .nii.gz)"


def read_mask(path: Path, study: PetCt, roi_names: Collection[str] = (), *, instances: bool = False) -> Lesions:
    """Read lesions from a DICOM SEG, an RTSTRUCT or a NIfTI file; its content decides which.

    - Each segment, ROI or value is one lesion. Where a file has a single segment without TrackingUID, or a single
      value, its parts (18-connected) are lesions: such a mask says where tumour is, not which lesions there are.
    - Masks on another grid are sampled at the centres of the PET's voxels.
    - Where regions overlap, the smaller one keeps the voxels.
    - Where a file says that an algorithm made them alone (AUTOMATIC), they are candidates; else reviewed.
    - Lesions are numbered by decreasing volume. `method.parameters` holds the file's name and those of its regions.

    Parameters
    ----------
    path
        The file.
    study
        PET that the mask belongs to.
    roi_names
        Segment labels, ROI names or values to read; default all.
    instances
        Whether each value is known to be one lesion, so that a single one is not split either.

    Returns
    -------
    Lesions
        On the grid of the PET; none where the mask is empty.

    Raises
    ------
    UsageError
        If the file is missing, unreadable or of another kind, has no region of these names, belongs to another patient
        space, or lies outside the PET.
    """
    file = read_regions(path, study, roi_names)
    whole = instances or file.one_a_region or len(file.regions) != 1
    regions = file.regions if whole else split(file.regions[0])
    labels = disjoint(regions, study.pet.grid)
    if regions and not labels.names:
        raise UsageError(
            f"none of the {len(regions)} regions of the mask has a voxel on the PET", where=path.name, remedy=_REMEDY
        )
    parameters: dict[str, float | int | str | bool | None] = {"file": path.name, "kind": file.kind}
    if labels.names:
        parameters["regions"] = ", ".join(labels.names)[:_NAMES_LENGTH]
    return Lesions(
        labels=labels.labels,
        grid=study.pet.grid,
        method=MethodRecord(METHOD_NAME, __version__, None, parameters),
        review=Review.CANDIDATES if file.automatic else Review.REVIEWED,
        warnings=(*file.warnings, *labels.warnings),
    )


def split(region: Region) -> list[Region]:
    """Parts of a region that are lesions of their own (`CONNECTIVITY`); numbered where there are several.

    Parameters
    ----------
    region
        On the PET grid.
    """
    parts, count = ndimage.label(region.mask, structure=CONNECTIVITY)
    if count < 2:
        return [region]
    return labelled_regions(parts, [f"{region.name} {n}" for n in range(1, count + 1)], corner=region.corner)


@dataclass(frozen=True, eq=False)
class FileRegions:
    """What a mask file holds.

    Attributes
    ----------
    kind
        SEG, RTSTRUCT or NIfTI.
    regions
        On the PET grid, in the order of the file.
    warnings
        What was tolerated.
    one_a_region
        Whether each region is one lesion by itself (ROIs, segments with a TrackingUID), rather than all that one value
        stands for.
    automatic
        Whether the file says that an algorithm alone made all of them.
    """

    kind: str
    regions: Sequence[Region]
    warnings: tuple[str, ...]
    one_a_region: bool
    automatic: bool = False


def read_regions(path: Path, study: PetCt, names: Collection[str] = ()) -> FileRegions:
    """Read the regions of a mask file, of lesions or of organs.

    Parameters
    ----------
    path, study, names
        As for `read_mask`.

    Raises
    ------
    UsageError
        As `read_mask`.
    """
    if not path.is_file():
        raise UsageError(f"mask {path} does not exist", remedy=_REMEDY)
    if not is_dicom(path):
        warnings: list[str] = []
        return FileRegions("NIfTI", _read_nifti(path, study.pet.grid, names, warnings), tuple(warnings), False)
    try:
        return _read_dicom(path, study, names)
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise UsageError(f"mask cannot be read ({reason})", where=path.name, remedy=_REMEDY) from error


def _read_dicom(path: Path, study: PetCt, names: Collection[str]) -> FileRegions:
    from petlesion.dicom.rtstruct_reader import is_rtstruct, read_rtstruct
    from petlesion.dicom.segmentation_reader import is_segmentation, read_segmentation, tracks_segments

    dataset = dcmread(path)
    if is_rtstruct(dataset):
        automatic = all_automatic(dataset, "StructureSetROISequence", "ROIGenerationAlgorithm")
        return FileRegions("RTSTRUCT", *read_rtstruct(dataset, study, path, names), True, automatic)
    if is_segmentation(dataset):
        automatic = all_automatic(dataset, "SegmentSequence", "SegmentAlgorithmType")
        return FileRegions("SEG", *read_segmentation(dataset, study, path, names), tracks_segments(dataset), automatic)
    kind = getattr(dataset.get("SOPClassUID"), "name", "of unknown class")
    raise UsageError(f"mask is a DICOM object, {kind}", where=path.name, remedy=_REMEDY)


def all_automatic(dataset: Dataset, sequence: str, keyword: str) -> bool:
    """Whether an object says of all its regions, the items of a sequence, that an algorithm alone made them."""
    kinds = {text(item, keyword).upper() for item in items(dataset, sequence)}
    return kinds == {"AUTOMATIC"}


def _read_nifti(path: Path, grid: Grid, names: Collection[str], warnings: list[str]) -> list[Region]:
    """Regions of a label map: one a value, by increasing value; 0 is background."""
    labels = read_labels(path, warnings)
    occupied = labels.array != 0
    values, ranks = np.unique(labels.array[occupied], return_inverse=True)
    if len(values) > np.iinfo(LABEL_DTYPE).max:
        raise UsageError(f"mask has {len(values)} different values", where=path.name, remedy=_REMEDY)
    wanted = sorted(chosen(dict(enumerate(map(str, values.tolist()))), names, path))
    numbers = np.zeros(len(values), dtype=LABEL_DTYPE)
    numbers[wanted] = np.arange(1, len(wanted) + 1)
    compact = np.zeros(labels.array.shape, dtype=LABEL_DTYPE)
    compact[occupied] = numbers[ranks.ravel()]
    file_ml = np.bincount(ranks.ravel(), minlength=len(values))[wanted] * labels.grid.voxel_ml
    if not labels.grid.is_close(grid):
        compact = resample(Volume(compact, labels.grid), grid, Interpolation.NEAREST).array
    return labelled_regions(compact, [str(values[n]) for n in wanted], file_ml.tolist())
