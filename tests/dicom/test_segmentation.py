from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, segread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pet_studies import (
    METHOD,
    balls,
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
from synthetic_dicom import axial_grid

from petlesion.dicom.measurement_report import build_measurement_report
from petlesion.dicom.palette import lesion_color
from petlesion.dicom.provenance import overlong_identifiers
from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.dicom.seg_type import SegType
from petlesion.dicom.segmentation import build_segmentation
from petlesion.report import MethodRecord, Review
from petlesion.study import Patient, PetCt
from petlesion.volume import Grid

GRID = axial_grid((12, 9, 7))
TWO_BALLS = (((3.0, 4.0, 3.0), 2.2), ((9.0, 6.0, 2.0), 1.5))


def build(study: PetCt, labels: np.ndarray, seg_type: SegType = SegType.BINARY, **fields: object) -> Dataset:
    return build_segmentation(study, *make_lesions(study, labels, **fields), seg_type)


def frames_by_source(dataset: Dataset, study: PetCt, folder: Path) -> np.ndarray:
    """Label array as highdicom reads it, by the source image of each frame."""
    (folder / "seg.dcm").write_bytes(file_bytes(dataset))
    return segread(folder / "seg.dcm").get_pixels_by_source_instance(
        [str(header.SOPInstanceUID) for header in study.source.pet_headers],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )


@pytest.mark.parametrize("seg_type", SegType)
@pytest.mark.parametrize("grid", [GRID, axial_grid((12, 8, 8)), oblique_grid((12, 9, 7)), coronal_grid((12, 9, 7))])
def test_highdicom_reads_the_same_voxels(grid: Grid, seg_type: SegType, tmp_path: Path) -> None:
    study, labels = make_study(grid), balls(grid, *TWO_BALLS)
    dataset = build(study, labels, seg_type)
    np.testing.assert_array_equal(frames_by_source(dataset, study, tmp_path), labels)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_scattered_voxels_survive(seed: int, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(GRID.shape) < 0.1, rng.integers(1, count + 1, GRID.shape), 0)
    labels.flat[rng.choice(labels.size, count, replace=False)] = np.arange(1, count + 1)
    study = make_study(GRID)
    np.testing.assert_array_equal(frames_by_source(build(study, labels), study, tmp_path), labels)


def groups_and_pixels(dataset: Dataset) -> dict[tuple[str, int], tuple[dict, np.ndarray]]:
    """Functional groups and pixels of every frame, by source image and segment."""
    found = {}
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        segment = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[source, segment] = (frame.to_json_dict(), pixels)
    return found


def test_frames_equal_those_of_highdicom() -> None:
    """Our packed functional groups and pixels against the library's own, for odd and even lengths of every value."""
    study, labels = make_study(oblique_grid((12, 9, 7))), balls(GRID, *TWO_BALLS)
    ours = build(study, labels)
    headers = [header for header, plane in zip(study.source.pet_headers, labels, strict=True) if plane.any()]
    for header in headers:
        header.AccessionNumber = header.StudyID = ""
    theirs = Segmentation(
        headers,
        labels[labels.any(axis=(1, 2))],
        "BINARY",
        list(ours.SegmentSequence),
        ours.SeriesInstanceUID,
        1,
        ours.SOPInstanceUID,
        1,
        "m",
        "m",
        "1",
        "1",
    )
    assert ours.NumberOfFrames == theirs.NumberOfFrames
    our_frames, their_frames = groups_and_pixels(reread(ours)), groups_and_pixels(reread(theirs))
    assert our_frames.keys() == their_frames.keys()
    planes = np.count_nonzero(labels.any(axis=(1, 2)))
    for key, (our_group, our_pixels) in our_frames.items():
        their_group, their_pixels = their_frames[key]
        np.testing.assert_array_equal(our_pixels, their_pixels)
        # highdicom numbers planes against the normal, we along it.
        segment, plane = our_group.pop("00209111")["Value"][0]["00209157"]["Value"]
        assert their_group.pop("00209111")["Value"][0]["00209157"]["Value"] == [segment, planes + 1 - plane]
        assert our_group == their_group


def test_identity_of_the_study_is_kept() -> None:
    study = make_study(GRID)
    header, dataset = study.source.pet_headers[0], reread(build(study, balls(GRID, *TWO_BALLS)))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert dataset[keyword].value == header[keyword].value
    assert dataset.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    assert dataset.SeriesInstanceUID != header.SeriesInstanceUID
    assert (dataset.ContentDate, dataset.ContentTime[:6]) == ("20250101", "110000")
    assert (dataset.InstanceCreationDate, dataset.InstanceCreationTime[:6]) == ("20250101", "110000")


def test_segments_describe_lesions() -> None:
    study = make_study(GRID)
    lesions, report = make_lesions(study, balls(GRID, *TWO_BALLS), locations={1: "left lung", 2: "Gewächs unten"})
    first, second = reread(build_segmentation(study, lesions, report)).SegmentSequence
    assert [first.SegmentNumber, second.SegmentNumber] == [1, 2]
    assert first.SegmentLabel == first.TrackingID == "Lesion 1"
    assert first.TrackingUID == report.lesions[0].tracking_uid
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert first.AnatomicRegionSequence[0].CodeValue == "39607008"
    assert first.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    assert "AnatomicRegionSequence" not in second
    assert second.SegmentDescription == "Gewächs unten"
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (METHOD.name, METHOD.version)
    assert algorithm.AlgorithmParameters == "min_volume_ml=0.5"
    assert first.RecommendedDisplayCIELabValue == list(CIELabColor.from_rgb(*lesion_color(1)).value)
    assert first.RecommendedDisplayCIELabValue != second.RecommendedDisplayCIELabValue


def test_network_and_review_are_told() -> None:
    study, labels = make_study(GRID), balls(GRID, *TWO_BALLS)
    network = MethodRecord("unet", "2", "ab" * 32, {"note": "x" * 20_000})
    segment = build(study, labels, method=network, review=Review.REVIEWED).SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert len(algorithm.AlgorithmParameters) <= 10240
    assert "ab" * 32 in algorithm.AlgorithmParameters


@pytest.mark.parametrize(
    ("name", "review", "family"),
    [
        ("percist", Review.CANDIDATES, "Histogram Analysis"),
        ("gradient", Review.CANDIDATES, "Edge Detection"),
        ("mask", Review.REVIEWED, "Manual Processing"),
    ],
)
def test_algorithm_family_is_that_of_the_method(name: str, review: Review, family: str) -> None:
    study, labels = make_study(GRID), balls(GRID, *TWO_BALLS)
    lesions, report = make_lesions(study, labels, method=MethodRecord(name, "1"), review=review)
    seg = build_segmentation(study, lesions, report)
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == family
    assert family in str(build_measurement_report(study, report, seg))


def test_only_frames_with_voxels_are_written() -> None:
    labels = balls(GRID, *TWO_BALLS)
    dataset = build(make_study(GRID), labels)
    assert dataset.NumberOfFrames == sum(int((labels == n).any(axis=(1, 2)).sum()) for n in (1, 2))
    referenced = {
        item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert len(referenced) == np.count_nonzero(labels.any(axis=(1, 2)))


@pytest.mark.parametrize("seg_type", SegType)
def test_same_input_same_bytes_whenever_it_is_built(seg_type: SegType) -> None:
    study, labels = make_study(GRID), balls(GRID, *TWO_BALLS)
    first = build(study, labels, seg_type)
    assert file_bytes(build(study, labels, seg_type)) == file_bytes(first)
    assert moments(reread(first)) <= moments(study.source.pet_headers[0])


def test_candidates_are_called_so_and_coded_as_no_neoplasm_in_every_object() -> None:
    study, labels = make_study(GRID), balls(GRID, *TWO_BALLS)
    for review, name, kind in ((Review.CANDIDATES, "Candidate 1", "Lesion"), (Review.FILTERED, "Lesion 1", "Neoplasm")):
        lesions, report = make_lesions(study, labels, review=review)
        seg, structures = build_segmentation(study, lesions, report), build_rtstruct(study, lesions, report)
        segment, observation = seg.SegmentSequence[0], structures.RTROIObservationsSequence[0]
        assert segment.SegmentLabel == structures.StructureSetROISequence[0].ROIName == name
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == kind
        assert observation.RTROIIdentificationCodeSequence[0].CodeMeaning == kind
        text = str(build_measurement_report(study, report, seg))
        assert name in text
        assert ("Neoplasm" in text) == (kind == "Neoplasm")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Corrected^Name"),
        ("PatientBirthDate", "19500101"),
        ("StudyDescription", "Corrected"),
        ("SeriesDate", "20200101"),
        ("FrameOfReferenceUID", "1.2.3.4"),
    ],
)
def test_corrected_header_other_uid(keyword: str, value: str) -> None:
    def corrected(header: Dataset, _: int) -> None:
        setattr(header, keyword, value)

    labels = balls(GRID, *TWO_BALLS)
    first, second = build(make_study(GRID), labels), build(make_study(GRID, change=corrected), labels)
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_other_mask_other_uid() -> None:
    study = make_study(GRID)
    a = build(study, balls(GRID, ((3, 4, 3), 2.2)))
    b = build(study, balls(GRID, ((4, 4, 3), 2.2)))
    assert a.SOPInstanceUID != b.SOPInstanceUID
    assert a.SeriesInstanceUID != b.SeriesInstanceUID


