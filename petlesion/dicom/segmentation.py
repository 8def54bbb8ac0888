"""Lesions as a DICOM segmentation object (SEG) on the grid of the PET: one segment a lesion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.tag import Tag
from pydicom.uid import RLELossless
from pydicom.valuerep import format_number_as_ds
from scipy import ndimage

from petlesion.dicom.anatomy import anatomic_site
from petlesion.dicom.frames import Frame, Plane, even, pack_bits, per_frame_groups
from petlesion.dicom.palette import lesion_color
from petlesion.dicom.planes import plane_positions, source_headers
from petlesion.dicom.provenance import (
    CHARACTER_SET,
    MANUFACTURER,
    SERIAL_NUMBER,
    VERSION,
    ResultKind,
    algorithm_family,
    algorithm_parameters,
    dicom_source,
    finding_type,
    lesion_name,
    object_uids,
    require_lesions,
    sop_class_uid,
    source_header,
    stamp,
)
from petlesion.dicom.seg_type import SegType
from petlesion.identifiers import derived_uid
from petlesion.lesions import Lesions
from petlesion.report import LesionRecord, Report, Review
from petlesion.study import PetCt

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

_PIXEL_DATA = Tag("PixelData")


def build_segmentation(study: PetCt, lesions: Lesions, report: Report, seg_type: SegType = SegType.BINARY) -> Dataset:
    """Build the segmentation object of a study.

    Frames without a voxel are omitted; every frame names the PET image it was derived from. The same input gives the
    same bytes: UIDs follow from the content, dates are those of the PET series.

    Parameters
    ----------
    study
        PET with its DICOM headers.
    lesions
        At least one, on the grid of the PET.
    report
        Measurements of these lesions: numbers, tracking UIDs and locations come from here.
    seg_type
        How lesions are stored.

    Returns
    -------
    Dataset
        With file meta information, to be saved with `Dataset.save_as`.

    Raises
    ------
    ValueError
        If there is no lesion (an object with empty segments hangs viewers), if `report` is of other lesions, or if the
        study was not read from DICOM.
    """
    require_lesions(lesions, report)
    planes = _planes(study, lesions.labels)
    if seg_type is SegType.BINARY:
        slices = list(_lesion_slices(lesions.labels))
        frames = [Frame(planes[piece.z], piece.number) for piece in slices]
        pixels = pack_bits(piece.in_frame(lesions.grid.shape[1:]) for piece in slices)
    else:
        frames = [Frame(plane, None) for plane in planes.values()]
        dtype = np.uint8 if lesions.count <= np.iinfo(np.uint8).max else np.uint16
        pixels = even(lesions.labels[list(planes)].astype(dtype).tobytes())
    dataset = _without_frames(study, report, seg_type, pixels)
    dataset.NumberOfFrames = len(frames)
    dataset[Tag("PerFrameFunctionalGroupsSequence")] = per_frame_groups(frames)
    dataset[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OW" if dataset.BitsAllocated > 8 else "OB", pixels)
    _refer_to_images(dataset, planes)
    # Tells pydicom that the encoded frames are in the encoding and character set that it is going to write.
    dataset.set_original_encoding(False, True, convert_encodings(CHARACTER_SET))
    if seg_type is SegType.LABELMAP:
        # Not python-gdcm, which pydicom would take: its RLE encoder aborts the process on frames of odd size.
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return dataset


def _planes(study: PetCt, labels: NDArray[np.uint16]) -> dict[int, Plane]:
    """Planes with a lesion, by slice number."""
    preserved = dicom_source(study).one_header_per_slice
    positions, headers = plane_positions(study), source_headers(study)
    planes = {}
    for index, z in enumerate(np.flatnonzero(labels.any(axis=(1, 2))).tolist(), start=1):
        x_mm, y_mm, z_mm = positions[z].tolist()
        header = headers[z]
        planes[z] = Plane(index, (x_mm, y_mm, z_mm), sop_class_uid(header), str(header.SOPInstanceUID), preserved)
    return planes


@dataclass(frozen=True)
class _LesionSlice:
    """A lesion's voxels on one slice: the mask of its bounding box, and where that box lies in the slice."""

    number: int
    z: int
    box: tuple[slice, slice]
    inside: NDArray[np.bool_]

    def in_frame(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        frame = np.zeros(shape, dtype=bool)
        frame[self.box] = self.inside
        return frame


def _lesion_slices(labels: NDArray[np.uint16]) -> Iterator[_LesionSlice]:
    """Slices with a voxel of the lesion, lesion by lesion."""
    for number, (z_side, *box) in enumerate(ndimage.find_objects(labels), start=1):
        for z in range(z_side.start, z_side.stop):
            inside = labels[z][tuple(box)] == number
            if inside.any():
                yield _LesionSlice(number, z, (box[0], box[1]), inside)


def _without_frames(study: PetCt, report: Report, seg_type: SegType, pixels: bytes) -> Dataset:
    """Everything but the frames, made by highdicom from one empty plane."""
    from highdicom.seg import Segmentation

    uids = object_uids(study, report, ResultKind.SEG, pixels)
    header = _first_plane(study)
    skeleton = Segmentation(
        source_images=[header],
        pixel_array=np.zeros((1, header.Rows, header.Columns), dtype=np.uint8),
        segmentation_type=seg_type.name,
        segment_descriptions=_describe_segments(report),
        series_instance_uid=uids.series,
        series_number=ResultKind.SEG.series_number,
        sop_instance_uid=uids.instance,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=VERSION,
        device_serial_number=SERIAL_NUMBER,
        content_label="LESIONS",
        content_description=f"Lesions by {report.method.name}"[:64],
        omit_empty_frames=False,
        specific_character_set=CHARACTER_SET,
        series_description=f"Lesions, {report.method.name}"[:64],
    )
    # A plain data set: highdicom's own index of frames would be that of the empty plane.
    dataset = Dataset(skeleton)
    dataset.file_meta = skeleton.file_meta
    dataset.ContentCreatorName = ""
    stamp(dataset, study)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        # Where highdicom puts it for a single segment; here it is in every frame, as most readers expect.
        del shared.SegmentIdentificationSequence
    measures = shared.PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = measures.SliceThickness = format_number_as_ds(study.pet.grid.spacing_mm[0])
    organization = derived_uid(uids.instance, "dimension organization")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    if seg_type is SegType.LABELMAP:
        dataset.add_new("PixelPaddingValue", "US", 0)
    return dataset


def _first_plane(study: PetCt) -> Dataset:
    """Header of the PET from which highdicom takes patient, study and geometry."""
    header = source_header(study)
    first = dicom_source(study).pet_headers[0]
    header.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in first.ImageOrientationPatient]
    header.ImagePositionPatient = [format_number_as_ds(v) for v in plane_positions(study)[0].tolist()]
    header.PixelSpacing = [format_number_as_ds(v) for v in study.pet.grid.spacing_mm[1:]]
    header.SliceThickness = format_number_as_ds(study.pet.grid.spacing_mm[0])
    return header


