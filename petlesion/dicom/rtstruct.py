"""Lesions as a DICOM radiotherapy structure set (RTSTRUCT): one ROI a lesion, contours on the slices of the PET."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, RTStructureSetStorage
from scipy import ndimage

from petlesion.dicom.contours import outlines
from petlesion.dicom.palette import lesion_color
from petlesion.dicom.planes import plane_positions, source_headers
from petlesion.dicom.provenance import (
    CHARACTER_SET,
    MANUFACTURER,
    VERSION,
    ResultKind,
    content_moment,
    dicom_source,
    finding_type,
    frame_of_reference_uid,
    lesion_name,
    object_uids,
    require_lesions,
    sop_class_uid,
    source_header,
    stamp,
)
from petlesion.lesions import Lesions
from petlesion.report import LesionRecord, Report, Review
from petlesion.study import PetCt

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired: what RTReferencedStudySequence still has to name (DICOM PS3.3 C.8.8.5)."""
_DECIMALS = 3
"""Of contour points in mm: 1 µm."""


def build_rtstruct(study: PetCt, lesions: Lesions, report: Report) -> Dataset:
    """Build the structure set of a study.

    Each lesion is outlined on each of its slices (`petlesion.dicom.contours.outlines`); the voxels whose centre is
    inside are those of the lesion again. The same input gives the same bytes.

    Parameters
    ----------
    study
        PET with its DICOM headers.
    lesions
        At least one, on the grid of the PET.
    report
        Measurements of these lesions.

    Returns
    -------
    Dataset
        With file meta information, to be saved with `Dataset.save_as`.

    Raises
    ------
    ValueError
        If there is no lesion, if `report` is of other lesions, or if the study was not read from DICOM.
    """
    require_lesions(lesions, report)
    dataset = source_header(study)
    del dataset.Rows, dataset.Columns
    contours = _contours(study, lesions)
    _add_structure_set(dataset, study, report)
    dataset.ROIContourSequence = [_roi_contours(lesion, contours[lesion.id]) for lesion in report.lesions]
    dataset.RTROIObservationsSequence = [_observation(lesion, report.review) for lesion in report.lesions]
    content = "".join(str(item.ContourData) for parts in contours.values() for item in parts)
    _add_identity(dataset, study, report, hashlib.sha256(content.encode()).digest())
    return dataset


def _contours(study: PetCt, lesions: Lesions) -> dict[int, list[Dataset]]:
    """Items of the contour sequence of every lesion."""
    positions, headers = plane_positions(study), source_headers(study)
    rows_and_columns = study.pet.grid.affine[:3, 1:3]
    contours: dict[int, list[Dataset]] = {}
    for number, (z_side, *box) in enumerate(ndimage.find_objects(lesions.labels), start=1):
        corner = np.array([side.start for side in box])
        contours[number] = [
            _contour(positions[z] + (outline + corner) @ rows_and_columns.T, headers[z])
            for z in range(z_side.start, z_side.stop)
            for outline in outlines(lesions.labels[z][tuple(box)] == number)
        ]
    return contours


def _contour(points_mm: NDArray[np.float64], header: Dataset) -> Dataset:
    image = _image(header)
    item = Dataset()
    item.ContourImageSequence = [image]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points_mm)
    item.ContourData = [f"{value:.{_DECIMALS}f}" for value in points_mm.ravel().tolist()]
    return item


def _image(header: Dataset) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID = sop_class_uid(header)
    image.ReferencedSOPInstanceUID = str(header.SOPInstanceUID)
    return image


def _add_structure_set(dataset: Dataset, study: PetCt, report: Report) -> None:
    """Structure Set module (DICOM PS3.3 C.8.8.5)."""
    dataset.StructureSetLabel = "LESIONS"
    dataset.StructureSetName = f"Lesions, {report.method.name}"[:64]
    weights = report.method.weights_sha256
    dataset.StructureSetDescription = (
        f"{MANUFACTURER} {VERSION}, method {report.method.name}, {report.review}"
        + (f", weights SHA-256 {weights}" if weights else "")
    )[:1024]
    dataset.StructureSetDate, dataset.StructureSetTime = content_moment(study)
    series = Dataset()
    series.SeriesInstanceUID = study.pet_series_instance_uid
    series.ContourImageSequence = [_image(header) for header in dicom_source(study).pet_headers]
    referenced_study = Dataset()
    referenced_study.ReferencedSOPClassUID = _STUDY_CLASS
    referenced_study.ReferencedSOPInstanceUID = study.study_instance_uid
    referenced_study.RTReferencedSeriesSequence = [series]
    frame_of_reference = Dataset()
    frame_of_reference.FrameOfReferenceUID = frame_of_reference_uid(study)
    frame_of_reference.RTReferencedStudySequence = [referenced_study]
    dataset.ReferencedFrameOfReferenceSequence = [frame_of_reference]
    dataset.StructureSetROISequence = [_roi(lesion, study, report) for lesion in report.lesions]


def _roi(lesion: LesionRecord, study: PetCt, report: Report) -> Dataset:
    roi = Dataset()
    roi.ROINumber = lesion.id
    roi.ReferencedFrameOfReferenceUID = frame_of_reference_uid(study)
    roi.ROIName = lesion_name(lesion, report.review)
    if lesion.location:
        roi.ROIDescription = lesion.location[:1024]
    roi.ROIVolume = f"{lesion.volume_ml:.4f}"
    roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC" if report.review is Review.REVIEWED else "AUTOMATIC"
    roi.ROIGenerationDescription = f"{report.method.name} {report.method.version}"[:64]
    return roi


def _roi_contours(lesion: LesionRecord, contours: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(lesion_color(lesion.id))
    item.ContourSequence = contours
    item.ReferencedROINumber = lesion.id
    return item


def _observation(lesion: LesionRecord, review: Review) -> Dataset:
    """RT ROI Observations module (DICOM PS3.3 C.8.8.8); no interpreted type, as a lesion is no target until planned."""
    kind = Dataset()
    kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = finding_type(review)[:3]
    observation = Dataset()
    observation.ObservationNumber = lesion.id
    observation.ReferencedROINumber = lesion.id
    observation.ROIObservationLabel = lesion_name(lesion, review)[:16]
    observation.RTROIIdentificationCodeSequence = [kind]
    observation.RTROIInterpretedType = ""
    observation.ROIInterpreter = ""
    return observation


def _add_identity(dataset: Dataset, study: PetCt, report: Report, content: bytes) -> None:
    uids = object_uids(study, report, ResultKind.RTSTRUCT, content)
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = UID(uids.instance)
    dataset.Modality = ResultKind.RTSTRUCT.name
    dataset.SeriesInstanceUID = uids.series
    dataset.SeriesNumber = ResultKind.RTSTRUCT.series_number
    dataset.SeriesDescription = f"Lesions, {report.method.name}"[:64]
    dataset.OperatorsName = ""
    dataset.InstanceNumber = 1
    dataset.Manufacturer = dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = VERSION
    dataset.ApprovalStatus = "UNAPPROVED"
    stamp(dataset, study)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uids.instance)
    # Not explicit: the length of long contours does not fit there (DICOM PS3.3 C.8.8.6, note to Contour Data).
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
