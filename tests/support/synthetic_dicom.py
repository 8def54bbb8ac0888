"""Small DICOM series of any geometry and transfer syntax, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage
from pydicom.valuerep import format_number_as_ds

from petlesion.identifiers import derived_uid
from petlesion.volume import Grid, Volume

SUV_PER_UNIT = 1e-3
"""SUVbw of a rescaled value of 1: 1e3 kg^-1 Bq/mL at 70 kg, 70 MBq, no decay (DecayCorrection ADMIN)."""
Change = Callable[[Dataset, int], None]
"""Edits the header of slice k before it is written."""


def pet_header() -> Dataset:
    """What all slices of a PET have in common: Bq/mL of 70 MBq in 70 kg, corrected to the injection."""
    header = _common("PT", PositronEmissionTomographyImageStorage)
    header.SeriesType = ["WHOLE BODY", "IMAGE"]
    header.Units = "BQML"
    header.DecayCorrection = "ADMIN"
    header.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    header.PatientWeight = "70"
    header.PatientSize = "1.75"
    header.FrameReferenceTime = "0"
    header.ActualFrameDuration = "120000"
    item = Dataset()
    item.Radiopharmaceutical = "FDG"
    item.RadiopharmaceuticalStartDateTime = "20250101100000"
    item.RadionuclideTotalDose = "70000000"
    item.RadionuclideHalfLife = "6586.2"
    header.RadiopharmaceuticalInformationSequence = [item]
    return header


def ct_header() -> Dataset:
    """What all slices of a CT have in common."""
    header = _common("CT", CTImageStorage)
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.KVP = "120"
    return header


def write_series(
    folder: Path,
    volume: Volume,
    header: Dataset,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    name: str = "series",
    change: Change = lambda _header, _k: None,
) -> list[Path]:
    """Write one file a slice along the first axis of `volume`; a PET gets its own RescaleSlope in every slice.

    The grid's axes may point anywhere, but must be perpendicular, and the first one is row × column direction.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, plane in enumerate(volume.array):
        instance = Dataset()
        instance.update(header)
        instance.SeriesInstanceUID = derived_uid("series", name)
        instance.SeriesDescription = name
        instance.SOPInstanceUID = derived_uid("instance", name, str(k))
        instance.InstanceNumber = str(k + 1)
        set_plane(instance, volume.grid, k)
        _set_pixels(instance, plane)
        change(instance, k)
        paths.append(folder / f"{name}_{k:04d}.dcm")
        save(instance, paths[-1], syntax)
    return paths


def set_plane(header: Dataset, grid: Grid, k: int) -> None:
    """Image plane of slice `k` of a grid."""
    directions = grid.direction
    header.ImageOrientationPatient = [_ds(v) for v in (*directions[:, 2], *directions[:, 1])]
    header.ImagePositionPatient = [_ds(v) for v in grid.to_world((k, 0, 0))]
    header.PixelSpacing = [_ds(v) for v in grid.spacing_mm[1:]]
    header.SliceThickness = _ds(grid.spacing_mm[0])


def save(header: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> None:
    """Write a Part 10 file without compression; pixel data are those of a little-endian machine."""
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    if not syntax.is_little_endian:
        header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()
    header.save_as(path, enforce_file_format=True)


def plain(header: Dataset) -> Dataset:
    """The data set without memory of the file it was read from."""
    header.decode()
    copy = Dataset()
    copy.update(header)
    return copy


def axial_grid(shape: tuple[int, int, int] = (8, 6, 7), spacing: tuple[float, float, float] = (3.0, 4.0, 5.0)) -> Grid:
    """Feet to head, front to back, right to left."""
    return Grid.from_geometry(shape, spacing, (-12.0, 20.0, -100.0))


def pattern(grid: Grid) -> NDArray[np.float32]:
    """Values between 0 and 20 that are no two alike, exact in the PET files written here to within 0.001."""
    count = int(np.prod(grid.shape))
    return (np.random.default_rng(0).permutation(count).reshape(grid.shape) * (20.0 / count)).astype(np.float32)


def _common(modality: str, sop_class: UID) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.SOPClassUID = sop_class
    header.Modality = modality
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.PatientName = "TEST^PATIENT"
    header.PatientID = "T1"
    header.PatientBirthDate = "19600229"
    header.PatientSex = "F"
    header.StudyInstanceUID = derived_uid("study")
    header.FrameOfReferenceUID = derived_uid("frame")
    header.SeriesNumber = "1"
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = "20250101"
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = "110000"
    header.Manufacturer = "SIEMENS"
    return header


def _set_pixels(header: Dataset, plane: NDArray[Any]) -> None:
    """Store HU as they are, and SUV as Bq/mL with the slope that uses the full range of the slice."""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = plane.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    slope = 1.0
    if header.Modality == "PT":
        slope = max(float(plane.max()), 1.0) / SUV_PER_UNIT / 32767
        plane = plane / SUV_PER_UNIT / slope
    header.RescaleSlope = _ds(slope)
    header.RescaleIntercept = "0"
    header.PixelData = np.rint(plane).astype("<i2").tobytes()


def _ds(value: float) -> str:
    return format_number_as_ds(float(value))