def _describe_segments(report: Report) -> list[SegmentDescription]:
    from highdicom import AlgorithmIdentificationSequence

    algorithm = AlgorithmIdentificationSequence(
        name=report.method.name,
        family=algorithm_family(report),
        version=report.method.version,
        source=MANUFACTURER,
        parameters=algorithm_parameters(report) or None,
    )
    # A person drew, corrected or accepted reviewed lesions; all else is untouched output of the algorithm.
    kind = "SEMIAUTOMATIC" if report.review is Review.REVIEWED else "AUTOMATIC"
    return [_describe_segment(lesion, algorithm, kind, report.review) for lesion in report.lesions]


def _describe_segment(
    lesion: LesionRecord, algorithm: AlgorithmIdentificationSequence, kind: str, review: Review
) -> SegmentDescription:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    site = anatomic_site(lesion.location)
    description = SegmentDescription(
        segment_number=lesion.id,
        segment_label=lesion_name(lesion, review),
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=finding_type(review),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        tracking_uid=lesion.tracking_uid,
        tracking_id=lesion_name(lesion, review),
        anatomic_regions=None if site is None else [site.region],
        display_color=CIELabColor.from_rgb(*lesion_color(lesion.id)),
    )
    if site is not None and site.side is not None:
        side = Dataset()
        side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = site.side[:3]
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]
    if lesion.location:
        description.SegmentDescription = lesion.location[:1024]
    return description


def _refer_to_images(dataset: Dataset, planes: dict[int, Plane]) -> None:
    """Name the PET images that frames were derived from in the common instance reference (DICOM PS3.3 C.12.2)."""
    of_instance = {plane.source_instance_uid: plane.source_class_uid for plane in planes.values()}
    references = []
    for instance_uid, class_uid in of_instance.items():
        reference = Dataset()
        reference.ReferencedSOPClassUID = class_uid
        reference.ReferencedSOPInstanceUID = instance_uid
        references.append(reference)
    dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence = references
    # The frames name their images; the flat list of highdicom repeats them.
    del dataset.SourceImageSequence
