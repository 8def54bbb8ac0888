"""DICOM SEG to label image."""

from dataclasses import dataclass

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

SLICE_POSITION_TOLERANCE = 0.25
"""How far a frame may lie from its slice of the regular grid, as a fraction of the slice spacing.

Whole-body PET tables move in steps that are not exactly equal: 3.19 mm among 3.27 mm has been seen. highdicom's own
limit of 0.01 refuses such series; up to 0.25 there is still no doubt about the slice a frame belongs to.
"""


@dataclass(frozen=True)
class MultiClassResult:
    """What :meth:`MultiClassReader.read` returns.

    Attributes
    ----------
    image
        Label image, the value of a voxel being its segment number and 0 background. It reaches from the first to the
        last slice that has a frame; slices between them that were left out of the file are 0.
    """

    image: sitk.Image


class MultiClassReader:
    """Reads the segments of one DICOM SEG into one label image."""

    def read(self, dataset: Dataset) -> MultiClassResult:
        """Read a DICOM SEG, BINARY or LABELMAP, whose segments do not overlap.

        Parameters
        ----------
        dataset
            The DICOM SEG, with its pixel data.

        Returns
        -------
        MultiClassResult
            The label image on the geometry of the frames, in DICOM patient coordinates (LPS, mm), with its slices in
            the order of increasing position along the normal, as ITK orders those of an image series.

        Raises
        ------
        RuntimeError
            If segments overlap or the frames do not lie on a regular grid.
        """
        volume = hd.seg.Segmentation.from_dataset(dataset, copy=False).get_volume(
            combine_segments=True, rtol=SLICE_POSITION_TOLERANCE
        )
        # Volume axes are (slice, row, column). The slice normal, PS3.3 C.7.6.2.1.1: along a row × down a column.
        down_slices, down_rows, along_columns = volume.direction.T
        if np.dot(np.cross(along_columns, down_rows), down_slices) < 0:
            volume = volume.flip_spatial(0)

        image = sitk.GetImageFromArray(volume.array)
        image.SetOrigin(volume.position)
        image.SetSpacing(volume.spacing[::-1])
        image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
        return MultiClassResult(image)
