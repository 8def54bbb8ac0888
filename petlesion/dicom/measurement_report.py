"""Measurements as a DICOM structured report (TID 1500 in Comprehensive 3D SR): a group a lesion, and one of totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from petlesion.dicom.anatomy import anatomic_site
from petlesion.dicom.provenance import (
    CHARACTER_SET,
    MANUFACTURER,
    PRIVATE_SCHEME,
    SERIAL_NUMBER,
    VERSION,
    ResultKind,
    algorithm_family,
    algorithm_parameters,
    finding_type,
    image_references,
    lesion_name,
    object_uids,
    stamp,
)
from petlesion.identifiers import derived_uid
from petlesion.report import LesionRecord, Reference, Report, Review
from petlesion.study import PetCt

if TYPE_CHECKING:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

SUV_UNIT = Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight")
"""Unit of SUVbw (DICOM PS3.16 CID 85); older writers have ``{SUVbw}g/ml``."""
MILLILITER = Code("ml", "UCUM", "milliliter")
GRAM = Code("g", "UCUM", "gram")
"""Unit of SUVbw (g/ml) times volume (ml)."""
ONE = Code("1", "UCUM", "no units")

TOTAL_LESION_UPTAKE = Code("TLU", PRIVATE_SCHEME, "Total Lesion Uptake")
"""SUVbw mean times volume for tracers other than FDG: Total Lesion Glycolysis (126033, DCM) would be wrong."""
LOWEST_LESION_MEAN = Code("MIN-SUVMEAN", PRIVATE_SCHEME, "Lowest SUVmean of any lesion")
THRESHOLD = Code("122411", "DCM", "Threshold Value")
PET_PROCEDURE = Code("82918005", "SCT", "Positron emission tomography")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
"""Container of TID 1500 that may hold text."""

_REVIEW = {
    Review.CANDIDATES: "Candidates of an algorithm: physiological uptake may be among them. Not reviewed.",
    Review.FILTERED: "By a network: physiological uptake may be among them, lesions may be missing. Not reviewed.",
    Review.REVIEWED: "Lesions drawn or accepted by a person.",
}
_NONE = {
    Review.CANDIDATES: "No lesion was found. By an algorithm: lesions may be missing. Not reviewed.",
    Review.FILTERED: "No lesion was found. By a network: lesions may be missing. Not reviewed.",
    Review.REVIEWED: "No lesion was found.",
}


def build_measurement_report(study: PetCt, report: Report, segmentation: Dataset | None) -> Dataset:
    """Build the structured report of a study.

    The same input gives the same bytes: UIDs follow from the content, dates are those of the PET series.

    Parameters
    ----------
    study
        PET with its DICOM headers.
    report
        What is to be said. Without lesions, the document says that there are none.
    segmentation
        Object of `build_segmentation`, to which each lesion refers; None when there is no lesion.

    Returns
    -------
    Dataset
        With file meta information, to be saved with `Dataset.save_as`.

    Raises
    ------
    ValueError
        If there are lesions without a segmentation, or the study was not read from DICOM.
    """
    from highdicom.sr import Comprehensive3DSR

    if report.lesions and segmentation is None:
        raise ValueError(f"{len(report.lesions)} lesions need the segmentation object that outlines them")
    evidence = image_references(study)
    if segmentation is not None:
        evidence.append(segmentation)
    instance = b"" if segmentation is None else segmentation.SOPInstanceUID.encode()
    uids = object_uids(study, report, ResultKind.SR, instance)
    document = Comprehensive3DSR(
        evidence=evidence,
        content=_content(study, report, segmentation)[0],
        series_instance_uid=uids.series,
        series_number=ResultKind.SR.series_number,
        sop_instance_uid=uids.instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=VERSION,
        device_serial_number=SERIAL_NUMBER,
        is_complete=True,
        specific_character_set=CHARACTER_SET,
        series_description=f"Lesion measurements, {report.method.name}"[:64],
        coding_schemes=_coding_schemes(report),
    )
    stamp(document, study)
    return document


def _coding_schemes(report: Report) -> list[CodingSchemeIdentificationItem] | None:
    """The private scheme, where a code of it is used."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    if not report.lesions and _uptake_name(report) is not TOTAL_LESION_UPTAKE:
        return None
    scheme = CodingSchemeIdentificationItem(PRIVATE_SCHEME, name="petlesion", responsible_organization=MANUFACTURER)
    return [scheme]


def _content(study: PetCt, report: Report, segmentation: Dataset | None) -> MeasurementReport:
    from highdicom.sr import AlgorithmIdentification, MeasurementReport

    algorithm = AlgorithmIdentification(
        name=report.method.name,
        version=report.method.version,
        parameters=[f"{name}={value}" for name, value in algorithm_parameters(report).items()],
        family=algorithm_family(report),
    )
    groups: list[MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations] = [
        _totals(study, report, algorithm)
    ]
    if report.reference.mean is not None:
        groups.append(_reference(study, report.reference))
    if segmentation is not None:
        groups += [_lesion(lesion, report, segmentation, algorithm) for lesion in report.lesions]
    content = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=PET_PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(_remarks(report))
    return content


