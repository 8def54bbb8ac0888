"""Contours that are submitted as a label: the voxels within them, whether they were drawn on the PET or on its CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotation_server import CT_GRID, PET_GRID, SmallStudy, write_small_study
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

pytest.importorskip("dicomweb_client", reason="the annotation server is not installed here")

from lib.datastore.annotations import Annotations
from lib.datastore.stores import open_stores

from petlesion.errors import UsageError
from petlesion.identifiers import derived_uid
from petlesion.volume import Grid

SQUARE = (-38.0, -18.0, 11.0, 31.0)
"""x and y from, to, LPS mm; no centre of a voxel of the PET lies on it."""
DIAMOND = (27.0, -10.0, 21.0)
"""Centre (x, y) and half diagonal, LPS mm."""
SQUARE_Z, DIAMOND_Z = (40.0, 70.0), (90.0, 100.0)
"""From, to, LPS mm."""


def structure_set(study: SmallStudy, series: str, grid: Grid, frame: str) -> Dataset:
    """As a contouring program writes it: a square and a diamond on each slice of a series between two heights."""
    x0, x1, y0, y1 = SQUARE
    x, y, half = DIAMOND
    outlines = {
        "GTV": ([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], SQUARE_Z),
        "node": ([(x - half, y), (x, y - half), (x + half, y), (x, y + half)], DIAMOND_Z),
    }
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, derived_uid("structures", series)
    dataset.Modality, dataset.StudyInstanceUID = "RTSTRUCT", study.study
    reference, study_reference, series_reference = Dataset(), Dataset(), Dataset()
    series_reference.SeriesInstanceUID = series
    study_reference.RTReferencedSeriesSequence = [series_reference]
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, [study_reference]
    dataset.ReferencedFrameOfReferenceSequence = [reference]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    heights = grid.to_world([(k, 0, 0) for k in range(grid.shape[0])])[:, 2]
    for number, (name, (outline, (low, high))) in enumerate(outlines.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for z in heights[(heights >= low) & (heights <= high)]:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(outline)
            contour.ContourData = [format_number_as_ds(float(value)) for point in outline for value in (*point, z)]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def inside() -> np.ndarray:
    """Centres of voxels of the PET within the square (1) and the diamond (2)."""
    x, y, z = np.moveaxis(PET_GRID.to_world(np.stack(np.indices(PET_GRID.shape), axis=-1).reshape(-1, 3)), -1, 0)
    x0, x1, y0, y1 = SQUARE
    square = (x > x0) & (x < x1) & (y > y0) & (y < y1) & (z >= SQUARE_Z[0]) & (z <= SQUARE_Z[1])
    diamond = abs(x - DIAMOND[0]) + abs(y - DIAMOND[1]) < DIAMOND[2]
    diamond &= (z >= DIAMOND_Z[0]) & (z <= DIAMOND_Z[1])
    return (square + 2 * diamond).reshape(PET_GRID.shape)


@pytest.fixture
def study(tmp_path: Path) -> SmallStudy:
    return write_small_study(tmp_path / "studies", "anna")


@pytest.mark.parametrize("drawn_on", ["pet", "ct"])
def test_voxels_of_a_structure_set_are_those_within_its_contours(
    study: SmallStudy, tmp_path: Path, drawn_on: str
) -> None:
    series, grid = (study.pet, PET_GRID) if drawn_on == "pet" else (study.ct, CT_GRID)
    frame = dcmread(next(study.folder.glob("PT*.dcm"))).FrameOfReferenceUID
    structure_set(study, series, grid, frame).save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    annotations = Annotations(open_stores(str(study.folder), {"labels": str(tmp_path / "labels")}))
    label = annotations.submit(series, tmp_path / "rs.dcm", annotator="ada")
    assert (label.image_id, label.lesions, label.annotator) == (study.pet, 2, "ada")
    expected = inside()
    assert np.unique(expected).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(label.read().array, expected)
    (kept,) = (tmp_path / "labels").rglob("*.as-submitted.dcm")
    assert kept.read_bytes() == (tmp_path / "rs.dcm").read_bytes()


def test_structure_set_of_another_patient_is_no_label(study: SmallStudy, tmp_path: Path) -> None:
    structure_set(study, "1.2.4", PET_GRID, "1.2.3").save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    annotations = Annotations(open_stores(str(study.folder), {"labels": str(tmp_path / "labels")}))
    with pytest.raises(UsageError, match=r"FrameOfReferenceUID 1\.2\.3"):
        annotations.submit(study.pet, tmp_path / "rs.dcm")
    assert not list((tmp_path / "labels").rglob("*.json"))
