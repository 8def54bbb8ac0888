"""MONAI Label's own conversions between DICOM SEG and label images, with compat/pydicom_seg in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (12, 20, 24)
SPACING = (2.0, 2.5, 3.27)
"""Along columns, rows and slices, mm."""
ORIGIN = np.array([-40.0, 25.0, -300.0])
ANGLE = np.deg2rad(12)
DIRECTION = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
"""Tilted about x, as by a gantry: no axis but the first is a coordinate axis."""
TABLE_JITTER = 0.08
"""Largest step error of the whole-body PET in the shared data, mm."""


@pytest.fixture(scope="session")
def convert() -> Iterator[ModuleType]:
    """MONAI Label's module of conversions; the core can be developed without the server."""
    pytest.importorskip("monailabel", reason="the annotation server is not installed here: run `make test`")
    from monailabel.datastore.utils import convert

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield convert


def write_series(folder: Path, jitter: float = 0.0) -> list[Dataset]:
    """Write a small CT series, every other slice shifted by `jitter` mm along the normal."""
    study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    written = []
    for z in range(SHAPE[0]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.FrameOfReferenceUID, image.PositionReferenceIndicator = frame_of_reference, ""
        image.PatientID, image.PatientName, image.PatientBirthDate, image.PatientSex = "P1", "A^B", "19600101", "F"
        image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240101", "100000", "1", ""
        image.ReferringPhysicianName, image.Manufacturer, image.Modality = "", "", "CT"
        image.SeriesNumber, image.InstanceNumber, image.ImageType = 2, z + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImageOrientationPatient = [f"{value:.10g}" for value in DIRECTION.T[:2].ravel()]
        position = ORIGIN + DIRECTION[:, 2] * (z * SPACING[2] + jitter * (z % 2))
        image.ImagePositionPatient = [f"{value:.10g}" for value in position]
        image.PixelSpacing, image.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = *SHAPE[1:], 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleSlope, image.RescaleIntercept = 1, 0
        image.PixelData = np.full(SHAPE[1:], z, np.int16).tobytes()
        image.save_as(folder / f"{z:03}.dcm", enforce_file_format=True)
        written.append(image)
    return written


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    folder.mkdir()
    write_series(folder)
    return folder


def labels() -> np.ndarray:
    """Two lesions of label 2, with empty slices between them, and one of label 5: (z, y, x)."""
    array = np.zeros(SHAPE, np.uint8)
    array[3:5, 4:9, 10:15] = 2
    array[9, 2:4, 3] = 2
    array[6:8, 12:19, 1:6] = 5
    return array


def as_image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(ORIGIN)
    image.SetSpacing(SPACING)
    image.SetDirection(DIRECTION.ravel())
    return image


def read_on_original_grid(convert: ModuleType, seg: str | Path) -> np.ndarray:
    """Read a DICOM SEG as MONAI Label does and bring it, by its world coordinates, onto the grid of the series."""
    image = sitk.ReadImage(convert.dicom_to_nifti(str(seg), is_seg=True))
    return sitk.GetArrayFromImage(sitk.Resample(image, as_image(labels()), sitk.Transform(), sitk.sitkNearestNeighbor))


INFO = [{"name": "tumour", "color": [200, 20, 30]}, {"name": "bladder", "color": [10, 200, 30]}]


@pytest.mark.parametrize("use_dcmqi", [True, False], ids=["dcmqi", "highdicom"])
def test_label_comes_back_at_the_same_place(convert: ModuleType, series: Path, tmp_path: Path, use_dcmqi: bool) -> None:
    nifti = tmp_path / "label.nii.gz"
    sitk.WriteImage(as_image(labels()), nifti)

    written = convert.nifti_to_dicom_seg(str(series), str(nifti), INFO, use_itk=use_dcmqi)

    expected = np.select([labels() == 2, labels() == 5], [1, 2])
    np.testing.assert_array_equal(read_on_original_grid(convert, written), expected)
    seg, source = pydicom.dcmread(written), pydicom.dcmread(series / "000.dcm")
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["tumour", "bladder"]
    red = hd.color.CIELabColor.from_dicom_value(seg.SegmentSequence[0].RecommendedDisplayCIELabValue).to_rgb()
    assert red == pytest.approx((200, 20, 30), abs=3)


def segmentation(images: list[Dataset], array: np.ndarray, **options: object) -> hd.seg.Segmentation:
    """Make a DICOM SEG with highdicom, its frames on the slices of the series."""
    code = hd.sr.CodedConcept("108369006", "SCT", "Neoplasm")
    n_segments = array.shape[-1] if array.ndim == 4 else int(array.max())
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=array,
        segment_descriptions=[
            hd.seg.SegmentDescription(i, f"lesion {i}", code, code, "MANUAL") for i in range(1, n_segments + 1)
        ],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **{"segmentation_type": "BINARY", **options},
    )


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_uneven_table_steps_keep_every_frame_on_its_slice(convert: ModuleType, tmp_path: Path, kind: str) -> None:
    images = write_series(tmp_path, jitter=TABLE_JITTER)
    expected = np.select([labels() == 2, labels() == 5], [1, 2]).astype(np.uint8)
    seg = tmp_path / "seg.dcm"
    segmentation(images, expected, segmentation_type=kind).save_as(seg)

    np.testing.assert_array_equal(read_on_original_grid(convert, seg), expected)


