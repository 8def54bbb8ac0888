"""NRRD files ↔ volumes: what 3D Slicer saves, and OHIF's panel reads. ITK does the work; its world is LPS, as here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from petlesion.errors import GeometryError
from petlesion.resample import set_geometry
from petlesion.volume import Grid, Volume

_NRRD = "NrrdImageIO"
_MAX_HEADER = 1 << 20
_ELSEWHERE = re.compile(rb"\s*data ?file\s*:", re.IGNORECASE)
"""Field of a header whose voxels are in another file: of whatever path whoever sent the header likes."""


def read_nrrd_shape(path: Path) -> tuple[int, ...]:
    """Number of voxels (z, y, x), from the header alone.

    Raises
    ------
    GeometryError
        If the file is no NRRD file of one value a voxel, or its voxels are in another file.
    """
    import SimpleITK as sitk

    if any(map(_ELSEWHERE.match, _header(path).splitlines())):
        raise GeometryError(
            "NRRD header whose voxels are in another file", where=path.name, remedy="export one file, .nrrd"
        )
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_NRRD)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    if reader.GetNumberOfComponents() != 1:
        raise GeometryError(
            f"NRRD file with {reader.GetNumberOfComponents()} values a voxel",
            where=path.name,
            remedy="export one label map, not overlapping segments",
        )
    return tuple(int(side) for side in reader.GetSize()[::-1])


def read_nrrd(path: Path) -> Volume:
    """Read an image or a label map with its own data type.

    Raises
    ------
    GeometryError
        If the file is no three-dimensional NRRD file, or is damaged.
    """
    import SimpleITK as sitk

    if len(read_nrrd_shape(path)) != 3:
        raise GeometryError("NRRD file that is not three-dimensional", where=path.name, remedy="export one volume")
    try:
        image = sitk.ReadImage(str(path), imageIO=_NRRD)
    except RuntimeError as error:
        raise _unreadable(path) from error
    array = sitk.GetArrayFromImage(image)
    directions = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    z, y, x = array.shape
    grid = Grid.from_geometry((z, y, x), image.GetSpacing()[::-1], image.GetOrigin(), directions)
    return Volume(array, grid)


def write_nrrd(volume: Volume, path: Path, *, compress: bool = False) -> None:
    """Write a volume with its own data type; compressed with gzip, or raw, which local clients read faster."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array))
    set_geometry(image, volume.grid)
    sitk.WriteImage(image, str(path), useCompression=compress, imageIO=_NRRD)


def _header(path: Path) -> bytes:
    """All that a reader may take for the header: up to the first empty line, whatever ends its lines."""
    with path.open("rb") as stream:
        start = stream.read(_MAX_HEADER)
    header, end, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    if not end and len(start) == _MAX_HEADER:
        raise _unreadable(path)
    return header


def _unreadable(path: Path) -> GeometryError:
    return GeometryError("no readable NRRD file", where=path.name, remedy="export it again")
