"""NIfTI files ↔ volumes: RAS and LPS, all orientations."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import GeometryError
from petlesion.volume import Grid, Volume

if TYPE_CHECKING:
    from nibabel import Nifti1Image

SUFFIXES = (".nii.gz", ".nii")
"""Endings of the names of NIfTI files."""
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM_PER_UNIT = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_SCANNER_CODE = 1
"""NIFTI_XFORM_SCANNER_ANAT: coordinates of the scanner (NIfTI-1, nifti1.h)."""


def read_image(path: Path, warnings: list[str] | None = None) -> Volume:
    """Read an image.

    Parameters
    ----------
    path
        `.nii` or `.nii.gz`, three-dimensional.
    warnings
        Takes what was assumed.

    Returns
    -------
    Volume
        float32 after the file's scaling. Array axes are the file's in reverse order, so that the voxels of results
        correspond to those of the input whatever its orientation; the grid says where they are in the patient.

    Raises
    ------
    GeometryError
        If the file is no NIfTI file, is damaged, has a fourth dimension, or no usable affine.
    """
    return _read(path, np.float32, warnings)


def read_labels(path: Path, warnings: list[str] | None = None) -> Volume:
    """Read a label volume; like `read_image`, but integers (int32 from files of floating-point numbers).

    Raises
    ------
    GeometryError
        As `read_image`; also if a value is not a whole number.
    """
    return _read(path, None, warnings)


def read_shape(path: Path) -> tuple[int, ...]:
    """Number of voxels (z, y, x), from the header alone; as `read_image` for what is no NIfTI file."""
    import nibabel as nib

    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise nib.filebasedimages.ImageFileError("another format")
        return tuple(int(side) for side in image.shape[::-1])
    except _damage() as error:
        raise _unreadable(path, error) from error


def write_image(volume: Volume, path: Path) -> None:
    """Write a volume with its own data type, to `.nii` or `.nii.gz`; equal volumes give equal bytes.

    Sheared grids are written as sform alone: a qform cannot hold them.
    """
    import nibabel as nib

    image = nib.Nifti1Image(_for_nifti(volume.array).T, _nifti_affine(volume.grid))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=_SCANNER_CODE)
    directions = volume.grid.direction
    if np.allclose(directions.T @ directions, np.eye(3), rtol=0, atol=1e-4):
        image.set_qform(image.affine, code=_SCANNER_CODE)
    else:
        image.set_qform(None, code=0)
    image.to_filename(path)


def write_labels(labels: NDArray[Any], grid: Grid, path: Path) -> None:
    """Write a label volume, (z, y, x) integers on `grid`."""
    write_image(Volume(labels, grid), path)


def _read(path: Path, dtype: type[np.float32] | None, warnings: list[str] | None) -> Volume:
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise ImageFileError("another format")
        shape = image.shape if max(image.shape[3:], default=1) > 1 else image.shape[:3]
        if len(shape) != 3:
            raise GeometryError(
                f"image of shape {image.shape}", where=path, remedy="give a three-dimensional image, one value a voxel"
            )
        array = np.asarray(image.dataobj, dtype=dtype).reshape(shape, order="F").T
        grid = _grid(image, array.shape, path, warnings)
    except _damage() as error:
        raise _unreadable(path, error) from error
    if dtype is None and not np.issubdtype(array.dtype, np.integer):
        array = _whole_numbers(array, path)
    return Volume(np.ascontiguousarray(array), grid)


def _damage() -> tuple[type[Exception], ...]:
    """What nibabel raises on files that are no NIfTI files, or damaged."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    library = (ImageFileError, HeaderDataError, zlib.error)
    return (*library, OSError, EOFError, ValueError, LookupError, ArithmeticError, MemoryError)


def _unreadable(path: Path, error: Exception) -> GeometryError:
    return GeometryError(
        f"no readable NIfTI file: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
        where=path,
        remedy="copy or export it again",
    )


def _grid(image: Nifti1Image, shape: tuple[int, ...], path: Path, warnings: list[str] | None) -> Grid:
    """Grid of the array whose axes are those of the file in reverse order."""
    header = image.header
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0 and warnings is not None:
        warnings.append(
            f"{path.name} has neither sform nor qform: where it lies in the patient is unknown, and its axes are taken"
            " to point to the patient's left, front and head."
        )
    unit = _MM_PER_UNIT[header.get_xyzt_units()[0]]
    affine = _LPS_FROM_RAS @ image.affine
    affine[:3] *= unit
    if not (np.all(np.isfinite(affine)) and abs(np.linalg.det(affine[:3, :3])) > 0):
        raise GeometryError(
            f"affine {image.affine.tolist()} cannot be inverted",
            where=path,
            remedy="correct sform and qform of the file",
        )
    z, y, x = shape
    return Grid((z, y, x), affine[:, [2, 1, 0, 3]])


def _nifti_affine(grid: Grid) -> NDArray[np.float64]:
    """RAS affine of the array with its axes in reverse order."""
    return np.asarray(_LPS_FROM_RAS @ grid.affine[:, [2, 1, 0, 3]])


def _whole_numbers(array: NDArray[Any], path: Path) -> NDArray[np.int32]:
    rounded: NDArray[Any] = np.rint(array)
    if not np.array_equal(rounded, array):
        raise GeometryError(
            "labels that are not whole numbers", where=path, remedy="give a label volume, one integer a lesion"
        )
    return rounded.astype(np.int32)


def _for_nifti(array: NDArray[Any]) -> NDArray[Any]:
    """The array with a data type that NIfTI readers know."""
    known = {np.dtype(np.bool_): np.uint8, np.dtype(np.int64): np.int32, np.dtype(np.float16): np.float32}
    return array.astype(known.get(array.dtype, array.dtype), copy=False)
