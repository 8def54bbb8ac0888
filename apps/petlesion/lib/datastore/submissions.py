"""A label file that a client sends → labels on the grid of the PET, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.misc import is_dicom

from lib.datastore.uploads import is_nrrd, stated_shape
from petlesion.dicom.segmentation_reader import is_segmentation, segment_labels
from petlesion.errors import GeometryError, UsageError
from petlesion.lesions import LABEL_DTYPE
from petlesion.masks import read_mask
from petlesion.nifti import read_labels
from petlesion.nrrd import read_nrrd
from petlesion.orientation import Orientation
from petlesion.resample import Interpolation, resample
from petlesion.study import PetCt
from petlesion.volume import Grid, Volume

MAX_VALUES = 255
"""Most lesions that one label may tell apart: more are classes of something else, or an image sent as a label."""
BACKGROUND = "background"
"""Label of segments that are no lesion."""
RAW_SUFFIX = ".bin"
"""OHIF's own format: one byte a voxel, x fastest, without a header."""


class OtherGridError(UsageError):
    """A label has not the voxels of the image."""


def read_submission(path: Path, study: PetCt, grid: Grid) -> NDArray[np.uint16]:
    """Read a submitted label.

    Parameters
    ----------
    path
        NIfTI, NRRD, DICOM SEG or RTSTRUCT, or raw bytes (`.bin`); the content decides where it can.
    study
        The PET that it is for.
    grid
        Grid that the client drew on: of the PET, or of its CT.

    Returns
    -------
    ndarray
        (z, y, x) on the grid of the PET; values as submitted, where the file holds values.

    Raises
    ------
    OtherGridError
        If it is on another grid.
    PetlesionError
        If it is of another patient, not of whole numbers, or no label at all.
    """
    if is_dicom(path):
        return _checked(_read_dicom(path, study), path)
    volume = _read_raw(path, grid) if path.suffix == RAW_SUFFIX else _read_volume(path, grid)
    labels = Volume(_checked(volume.array, path), volume.grid)
    return resample(labels, study.pet.grid, Interpolation.NEAREST).array


def _read_dicom(path: Path, study: PetCt) -> NDArray[np.uint16]:
    """Lesions of a DICOM object; the segment "background", which OHIF's panel adds, is none."""
    header = dcmread(path, stop_before_pixels=True, force=True)
    names = list(segment_labels(header).values()) if is_segmentation(header) else []
    lesions = [name for name in names if name.lower() != BACKGROUND]
    if names and not lesions:
        return np.zeros(study.pet.grid.shape, dtype=LABEL_DTYPE)
    return read_mask(path, study, lesions if len(lesions) < len(names) else ()).labels


def _read_raw(path: Path, grid: Grid) -> Volume:
    size, expected = path.stat().st_size, int(np.prod(grid.shape))
    if size != expected:
        raise OtherGridError(
            f"label of {size} bytes; the image has {expected} voxels", remedy="send one byte a voxel of the image"
        )
    return Volume(np.fromfile(path, dtype=np.uint8).reshape(grid.shape), grid)


def _read_volume(path: Path, grid: Grid) -> Volume:
    shape = stated_shape(path)
    # Before the voxels are read: a header may promise any number of them.
    if sorted(shape) != sorted(grid.shape):
        raise _other_grid(shape, grid)
    volume = read_nrrd(path) if is_nrrd(path) else read_labels(path)
    own, target = Orientation.of(volume.grid), Orientation.of(grid)
    if not own.grid.is_close(target.grid):
        raise _other_grid(shape, grid)
    # The same voxels, perhaps stored in another order of axes.
    return Volume(target.back(own.view(volume.array)), grid)


def _other_grid(shape: tuple[int, ...], grid: Grid) -> OtherGridError:
    own, expected = (" × ".join(map(str, sides)) for sides in (shape, grid.shape))
    return OtherGridError(
        f"label of {own} voxels (z, y, x) on another grid than the image ({expected})",
        remedy="send a label drawn on this PET or its CT",
    )


def _checked(array: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    if array.dtype.kind not in "iub":
        if array.dtype.kind != "f" or not np.array_equal(array, np.rint(array)):
            raise GeometryError("labels that are not whole numbers", where=path.name, remedy="send a label map")
        array = array.astype(np.int64)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > np.iinfo(LABEL_DTYPE).max:
        raise UsageError(f"label values from {low} to {high}", remedy="send values from 0 to 65535")
    labels = array.astype(LABEL_DTYPE)
    count = int(np.count_nonzero(np.bincount(labels.ravel())[1:]))
    if count > MAX_VALUES:
        raise UsageError(
            f"label with {count} different values", remedy=f"send a label map of at most {MAX_VALUES} lesions"
        )
    return labels
