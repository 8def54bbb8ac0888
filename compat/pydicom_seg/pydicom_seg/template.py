"""What is to be written about a segmentation and its segments, apart from the voxels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import highdicom as hd
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from pydicom.sr.codedict import codes


@dataclass(frozen=True)
class Template:
    """Attributes of the series and of each segment.

    Attributes
    ----------
    series_description, series_number, instance_number
        As in DICOM.
    content_label, content_description, content_creator_name
        As in DICOM.
    segments
        For each label value of the mask, the attributes of its segment, with the keys of dcmqi's meta-information.
    """

    series_description: str
    series_number: int
    instance_number: int
    content_label: str
    content_description: str
    content_creator_name: str
    segments: Mapping[int, Mapping[str, Any]]

    def describe(self, label: int, segment_number: int) -> SegmentDescription:
        """Describe the segment of a label value, under the number it gets in the file."""
        segment = self.segments[label]
        algorithm_type = SegmentAlgorithmTypeValues(segment["SegmentAlgorithmType"])
        color = segment.get("recommendedDisplayRGBValue")
        return SegmentDescription(
            segment_number=segment_number,
            segment_label=segment["SegmentLabel"],
            segmented_property_category=_code(segment["SegmentedPropertyCategoryCodeSequence"]),
            segmented_property_type=_code(segment["SegmentedPropertyTypeCodeSequence"]),
            algorithm_type=algorithm_type,
            algorithm_identification=_algorithm(algorithm_type, segment),
            display_color=None if color is None else CIELabColor.from_rgb(*color),
        )


def from_dcmqi_metainfo(metainfo: Mapping[str, Any]) -> Template:
    """Read dcmqi's meta-information of a segmentation.

    Parameters
    ----------
    metainfo
        The parsed JSON document, as ``itkimage2segimage --inputMetadata`` takes it (schema ``seg-schema.json`` of
        dcmqi). Its ``ClinicalTrial*`` and ``BodyPartExamined`` are not used: highdicom takes them from the images.

    Returns
    -------
    Template
        The same for :class:`pydicom_seg.MultiClassWriter`.
    """
    segments = [segment for file in metainfo["segmentAttributes"] for segment in file]
    return Template(
        series_description=metainfo.get("SeriesDescription", "Segmentation"),
        series_number=int(metainfo.get("SeriesNumber", 1)),
        instance_number=int(metainfo.get("InstanceNumber", 1)),
        content_label=metainfo.get("ContentLabel", "SEGMENTATION"),
        content_description=metainfo.get("ContentDescription", ""),
        content_creator_name=metainfo.get("ContentCreatorName", ""),
        segments={int(segment["labelID"]): segment for segment in segments},
    )


def _algorithm(
    algorithm_type: SegmentAlgorithmTypeValues, segment: Mapping[str, Any]
) -> hd.AlgorithmIdentificationSequence | None:
    """Name the algorithm, which DICOM wants of every segment that was not drawn by hand."""
    if algorithm_type is SegmentAlgorithmTypeValues.MANUAL:
        return None
    return hd.AlgorithmIdentificationSequence(
        name=segment["SegmentAlgorithmName"], family=codes.DCM.ArtificialIntelligence, version="unknown"
    )


def _code(code: Mapping[str, str]) -> hd.sr.CodedConcept:
    """Read a code of dcmqi's meta-information."""
    return hd.sr.CodedConcept(code["CodeValue"], code["CodingSchemeDesignator"], code["CodeMeaning"])
