"""Files that clients upload: what they are, and how large, before their voxels are read."""

from __future__ import annotations

import math
from pathlib import Path

from petlesion.errors import UsageError
from petlesion.nifti import read_image, read_shape
from petlesion.nrrd import read_nrrd, read_nrrd_shape
from petlesion.volume import Volume

MAX_VOXELS = 2**29
"""Of an image: a CT of 512 × 512 × 2000. A compressed file of a few MB may hold more than the memory does."""


def is_nrrd(path: Path) -> bool:
    """Whether a file is NRRD, by its content."""
    with path.open("rb") as stream:
        return stream.read(4) == b"NRRD"


def stated_shape(path: Path) -> tuple[int, ...]:
    """Number of voxels (z, y, x) of a NIfTI or NRRD file, from its header alone."""
    return read_nrrd_shape(path) if is_nrrd(path) else read_shape(path)


def check_image_size(path: Path) -> None:
    """Refuse an image that would fill the memory.

    Raises
    ------
    UsageError
        If its header states more than `MAX_VOXELS` voxels.
    """
    shape = stated_shape(path)
    if math.prod(shape) > MAX_VOXELS:
        sides = " × ".join(map(str, shape))
        raise UsageError(f"image of {sides} voxels", remedy=f"send one of at most {MAX_VOXELS >> 20} million")


def read_image_upload(path: Path) -> Volume:
    """Read an uploaded image, NIfTI or NRRD.

    Raises
    ------
    PetlesionError
        If it is none, or too large.
    """
    check_image_size(path)
    return read_nrrd(path) if is_nrrd(path) else read_image(path)
