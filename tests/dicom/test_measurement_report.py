from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR, srread
from pet_studies import METHOD, balls, file_bytes, make_lesions, make_study, moments, reread
from pydicom import Dataset
from synthetic_dicom import axial_grid

from petlesion.dicom.measurement_report import build_measurement_report
from petlesion.dicom.segmentation import build_segmentation
from petlesion.report import Reference, ReferenceOrgan, Report, Review
from petlesion.study import PetCt
from petlesion.tracers import TracerName

GRID = axial_grid((12, 9, 8))
STUDY = make_study(GRID)
TWO_BALLS = balls(GRID, ((3, 4, 3), 2.6), ((9, 6, 2), 1.5))
LIVER = Reference(ReferenceOrgan.LIVER, 2.125, 0.25, 4.3)


def build(
    study: PetCt = STUDY, labels: np.ndarray = TWO_BALLS, **fields: object
) -> tuple[Dataset, Report, Dataset | None]:
    lesions, report = make_lesions(study, labels, **fields)
    segmentation = build_segmentation(study, lesions, report) if lesions.count else None
    return reread(build_measurement_report(study, report, segmentation)), report, segmentation


def parsed(document: Dataset) -> Comprehensive3DSR:
    return srread(BytesIO(file_bytes(document)))


def group(document: Dataset, identifier: str) -> Dataset:
    """Measurement group of a tracking identifier."""
    measurements = next(item for item in document.ContentSequence if name(item) == "Imaging Measurements")
    return next(
        item
        for item in measurements.ContentSequence
        if any(name(child) == "Tracking Identifier" and child.TextValue == identifier for child in item.ContentSequence)
    )


def name(item: Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def numbers(group: Dataset) -> dict[tuple[str, ...], tuple[float, str]]:
    """Value and unit by concept and derivation."""
    found = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            derivations = [
                child.ConceptCodeSequence[0].CodeMeaning
                for child in item.get("ContentSequence", ())
                if name(child) == "Derivation"
            ]
            value = item.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found[name(item), *derivations] = (float(value.NumericValue), unit)
    return found


def comments(document: Dataset) -> list[str]:
    container = next(item for item in document.ContentSequence if name(item) == "Qualitative Evaluations")
    return [item.TextValue for item in container.ContentSequence]


def test_each_lesion_has_its_measurements() -> None:
    document, report, _ = build()
    suv = "g/ml{SUVbw}"
    for lesion in report.lesions:
        found = numbers(group(document, f"Lesion {lesion.id}"))
        expected = {
            ("Volume",): (lesion.volume_ml, "ml"),
            ("SUVbw", "Maximum"): (lesion.suv_max, suv),
            ("SUVbw", "Mean"): (lesion.suv_mean, suv),
            ("SUVbw", "Minimum"): (lesion.suv_min, suv),
            ("SUVbw", "Standard Deviation"): (lesion.suv_sd, suv),
            ("SUVbw", "Peak Value Within ROI"): (lesion.suv_peak, suv),
            ("Total Lesion Glycolysis",): (lesion.tlu, "g"),
        }
        assert found.keys() == expected.keys()
        for key, (value, unit) in expected.items():
            assert found[key] == (pytest.approx(value, rel=1e-6), unit)


def test_totals_and_reference_have_groups_of_their_own() -> None:
    applied = replace(METHOD, parameters=METHOD.parameters | {"threshold_suv": 4.3})
    document, report, _ = build(reference=LIVER, method=applied)
    totals = numbers(group(document, "All lesions"))
    assert totals["Number of lesions",] == (2, "1")
    assert totals["Metabolic Volume",] == (pytest.approx(report.totals.ttv_ml, rel=1e-6), "ml")
    assert totals["Total Lesion Glycolysis",] == (pytest.approx(report.totals.tlu, rel=1e-6), "g")
    assert totals["SUVbw", "Maximum"][0] == pytest.approx(report.totals.suv_max, rel=1e-6)
    assert totals["SUVbw", "Mean"][0] == pytest.approx(report.totals.suv_mean, rel=1e-6)
    assert totals["SUVbw", "Peak Value Within ROI"][0] == pytest.approx(report.totals.suv_peak, rel=1e-6)
    assert totals["Lowest SUVmean of any lesion",][0] == pytest.approx(report.totals.min_lesion_suv_mean, rel=1e-6)
    assert totals["Threshold Value",] == (4.3, "g/ml{SUVbw}")
    reference = group(document, "Reference region")
    assert numbers(reference) == {
        ("SUVbw", "Mean"): (2.125, "g/ml{SUVbw}"),
        ("SUVbw", "Standard Deviation"): (0.25, "g/ml{SUVbw}"),
    }
    (site,) = [item for item in reference.ContentSequence if name(item) == "Finding Site"]
    assert site.ConceptCodeSequence[0].CodeMeaning == "Liver"


def test_groups_refer_to_segments_of_the_same_tracking_uid() -> None:
    document, report, segmentation = build(locations={2: "right kidney"})
    groups = parsed(document).content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_uid for g in groups] == [lesion.tracking_uid for lesion in report.lesions]
    assert [g.tracking_uid for g in groups] == [s.TrackingUID for s in segmentation.SegmentSequence]
    assert [g.finding_type.meaning for g in groups] == ["Neoplasm", "Neoplasm"]
    for number, g in enumerate(groups, start=1):
        image, series = g.referenced_segment
        (reference,) = image.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == number
        assert series.value == STUDY.pet_series_instance_uid
    (site,) = groups[1].finding_sites
    assert (site.value.meaning, site.laterality.meaning) == ("Kidney", "Right")


