"""Where the slices of the PET lie, as derived objects state it, and which image is behind each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion.dicom.provenance import dicom_source
from petlesion.study import PetCt


def plane_positions(study: PetCt) -> NDArray[np.float64]:
    """Centre of the first voxel of every slice, as derived objects state it.

    Where each slice has its header, these are the scanner's own positions: `PetCt.pet.grid` is the evenly spaced fit to
    them, and viewers overlay a frame on the image at the same position. Else they are those of the grid.

    Returns
    -------
    NDArray
        (slices, 3) LPS points (x, y, z), mm.
    """
    grid = study.pet.grid
    source = dicom_source(study)
    if source.one_header_per_slice:
        return np.array([[float(v) for v in header.ImagePositionPatient] for header in source.pet_headers])
    index = np.zeros((grid.shape[0], 3))
    index[:, 0] = np.arange(grid.shape[0])
    return grid.to_world(index)


def source_headers(study: PetCt) -> list[Dataset]:
    """Header of the PET image behind each slice of the grid: its own, or where the PET was resampled, the nearest."""
    source = dicom_source(study)
    if source.one_header_per_slice:
        return list(source.pet_headers)
    positions = [[float(v) for v in header.ImagePositionPatient] for header in source.pet_headers]
    slice_of_header = study.pet.grid.to_index(positions)[:, 0]
    slices = np.arange(study.pet.grid.shape[0])
    nearest = np.abs(slice_of_header[None, :] - slices[:, None]).argmin(axis=1)
    return [source.pet_headers[n] for n in nearest]