def _observer() -> ObservationContext:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext

    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=derived_uid(MANUFACTURER, VERSION),
                name=MANUFACTURER,
                manufacturer_name=MANUFACTURER,
                model_name=f"{MANUFACTURER} {VERSION}",
            ),
        )
    )


def _lesion(
    lesion: LesionRecord, report: Report, segmentation: Dataset, algorithm: AlgorithmIdentification
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Measurements of a volume of interest (TID 1411)."""
    from highdicom.sr import (
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion_name(lesion, report.review)),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=lesion.id,
            source_series=SourceSeriesForSegmentation(report.study.pet_series_instance_uid),
        ),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_type=finding_type(report.review),
        finding_sites=_sites(lesion.location),
        algorithm_id=algorithm,
        measurements=[
            _number(Code("118565006", "SCT", "Volume"), lesion.volume_ml, MILLILITER),
            _suv(lesion.suv_max, codes.SCT.Maximum),
            _suv(lesion.suv_mean, codes.SCT.Mean),
            _suv(lesion.suv_min, codes.SCT.Minimum),
            _suv(lesion.suv_sd, codes.SCT.StandardDeviation),
            _suv(lesion.suv_peak, codes.DCM.PeakValueWithinROI),
            _number(_uptake_name(report), lesion.tlu, GRAM),
        ],
    )


def _totals(study: PetCt, report: Report, algorithm: AlgorithmIdentification) -> MeasurementsAndQualitativeEvaluations:
    """Measurements of all lesions together (TID 1501): number, volume, uptake, and the threshold behind them."""
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, TrackingIdentifier

    totals = report.totals
    measurements = [
        _number(Code("246206008", "SCT", "Number of lesions"), totals.n_lesions, ONE),
        _number(codes.DCM.MetabolicVolume, totals.ttv_ml, MILLILITER),
        _number(_uptake_name(report), totals.tlu, GRAM),
    ]
    for value, derivation in (
        (totals.suv_max, codes.SCT.Maximum),
        (totals.suv_mean, codes.SCT.Mean),
        (totals.suv_peak, codes.DCM.PeakValueWithinROI),
    ):
        if value is not None:
            measurements.append(_suv(value, derivation))
    for value, name in (
        (totals.min_lesion_suv_mean, LOWEST_LESION_MEAN),
        (report.threshold_suv, THRESHOLD),
    ):
        if value is not None:
            measurements.append(_number(name, value, SUV_UNIT))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid(study.study_instance_uid, study.pet_series_instance_uid, "all lesions"),
            identifier="All lesions",
        ),
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _reference(study: PetCt, reference: Reference) -> MeasurementsAndQualitativeEvaluations:
    """Normal uptake of the reference organ (TID 1501)."""
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, TrackingIdentifier

    uptake = ((reference.mean, codes.SCT.Mean), (reference.sd, codes.SCT.StandardDeviation))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derived_uid(study.study_instance_uid, study.pet_series_instance_uid, "reference region"),
            identifier="Reference region",
        ),
        finding_sites=_sites(reference.organ),
        measurements=[_suv(value, derivation) for value, derivation in uptake if value is not None],
    )


def _sites(location: str | None) -> list[FindingSite] | None:
    from highdicom.sr import FindingSite

    site = anatomic_site(location)
    return None if site is None else [FindingSite(anatomic_location=site.region, laterality=site.side)]


def _uptake_name(report: Report) -> Code:
    """Total Lesion Glycolysis is of FDG alone; for other tracers, the same product has a code of its own."""
    return codes.DCM.TotalLesionGlycolysis if report.is_glycolysis else TOTAL_LESION_UPTAKE


def _suv(value: float, derivation: Code) -> Measurement:
    from highdicom.sr import Measurement

    return Measurement(
        name=codes.DCM.Suvbw,
        value=_rounded(value),
        unit=SUV_UNIT,
        derivation=derivation,
    )


def _number(name: Code, value: float, unit: Code) -> Measurement:
    from highdicom.sr import Measurement

    return Measurement(name=name, value=_rounded(value), unit=unit)


def _rounded(value: float) -> float:
    """To seven digits, as many as float32 voxels have."""
    return float(f"{value:.7g}")


def _remarks(report: Report) -> Dataset:
    """State of review, unreadable locations, and every warning, as comments."""
    from highdicom.sr import (
        ContainerContentItem,
        ContentSequence,
        RelationshipTypeValues,
        TextContentItem,
    )

    comments = [(_REVIEW if report.lesions else _NONE)[report.review]]
    comments += [
        f"{lesion_name(lesion, report.review)}: {lesion.location}"
        for lesion in report.lesions
        if lesion.location and anatomic_site(lesion.location) is None
    ]
    comments += [*report.suv.warnings, *report.warnings]
    container = ContainerContentItem(
        name=QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS, is_content_continuous=False
    )
    container.ContentSequence = ContentSequence(
        [
            TextContentItem(name=codes.DCM.Comment, value=comment, relationship_type=RelationshipTypeValues.CONTAINS)
            for comment in comments
        ]
    )
    return container