def test_evidence_is_the_pet_and_the_segmentation() -> None:
    document, _, segmentation = build()
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    by_series = {series.SeriesInstanceUID: series.ReferencedSOPSequence for series in study.ReferencedSeriesSequence}
    assert by_series.keys() == {STUDY.pet_series_instance_uid, segmentation.SeriesInstanceUID}
    assert len(by_series[STUDY.pet_series_instance_uid]) == 12


def test_method_and_parameters_are_told() -> None:
    document, _, _ = build(reference=LIVER)
    told = [
        (name(item), item.TextValue)
        for item in group(document, "Lesion 1").ContentSequence
        if name(item).startswith("Algorithm") and item.ValueType == "TEXT"
    ]
    assert ("Algorithm Name", METHOD.name) in told
    assert ("Algorithm Version", METHOD.version) in told
    parameters = {value for key, value in told if key == "Algorithm Parameters"}
    assert parameters == {
        "min_volume_ml=0.5",
        "reference threshold SUVbw=4.3",
        "liver mean SUVbw=2.125",
        "liver SD SUVbw=0.25",
    }


def test_review_warnings_and_unknown_locations_are_comments() -> None:
    document, _, _ = build(
        replace(STUDY, suv=replace(STUDY.suv, warnings=("Dosis geschätzt",)), warnings=("a gap",)),
        locations={1: "behind the knee", 2: "liver"},
        warnings=("few voxels – ≥ 1",),
        review=Review.FILTERED,
    )
    assert comments(document) == [
        "By a network: physiological uptake may be among them, lesions may be missing. Not reviewed.",
        "Lesion 1: behind the knee",
        "Dosis geschätzt",
        "a gap",
        "few voxels – ≥ 1",
    ]
    assert document.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("tracer", "code"),
    [
        (TracerName.F18_FDG, ("126033", "DCM")),
        (TracerName.GA68_PSMA11, ("TLU", "99PETLESION")),
        (TracerName.UNKNOWN, ("TLU", "99PETLESION")),
    ],
)
def test_only_fdg_has_glycolysis(tracer: TracerName, code: tuple[str, str]) -> None:
    document, _, _ = build(make_study(GRID, tracer=tracer))
    for identifier in ("All lesions", "Lesion 1"):
        concepts = [item.ConceptNameCodeSequence[0] for item in group(document, identifier).ContentSequence]
        assert code in [(concept.CodeValue, concept.CodingSchemeDesignator) for concept in concepts]
        assert ("Glycolysis" in str(concepts)) == (tracer is TracerName.F18_FDG)
    assert document.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PETLESION"


def test_no_lesion_is_said_so() -> None:
    document, _, segmentation = build(labels=np.zeros(GRID.shape))
    assert segmentation is None
    assert numbers(group(document, "All lesions")) == {
        ("Number of lesions",): (0, "1"),
        ("Metabolic Volume",): (0, "ml"),
        ("Total Lesion Glycolysis",): (0, "g"),
    }
    assert len(parsed(document).content.get_volumetric_roi_measurement_groups()) == 0
    assert "CodingSchemeIdentificationSequence" not in document


def test_document_belongs_to_the_study() -> None:
    document, _, _ = build()
    header = STUDY.source.pet_headers[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
        assert document[keyword].value == header[keyword].value
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert document.ContentDate == "20250101"


def test_same_input_same_bytes_whenever_it_is_built() -> None:
    first, _, _ = build()
    assert file_bytes(build()[0]) == file_bytes(first)
    assert moments(first) <= moments(STUDY.source.pet_headers[0])
    assert build(labels=(TWO_BALLS == 1).astype(int))[0].SOPInstanceUID != first.SOPInstanceUID


def test_lesions_need_their_segmentation() -> None:
    _, report = make_lesions(STUDY, TWO_BALLS)
    with pytest.raises(ValueError, match="2 lesions need the segmentation object"):
        build_measurement_report(STUDY, report, None)


@pytest.mark.parametrize("review", list(Review))
def test_no_lesion_of_an_algorithm_is_not_said_to_be_reviewed(review: Review) -> None:
    (comment,) = comments(build(labels=np.zeros(GRID.shape), review=review)[0])
    assert comment.startswith("No lesion was found.")
    assert ("lesions may be missing. Not reviewed." in comment) == (review is not Review.REVIEWED)
