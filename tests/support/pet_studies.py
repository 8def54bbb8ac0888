"""PET studies with DICOM headers in memory, and lesions in them, for tests of derived objects and masks."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from synthetic_dicom import pet_header, set_plane

from petlesion.dicom.reader import read_dicom
from petlesion.dicom.scan import scan
from petlesion.identifiers import derived_uid
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.report import MethodRecord, Report, Review, SuvRecord
from petlesion.study import DicomSource, Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

METHOD = MethodRecord("percist", "0.1.0", None, {"min_volume_ml": 0.5})


def make_study(
    grid: Grid,
    *,
    name: str = "pet",
    tracer: TracerName = TracerName.F18_FDG,
    headers_on: Grid | None = None,
    change: Callable[[Dataset, int], None] = lambda _header, _k: None,
) -> PetCt:
    """PET of random SUV with one header a slice; with `headers_on`, the PET counts as resampled from that grid."""
    headers = []
    for k in range((headers_on or grid).shape[0]):
        header = Dataset()
        header.update(pet_header())
        header.SeriesInstanceUID = derived_uid("series", name)
        header.SOPInstanceUID = derived_uid("instance", name, str(k))
        header.Rows, header.Columns = grid.shape[1:]
        set_plane(header, headers_on or grid, k)
        change(header, k)
        headers.append(header)
    suv = np.random.default_rng(0).uniform(0.1, 20, grid.shape).astype(np.float32)
    return PetCt(
        pet=Volume(suv, grid),
        ct=None,
        tracer=TRACERS[tracer],
        patient=Patient(),
        suv=SuvRecord("BQML", "ADMIN", 1e-3, None, None),
        study_instance_uid=str(headers[0].StudyInstanceUID),
        pet_series_instance_uid=str(headers[0].SeriesInstanceUID),
        source=DicomSource(tuple(headers), one_header_per_slice=headers_on is None),
    )


def real_study(folder: Path) -> PetCt:
    """PET of a folder of real DICOM files."""
    return read_dicom(scan(folder), ct=False)


def make_lesions(study: PetCt, labels: NDArray[Any], **fields: Any) -> tuple[Lesions, Report]:
    """Lesions of a label array, and what is measured in them."""
    given = {"method": METHOD, "review": Review.FILTERED, **fields}
    lesions = Lesions(labels.astype(np.uint16), study.pet.grid, **given)
    return lesions, measure(study, lesions)


def balls(grid: Grid, *centers_and_radii: tuple[tuple[float, float, float], float]) -> NDArray[np.uint16]:
    """Label array with a ball around each centre (z, y, x), in voxels, numbered from 1."""
    labels = np.zeros(grid.shape, dtype=np.uint16)
    index = np.indices(grid.shape)
    for number, (center, radius) in enumerate(centers_and_radii, start=1):
        distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(index, center, strict=True)))
        labels[distance <= radius] = number
    return labels


def by_volume(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """The same lesions, numbered by decreasing volume; of equal ones the lower number first."""
    numbers, sizes = np.unique(labels[labels > 0], return_counts=True)
    ordered = np.zeros(labels.shape, dtype=np.uint16)
    for new, rank in enumerate(np.argsort(-sizes, kind="stable"), start=1):
        ordered[labels == numbers[rank]] = new
    return ordered


def oblique_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (3.3, 4.1, 2.9)) -> Grid:
    """A grid with all axes turned out of the patient's."""
    a, b = np.deg2rad([25.0, -15.0])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return Grid.from_geometry(shape, spacing, (-31.0, 17.0, 204.0), (turn @ tilt)[:, ::-1])


def coronal_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (4.0, 3.0, 5.0)) -> Grid:
    """Slices front to back, rows head to feet."""
    direction = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
    return Grid.from_geometry(shape, spacing, (-40.0, -30.0, 90.0), direction)


def file_bytes(dataset: Dataset) -> bytes:
    """The DICOM file of a data set."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reread(dataset: Dataset) -> Dataset:
    """The data set as another program reads it from its file."""
    return dcmread(BytesIO(file_bytes(dataset)))


def moments(dataset: Dataset) -> set[str]:
    """All dates and times of day in a data set, to the second; what is derived from images has none but theirs."""
    found = set()
    for element in dataset.iterall():
        if element.VR in ("DA", "DT"):
            found.add(str(element.value)[:8])
        if element.VR in ("TM", "DT"):
            found.add(str(element.value).partition(".")[0][-6:])
    return found
