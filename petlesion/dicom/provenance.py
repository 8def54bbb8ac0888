"""What all derived DICOM objects have in common: patient, study, source images, equipment, date and UIDs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import PositronEmissionTomographyImageStorage
from pydicom.valuerep import format_number_as_ds

from petlesion import __version__
from petlesion.dicom.attributes import (
    items,
    joined,
    parse_date,
    parse_time,
    parse_utc_offset,
    person_name,
    text,
    values,
)
from petlesion.identifiers import derived_uid
from petlesion.lesions import Lesions
from petlesion.report import LesionRecord, MethodName, Report, Review
from petlesion.study import DicomSource, Patient, PetCt

MANUFACTURER = "petlesion"
"""Manufacturer and model name of the equipment that makes the objects, and of the algorithm."""
VERSION = __version__
"""SoftwareVersions of the objects."""
SERIAL_NUMBER = "0"
"""DeviceSerialNumber: software has none, and enhanced objects must give one (DICOM PS3.3 C.7.5.2)."""
CHARACTER_SET = "ISO_IR 192"
"""UTF-8: holds the names of any PET header and the text of any warning."""
NO_DATE, NO_TIME = "19700101", "000000"
"""Of objects made from headers without any date (de-identified); objects must have a date."""

_SHORT_STRING, _LONG_STRING = 16, 64
"""Longest value of SH, and of LO and of a component group of PN (DICOM PS3.5 section 6.2)."""
_STUDY_IDENTIFIERS = ("StudyID", "AccessionNumber")
_VALUE_LENGTH = 200
"""Longest value of a parameter; all together must fit into AlgorithmParameters (LT, 10240 characters)."""

PRIVATE_SCHEME = "99PETLESION"
"""Coding scheme of concepts for which no standard code exists."""

NEOPLASM_CODE = Code("108369006", "SCT", "Neoplasm")
LESION_CODE = Code("52988006", "SCT", "Lesion")


class ResultKind(Enum):
    """The three objects: name in UIDs and descriptions, and series number."""

    SEG = ("SEG", 9001)
    SR = ("SR", 9002)
    RTSTRUCT = ("RTSTRUCT", 9003)

    @property
    def series_number(self) -> int:
        """SeriesNumber, the same in every study, far from those of scanners."""
        return self.value[1]


@dataclass(frozen=True)
class ObjectUids:
    """SeriesInstanceUID and SOPInstanceUID of a derived object."""

    series: str
    instance: str


def dicom_source(study: PetCt) -> DicomSource:
    """Headers of the study.

    Raises
    ------
    ValueError
        If the study was not read from DICOM, so that no DICOM object can refer to it.
    """
    if study.source is None or not study.source.pet_headers:
        raise ValueError("a study without DICOM headers has no DICOM results; write NIfTI instead")
    return study.source


def require_lesions(lesions: Lesions, report: Report) -> None:
    """Check that there is something to outline, and that measurements are of it.

    Raises
    ------
    ValueError
        If there is no lesion, as an object with empty segments hangs viewers, or `report` is of other lesions.
    """
    if lesions.count == 0:
        raise ValueError("no lesion to write; objects with empty segments or ROIs are not written")
    if [lesion.id for lesion in report.lesions] != list(range(1, lesions.count + 1)):
        raise ValueError(f"report of {len(report.lesions)} lesions does not fit {lesions.count} segmented lesions")


def object_uids(study: PetCt, report: Report, kind: ResultKind, content: bytes) -> ObjectUids:
    """UIDs that depend on the PET's header, report and `content` alone: the same input gives the same object.

    A corrected header (name, date of birth, study) makes another object: an archive keeps what it has under a UID.

    Parameters
    ----------
    study, report
        What the object is made of.
    kind
        Which object.
    content
        What distinguishes objects with the same report, such as pixel data.
    """
    header = source_header(study)
    stamp(header, study)
    copied = header.to_json(suppress_invalid_tags=True)
    fingerprint = hashlib.sha256(copied.encode() + report.to_json().encode() + content).hexdigest()
    parts = (study.study_instance_uid, study.pet_series_instance_uid, kind.name, VERSION, fingerprint)
    return ObjectUids(series=derived_uid(*parts, "series"), instance=derived_uid(*parts, "instance"))


def source_header(study: PetCt) -> Dataset:
    """Patient, study, frame of reference and size of the PET as a clean data set.

    Real headers lack attributes that derived objects must hold, carry malformed values and private elements. This one
    holds readable values only, those of type 2 at least empty.

    Returns
    -------
    Dataset
        For `highdicom` to copy from; that of the first slice where slices differ. `stamp` adds PatientName.
    """
    header = dicom_source(study).pet_headers[0]
    clean = Dataset()
    _copy_patient(clean, study.patient, header)
    _copy_study(clean, header)
    _add_image_reference(clean, study, header)
    clean.FrameOfReferenceUID = frame_of_reference_uid(study)
    clean.PositionReferenceIndicator = text(header, "PositionReferenceIndicator")[:_LONG_STRING]
    clean.Modality = "PT"
    _, clean.Rows, clean.Columns = study.pet.grid.shape
    return clean


def overlong_identifiers(header: Dataset) -> tuple[str, ...]:
    """Say which identifiers of a header are longer than DICOM allows.

    Those of the patient are kept whole, since archives may know him by them, although they make every derived object
    invalid; those of the study, which its UID identifies, are left out. Descriptions are cut without a word.
    """
    groups = person_name(header, "PatientName").split("=")
    lengths = {keyword: len(joined(header, keyword)) for keyword in ("PatientID", "IssuerOfPatientID")}
    lengths["PatientName"] = max(map(len, groups))
    kept = [keyword for keyword, length in lengths.items() if length > _LONG_STRING]
    lost = [keyword for keyword in _STUDY_IDENTIFIERS if len(joined(header, keyword)) > _SHORT_STRING]
    return (
        *(f"{each} is longer than DICOM allows: results keep it whole, and archives may refuse them." for each in kept),
        *(f"{each} is longer than DICOM allows: results leave it out." for each in lost),
    )


def frame_of_reference_uid(study: PetCt) -> str:
    """FrameOfReferenceUID of the PET; one derived from its series where de-identification removed it."""
    header = dicom_source(study).pet_headers[0]
    return text(header, "FrameOfReferenceUID") or derived_uid(study.pet_series_instance_uid, "frame of reference")


def image_references(study: PetCt) -> list[Dataset]:
    """Study, series, class and instance UID of every PET image, as `highdicom` takes evidence; patient in the first."""
    references = []
    for header in dicom_source(study).pet_headers[1:]:
        reference = Dataset()
        _add_image_reference(reference, study, header)
        references.append(reference)
    return [source_header(study), *references]


def content_moment(study: PetCt) -> tuple[str, str]:
    """Date (DA) and time (TM) of derived objects: those of the PET series, so that equal input gives equal bytes."""
    header = dicom_source(study).pet_headers[0]
    for event in ("Series", "Acquisition", "Study", "Content"):
        date = _dicom_date(text(header, f"{event}Date"))
        if date:
            return date, _dicom_time(text(header, f"{event}Time")) or NO_TIME
    return NO_DATE, NO_TIME


def stamp(dataset: Dataset, study: PetCt) -> None:
    """Set what `highdicom` does not take: the patient's name, and as time of creation that of the PET series.

    (highdicom sets the present time, and warns the user of names with a single component, which are common.)
    """
    date, time = content_moment(study)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    if "ContentDate" in dataset:
        dataset.ContentDate, dataset.ContentTime = date, time
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = date + time
    header = dicom_source(study).pet_headers[0]
    dataset.PatientName = person_name(header, "PatientName")
    zone = text(header, "TimezoneOffsetFromUTC")
    if parse_utc_offset(zone) is not None:
        dataset.TimezoneOffsetFromUTC = zone


def sop_class_uid(header: Dataset) -> str:
    """SOPClassUID of a PET image."""
    return text(header, "SOPClassUID") or str(PositronEmissionTomographyImageStorage)


def lesion_name(lesion: LesionRecord, review: Review) -> str:
    """Name of a lesion in every object: label of its segment and ROI, and its tracking identifier."""
    return f"{'Candidate' if review is Review.CANDIDATES else 'Lesion'} {lesion.id}"


def finding_type(review: Review) -> Code:
    """Neoplasm; of candidates, among which is physiological uptake, no more than lesion (SNOMED CT)."""
    return LESION_CODE if review is Review.CANDIDATES else NEOPLASM_CODE


def algorithm_family(report: Report) -> Code:
    """Algorithm family (DICOM PS3.16 CID 7162): of a network, a person, an edge, or else of a threshold."""
    if report.method.weights_sha256 is not None:
        return Code("123110", "DCM", "Artificial Intelligence")
    if report.review is Review.REVIEWED:
        return Code("123109", "DCM", "Manual Processing")
    if report.method.name == MethodName.GRADIENT:
        return Code("123103", "DCM", "Edge Detection")
    return Code("123105", "DCM", "Histogram Analysis")


def algorithm_parameters(report: Report) -> dict[str, str]:
    """Weights, threshold, reference and parameters that the segmentation depends on, as text of limited length."""
    parameters = {}
    reference = report.reference
    if report.method.weights_sha256 is not None:
        parameters["weights SHA-256"] = report.method.weights_sha256
    if reference.threshold is not None:
        parameters["reference threshold SUVbw"] = f"{reference.threshold:.4g}"
    if reference.mean is not None:
        parameters[f"{reference.organ} mean SUVbw"] = f"{reference.mean:.4g}"
    if reference.sd is not None:
        parameters[f"{reference.organ} SD SUVbw"] = f"{reference.sd:.4g}"
    given = {name: str(value)[:_VALUE_LENGTH] for name, value in report.method.parameters.items() if value is not None}
    return parameters | given


def _copy_patient(clean: Dataset, patient: Patient, header: Dataset) -> None:
    clean.PatientName = ""
    clean.PatientID = joined(header, "PatientID")
    clean.PatientBirthDate = _dicom_date(text(header, "PatientBirthDate"))
    sex = text(header, "PatientSex").upper()
    clean.PatientSex = sex if sex in ("M", "F", "O") else ""
    if re.fullmatch(r"\d{3}[DWMY]", text(header, "PatientAge")):
        clean.PatientAge = text(header, "PatientAge")
    for keyword, value in (("PatientSize", patient.height_m), ("PatientWeight", patient.weight_kg)):
        if value is not None:
            setattr(clean, keyword, format_number_as_ds(float(value)))
    if issuer := joined(header, "IssuerOfPatientID"):
        clean.IssuerOfPatientID = issuer
    removed = text(header, "PatientIdentityRemoved").upper()
    if removed in ("YES", "NO"):
        clean.PatientIdentityRemoved = removed
    if methods := values(header, "DeidentificationMethod"):
        clean.DeidentificationMethod = [method[:_LONG_STRING] for method in methods]
    if items(header, "DeidentificationMethodCodeSequence"):
        clean["DeidentificationMethodCodeSequence"] = header["DeidentificationMethodCodeSequence"]


def _copy_study(clean: Dataset, header: Dataset) -> None:
    clean.StudyDate = _dicom_date(text(header, "StudyDate"))
    clean.StudyTime = _dicom_time(text(header, "StudyTime"))
    for keyword in _STUDY_IDENTIFIERS:
        value = joined(header, keyword)
        setattr(clean, keyword, value if len(value) <= _SHORT_STRING else "")
    physician = person_name(header, "ReferringPhysicianName")
    fits = max(map(len, physician.split("="))) <= _LONG_STRING
    clean.ReferringPhysicianName = physician if fits else ""
    if description := joined(header, "StudyDescription"):
        clean.StudyDescription = description[:_LONG_STRING].rstrip()


def _dicom_date(value: str) -> str:
    date = parse_date(value)
    return "" if date is None else f"{date:%Y%m%d}"


def _add_image_reference(dataset: Dataset, study: PetCt, header: Dataset) -> None:
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.SeriesInstanceUID = study.pet_series_instance_uid
    dataset.SOPClassUID = sop_class_uid(header)
    dataset.SOPInstanceUID = text(header, "SOPInstanceUID")


def _dicom_time(value: str) -> str:
    time = parse_time(value)
    return "" if time is None else f"{time:%H%M%S.%f}"
