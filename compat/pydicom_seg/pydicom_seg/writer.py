"""Label image to DICOM SEG."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from highdicom.seg import Segmentation, SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid

from pydicom_seg.template import Template


class MultiClassWriter:
    """Writes a label image as a BINARY DICOM SEG, one segment a label value.

    Parameters
    ----------
    template
        Attributes of the series and of the segments.
    inplane_cropping
        Must be False: frames keep the size of the label image, which all viewers can read.
    skip_empty_slices
        Leave out frames without a voxel of their segment.
    skip_missing_segment
        Leave out segments of the template without a voxel in the label image, instead of refusing to write.

    Raises
    ------
    ValueError
        If cropping is asked for.
    """

    def __init__(
        self,
        template: Template,
        *,
        inplane_cropping: bool = False,
        skip_empty_slices: bool = True,
        skip_missing_segment: bool = False,
    ) -> None:
        if inplane_cropping:
            raise ValueError("in-plane cropping is not offered: set inplane_cropping to False")
        self._template = template
        self._skip_empty_slices = skip_empty_slices
        self._skip_missing_segment = skip_missing_segment

    def write(self, segmentation: sitk.Image, source_images: Sequence[Dataset]) -> Segmentation:
        """Write a label image.

        Parameters
        ----------
        segmentation
            Label image of an unsigned integer type, in the patient coordinates (LPS, mm) of the source images. It
            need not have their grid.
        source_images
            Instances of the series that was segmented; their pixel data is not needed.

        Returns
        -------
        highdicom.seg.Segmentation
            The DICOM SEG, in the frame of reference of the source images. Its segments are numbered from 1 in the
            order of the label values, as PS3.3 C.8.20.4.1 wants them.

        Raises
        ------
        ValueError
            If the image has no label, a label that the template does not describe or, unless those are to be left
            out, none of a label that it does.
        """
        labels, numbers = self._labels(segmentation)
        return Segmentation(
            source_images=source_images,
            pixel_array=hd.Volume.from_components(
                numbers,
                spacing=segmentation.GetSpacing()[::-1],
                position=segmentation.GetOrigin(),
                direction=np.reshape(segmentation.GetDirection(), (3, 3))[:, ::-1].ravel().tolist(),
                coordinate_system=hd.CoordinateSystemNames.PATIENT,
                frame_of_reference_uid=source_images[0].FrameOfReferenceUID,
            ),
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[self._template.describe(label, i) for i, label in enumerate(labels, start=1)],
            series_instance_uid=generate_uid(),
            series_number=self._template.series_number,
            sop_instance_uid=generate_uid(),
            instance_number=self._template.instance_number,
            manufacturer="petlesion",
            manufacturer_model_name="pydicom_seg",
            software_versions=hd.__version__,
            device_serial_number="1",
            content_label=self._template.content_label,
            content_description=self._template.content_description,
            content_creator_name=self._template.content_creator_name,
            series_description=self._template.series_description,
            omit_empty_frames=self._skip_empty_slices,
        )

    def _labels(self, segmentation: sitk.Image) -> tuple[list[int], NDArray[np.uint16]]:
        """List the labels to write, in rising order, and number the voxels by them: (z, y, x), 0 background."""
        array = sitk.GetArrayViewFromImage(segmentation)
        present, described = set(np.unique(array).tolist()) - {0}, set(self._template.segments)
        if not present:
            raise ValueError("the label image is empty: a DICOM SEG needs at least one segment with a voxel")
        if undescribed := sorted(present - described):
            raise ValueError(f"labels {undescribed} of the image are not described in the template: describe them")
        if not self._skip_missing_segment and (absent := sorted(described - present)):
            raise ValueError(f"labels {absent} of the template are not in the image: set skip_missing_segment")
        labels = sorted(present)
        number_of = np.zeros(labels[-1] + 1, np.uint16)
        number_of[labels] = range(1, len(labels) + 1)
        return labels, number_of[array]