def test_resampled_pet_refers_to_the_nearest_slices() -> None:
    coarse, fine = axial_grid((6, 9, 7), (6, 4, 5)), axial_grid((11, 9, 7), (3, 4, 5))
    study = make_study(fine, headers_on=coarse)
    labels = balls(fine, ((5, 4, 3), 2.2))
    dataset = reread(build(study, labels))
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        z = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        assert round(fine.to_index((*fine.origin_mm[:2], z))[0], 6) in range(3, 8)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        header = next(h for h in study.source.pet_headers if h.SOPInstanceUID == source.ReferencedSOPInstanceUID)
        assert abs(float(header.ImagePositionPatient[2]) - z) <= 3
        assert source.SpatialLocationsPreserved == "NO"
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == 3


def test_uneven_real_slices_keep_their_positions(shared_data: Path, tmp_path: Path) -> None:
    study = real_study(shared_data / "sts_raw/STS_001/FDG_PET/image")
    labels = balls(study.pet.grid, ((20, 64, 64), 6), ((260, 50, 70), 4))
    dataset = build(study, labels)
    np.testing.assert_array_equal(frames_by_source(dataset, study, tmp_path), labels)
    positions = {str(h.SOPInstanceUID): list(map(float, h.ImagePositionPatient)) for h in study.source.pet_headers}
    for frame in reread(dataset).PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == positions[uid]
    spacing = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    assert float(spacing) == pytest.approx(3.27, abs=0.001)


