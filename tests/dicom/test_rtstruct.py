from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pet_studies import (
    balls,
    by_volume,
    coronal_grid,
    file_bytes,
    make_lesions,
    make_study,
    moments,
    oblique_grid,
    real_study,
    reread,
)
from pydicom import Dataset
from scipy import ndimage
from synthetic_dicom import axial_grid

from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.masks import read_mask
from petlesion.report import Review
from petlesion.study import PetCt
from petlesion.volume import Grid

GRID = axial_grid((12, 9, 8))
TWO_BALLS = (((3.0, 4.0, 3.0), 2.6), ((9.0, 6.0, 2.0), 1.5))


def build(study: PetCt, labels: np.ndarray, **fields: object) -> Dataset:
    return build_rtstruct(study, *make_lesions(study, labels, **fields))


def round_trip(study: PetCt, labels: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "rtstruct.dcm"
    path.write_bytes(file_bytes(build(study, labels)))
    return read_mask(path, study).labels


def hollow(labels: np.ndarray) -> np.ndarray:
    """With a hole in the first lesion's middle slice."""
    labels = labels.copy()
    labels[3, 4, 3] = 0
    return labels


@pytest.mark.parametrize("grid", [GRID, oblique_grid((12, 9, 8)), coronal_grid((12, 9, 8))])
def test_contours_give_back_the_same_voxels(grid: Grid, tmp_path: Path) -> None:
    labels = hollow(balls(grid, *TWO_BALLS))
    np.testing.assert_array_equal(round_trip(make_study(grid), labels, tmp_path), by_volume(labels))


@given(seed=st.integers(0, 2**32 - 1), smoothing=st.sampled_from([0.0, 0.6, 1.2]), share=st.floats(0.05, 0.9))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_blobs_survive(seed: int, smoothing: float, share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    grid = oblique_grid((6, 12, 11))
    field = ndimage.gaussian_filter(rng.random(grid.shape), smoothing)
    labels = np.where(field > np.quantile(field, 1 - share), rng.integers(1, 3, grid.shape), 0)
    labels[0, 0, 0], labels[-1, -1, -1] = 1, 2
    np.testing.assert_array_equal(round_trip(make_study(grid), labels, tmp_path), by_volume(labels))


def test_uneven_real_slices(shared_data: Path, tmp_path: Path) -> None:
    study = real_study(shared_data / "sts_raw/STS_001/FDG_PET/image")
    labels = balls(study.pet.grid, ((20, 64, 64), 6), ((260, 50, 70), 4))
    np.testing.assert_array_equal(round_trip(study, labels, tmp_path), labels)
    positions = {str(h.SOPInstanceUID): float(h.ImagePositionPatient[2]) for h in study.source.pet_headers}
    for contour in build(study, labels).ROIContourSequence[0].ContourSequence:
        z = positions[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        np.testing.assert_allclose([float(value) for value in contour.ContourData[2::3]], z, atol=6e-4)


def test_structure_set_names_study_images_and_lesions() -> None:
    study = make_study(GRID)
    lesions, report = make_lesions(study, balls(GRID, *TWO_BALLS), locations={1: "left lung"}, review=Review.REVIEWED)
    dataset = reread(build_rtstruct(study, lesions, report))
    header = study.source.pet_headers[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert dataset[keyword].value == header[keyword].value
    (frame_of_reference,) = dataset.ReferencedFrameOfReferenceSequence
    assert frame_of_reference.FrameOfReferenceUID == header.FrameOfReferenceUID
    (series,) = frame_of_reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    assert len(series.ContourImageSequence) == 12
    roi = dataset.StructureSetROISequence[0]
    assert (roi.ROINumber, roi.ROIName, roi.ROIDescription) == (1, "Lesion 1", "left lung")
    assert float(roi.ROIVolume) == pytest.approx(report.lesions[0].volume_ml, abs=1e-4)
    assert roi.ROIGenerationAlgorithm == "SEMIAUTOMATIC"
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourGeometricType == "CLOSED_PLANAR"
    assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)
    assert dataset.ROIContourSequence[0].ROIDisplayColor != dataset.ROIContourSequence[1].ROIDisplayColor
    assert dataset.RTROIObservationsSequence[1].ReferencedROINumber == 2
    assert dataset.StructureSetDate == "20250101"
    assert "SHA-256" not in dataset.StructureSetDescription
    of_network = replace(report, method=replace(report.method, weights_sha256="ab" * 32))
    assert f"SHA-256 {'ab' * 32}" in build_rtstruct(study, lesions, of_network).StructureSetDescription


def test_same_input_same_bytes_whenever_it_is_built_and_other_mask_other_uid() -> None:
    study, labels = make_study(GRID), balls(GRID, *TWO_BALLS)
    first = build(study, labels)
    assert file_bytes(build(study, labels)) == file_bytes(first)
    assert moments(reread(first)) <= moments(study.source.pet_headers[0])
    assert build(study, hollow(labels)).SOPInstanceUID != first.SOPInstanceUID


def test_structure_sets_without_content_are_refused() -> None:
    study = make_study(GRID)
    none, empty_report = make_lesions(study, np.zeros(GRID.shape))
    two, report = make_lesions(study, balls(GRID, *TWO_BALLS))
    with pytest.raises(ValueError, match="no lesion to write"):
        build_rtstruct(study, none, empty_report)
    with pytest.raises(ValueError, match="report of 0 lesions does not fit 2"):
        build_rtstruct(study, two, empty_report)
    with pytest.raises(ValueError, match="without DICOM headers"):
        build_rtstruct(replace(study, source=None), two, report)