def test_single_slice(convert: ModuleType, tmp_path: Path) -> None:
    images = write_series(tmp_path)
    expected = np.where(np.arange(SHAPE[0])[:, None, None] == 4, labels() == 2, 0).astype(np.uint8)
    seg = tmp_path / "seg.dcm"
    segmentation(images, expected).save_as(seg)

    np.testing.assert_array_equal(read_on_original_grid(convert, seg), expected)


def test_overlapping_segments_are_refused(convert: ModuleType, tmp_path: Path) -> None:
    images = write_series(tmp_path)
    both = np.stack([labels() == 2, labels() > 0], axis=-1).astype(np.uint8)
    seg = tmp_path / "seg.dcm"
    segmentation(images, both).save_as(seg)

    with pytest.raises(RuntimeError, match="overlap"):
        convert.dicom_to_nifti(str(seg), is_seg=True)


def test_real_whole_body_pet(convert: ModuleType, shared_data: Path, tmp_path: Path) -> None:
    """The written label lands on the same voxels of a real series with uneven slice spacing."""
    folder = shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image"
    pet = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    array = np.zeros(pet.GetSize()[::-1], np.uint8)
    array[20:24, 60:70, 50:58] = 1
    array[200:210, 40:45, 70:90] = 2
    label = sitk.GetImageFromArray(array)
    label.CopyInformation(pet)
    nifti = tmp_path / "label.nii.gz"
    sitk.WriteImage(label, nifti)

    image = sitk.ReadImage(
        convert.dicom_to_nifti(convert.nifti_to_dicom_seg(str(folder), str(nifti), INFO), is_seg=True)
    )

    back = sitk.GetArrayFromImage(sitk.Resample(image, label, sitk.Transform(), sitk.sitkNearestNeighbor))
    np.testing.assert_array_equal(back, array)


class TestWriter:
    """What the template and the label image must agree on."""

    @staticmethod
    def template(*values: int) -> object:
        from pydicom_seg.template import from_dcmqi_metainfo

        code = {"CodeValue": "108369006", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Neoplasm"}
        return from_dcmqi_metainfo(
            {
                "segmentAttributes": [
                    [
                        {
                            "labelID": value,
                            "SegmentLabel": f"label {value}",
                            "SegmentAlgorithmType": "MANUAL",
                            "SegmentedPropertyCategoryCodeSequence": code,
                            "SegmentedPropertyTypeCodeSequence": code,
                        }
                        for value in values
                    ]
                ]
            }
        )

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("pydicom_seg", reason="compat/pydicom_seg is not installed here: run `make test`")

    @pytest.mark.parametrize(
        ("values", "array", "message"),
        [
            ([1], np.zeros(SHAPE, np.uint8), "is empty"),
            ([2], labels(), r"labels \[5\] of the image are not described"),
            ([2, 3, 5], labels(), r"labels \[3\] of the template are not in the image"),
        ],
        ids=["empty", "undescribed", "absent"],
    )
    def test_disagreement_is_named(self, tmp_path: Path, values: list[int], array: np.ndarray, message: str) -> None:
        from pydicom_seg import MultiClassWriter

        with pytest.raises(ValueError, match=message):
            MultiClassWriter(self.template(*values)).write(as_image(array), write_series(tmp_path))

    def test_absent_segment_can_be_left_out(self, tmp_path: Path) -> None:
        from pydicom_seg import MultiClassReader, MultiClassWriter

        writer = MultiClassWriter(self.template(2, 3, 5), skip_missing_segment=True)
        seg = writer.write(as_image(labels()), write_series(tmp_path))

        assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["label 2", "label 5"]
        assert seg.NumberOfFrames == 3 + 2
        assert MultiClassReader().read(seg).image.GetSize() == (24, 20, 7)

    def test_empty_frames_can_be_kept(self, tmp_path: Path) -> None:
        from pydicom_seg import MultiClassReader, MultiClassWriter

        seg = MultiClassWriter(self.template(2, 5), skip_empty_slices=False).write(
            as_image(labels()), write_series(tmp_path)
        )

        image = MultiClassReader().read(seg).image
        assert image.GetSize() == SHAPE[::-1]
        np.testing.assert_allclose(image.GetOrigin(), ORIGIN)
        np.testing.assert_allclose(image.GetDirection(), DIRECTION.ravel(), atol=1e-9)

    def test_cropping_is_refused(self) -> None:
        from pydicom_seg import MultiClassWriter

        with pytest.raises(ValueError, match="inplane_cropping"):
            MultiClassWriter(self.template(1), inplane_cropping=True)