def test_poor_headers_give_valid_objects() -> None:
    def spoil(header: Dataset, _k: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header.SpecificCharacterSet = "ISO 2022 IR 87"
            header.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
            header.PatientSex, header.PatientAge = "female", "59"
            header.StudyID = "longer than 16 characters"
            header.PatientBirthDate = header.SeriesTime = "unknown"
        for keyword in ("StudyDate", "StudyTime", "FrameOfReferenceUID"):
            del header[keyword]

    study = make_study(GRID, change=spoil)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = reread(build(study, balls(GRID, *TWO_BALLS)))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert str(dataset.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert dataset.PatientSex == dataset.PatientBirthDate == dataset.StudyDate == ""
    assert dataset.StudyID == dataset.AccessionNumber == ""
    assert "PatientAge" not in dataset
    assert dataset.FrameOfReferenceUID.startswith("2.25.")
    assert (dataset.ContentDate, dataset.ContentTime) == ("20250101", "000000")


def test_of_several_values_none_is_lost_or_misspelt() -> None:
    def repeat(header: Dataset, _k: int) -> None:
        header.PatientIdentityRemoved = "YES"
        header.DeidentificationMethod = ["Names removed", "Dates shifted"]
        header.PatientName, header.ReferringPhysicianName = "Doe^John\\Doe^Jane", "House^G\\Wilson^J"
        header.PatientID, header.IssuerOfPatientID, header.StudyDescription = "12\\34", "A\\B", "PET\\CT\\PET"
        header.StudyID, header.AccessionNumber = "1\\2", "0123456789\\012345"

    dataset = reread(build(make_study(GRID, change=repeat), balls(GRID, *TWO_BALLS)))
    assert list(dataset.DeidentificationMethod) == ["Names removed", "Dates shifted"]
    assert (str(dataset.PatientName), str(dataset.ReferringPhysicianName)) == ("Doe^John", "House^G")
    assert (dataset.PatientID, dataset.IssuerOfPatientID, dataset.StudyDescription) == ("12/34", "A/B", "PET/CT/PET")
    assert (dataset.StudyID, dataset.AccessionNumber) == ("1/2", "")  # the latter would be too long for SH


def test_values_that_are_too_long_are_cut_but_for_those_that_identify() -> None:
    def lengthen(header: Dataset, _k: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for keyword in ("PatientID", "IssuerOfPatientID", "StudyDescription", "PositionReferenceIndicator"):
                setattr(header, keyword, 70 * "x")
            header.PatientName, header.ReferringPhysicianName = 70 * "y", 70 * "z"
            header.DeidentificationMethod = ["Names removed", 70 * "x"]
            header.AccessionNumber = 17 * "1"
        header.PatientIdentityRemoved, header.TimezoneOffsetFromUTC = "UNKNOWN", "UTC"

    study = make_study(GRID, change=lengthen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = build(study, balls(GRID, *TWO_BALLS))
    assert dataset.PatientID == dataset.IssuerOfPatientID == 70 * "x"
    assert str(dataset.PatientName) == 70 * "y"
    assert dataset.StudyDescription == dataset.PositionReferenceIndicator == 64 * "x"
    assert list(dataset.DeidentificationMethod) == ["Names removed", 64 * "x"]
    assert dataset.ReferringPhysicianName == dataset.AccessionNumber == ""
    assert "PatientIdentityRemoved" not in dataset
    assert "TimezoneOffsetFromUTC" not in dataset
    assert study.source is not None
    said = overlong_identifiers(study.source.pet_headers[0])
    kept, lost = ("keep it whole", "leave it out")
    for keyword, fate in (("PatientID", kept), ("IssuerOf", kept), ("PatientName", kept), ("AccessionNumber", lost)):
        assert any(sentence.startswith(keyword) and fate in sentence for sentence in said), keyword
    assert len(said) == 4


def test_weight_and_height_are_those_that_suv_was_computed_with() -> None:
    def in_grams_and_centimetres(header: Dataset, _k: int) -> None:
        header.PatientWeight, header.PatientSize = "70100", "168.3"

    study = replace(make_study(GRID, change=in_grams_and_centimetres), patient=Patient(weight_kg=70.1, height_m=1.683))
    dataset = reread(build(study, balls(GRID, *TWO_BALLS)))
    assert (dataset.PatientWeight, dataset.PatientSize) == (70.1, 1.683)


def test_objects_without_content_are_refused() -> None:
    study = make_study(GRID)
    none, empty_report = make_lesions(study, np.zeros(GRID.shape))
    two, report = make_lesions(study, balls(GRID, *TWO_BALLS))
    with pytest.raises(ValueError, match="no lesion to write"):
        build_segmentation(study, none, empty_report)
    with pytest.raises(ValueError, match="report of 0 lesions does not fit 2"):
        build_segmentation(study, two, empty_report)
    with pytest.raises(ValueError, match="without DICOM headers"):
        build_segmentation(replace(study, source=None), two, report)


@pytest.mark.parametrize("seg_type", SegType)
def test_a_single_lesion_is_named_in_every_frame(seg_type: SegType, tmp_path: Path) -> None:
    study, labels = make_study(GRID), balls(GRID, ((3, 4, 3), 2.2))
    dataset = reread(build(study, labels, seg_type))
    assert "SegmentIdentificationSequence" not in dataset.SharedFunctionalGroupsSequence[0]
    np.testing.assert_array_equal(frames_by_source(dataset, study, tmp_path), labels)


def test_many_lesions_need_sixteen_bits() -> None:
    labels = np.arange(300).reshape(3, 10, 10)
    dataset = reread(build(make_study(axial_grid((3, 10, 10))), labels, SegType.LABELMAP))
    assert dataset.BitsAllocated == 16
    np.testing.assert_array_equal(dataset.pixel_array, labels)
