from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import Segmentation
from pet_studies import balls, by_volume, coronal_grid, file_bytes, make_lesions, make_study, oblique_grid, reread
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from synthetic_dicom import axial_grid

from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.dicom.segmentation import SegType, build_segmentation
from petlesion.errors import UsageError
from petlesion.lesions import Lesions
from petlesion.masks import read_mask
from petlesion.report import Review
from petlesion.study import PetCt
from petlesion.volume import Grid

GRID = axial_grid((12, 9, 8))
TWO_BALLS = (((3.0, 4.0, 3.0), 2.6), ((9.0, 6.0, 2.0), 1.5))
STUDY = make_study(GRID)
LABELS = balls(GRID, *TWO_BALLS)


def seg(labels: np.ndarray = LABELS, study: PetCt = STUDY, seg_type: SegType = SegType.BINARY) -> Dataset:
    """A segmentation object, parsed, so that tests may change anything in it."""
    return reread(build_segmentation(study, *make_lesions(study, labels), seg_type))


def read(dataset: Dataset, folder: Path, study: PetCt = STUDY, names: tuple[str, ...] = ()) -> Lesions:
    path = folder / "seg.dcm"
    path.write_bytes(file_bytes(dataset))
    return read_mask(path, study, names)


def position(frame: Dataset) -> list[float]:
    return [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient]


@pytest.mark.parametrize("seg_type", SegType)
@pytest.mark.parametrize(
    "grid", [GRID, oblique_grid((12, 9, 8)), coronal_grid((12, 9, 8)), axial_grid((12, 31, 34)), axial_grid((12, 7, 7))]
)
def test_own_objects_come_back(grid: Grid, seg_type: SegType, tmp_path: Path) -> None:
    study, labels = make_study(grid), balls(grid, *TWO_BALLS)
    lesions = read(seg(labels, study, seg_type), tmp_path, study)
    np.testing.assert_array_equal(lesions.labels, labels)
    assert lesions.warnings == ()
    assert lesions.method.parameters["regions"] == "Lesion 1, Lesion 2"


def test_frames_in_any_order_and_a_little_off(tmp_path: Path) -> None:
    dataset = seg()
    frames, pixels = list(dataset.PerFrameFunctionalGroupsSequence), dataset.pixel_array
    order = np.random.default_rng(0).permutation(len(frames))
    dataset.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    dataset.PixelData = np.packbits(pixels[order].ravel(), bitorder="little").tobytes()
    for frame in frames:
        frame.PlanePositionSequence[0].ImagePositionPatient = [value + 0.05 for value in position(frame)]
    np.testing.assert_array_equal(read(dataset, tmp_path).labels, LABELS)


def test_empty_frames_are_no_matter(tmp_path: Path) -> None:
    headers = list(STUDY.source.pet_headers)
    for header in headers:
        header.AccessionNumber = header.StudyID = ""
    with_empty_frames = Segmentation(
        headers, LABELS, "BINARY", list(seg().SegmentSequence), "1.2", 1, "1.3", 1, "m", "m", "1", "1",
        omit_empty_frames=False,
    )  # fmt: skip
    assert with_empty_frames.NumberOfFrames == 24
    np.testing.assert_array_equal(read(with_empty_frames, tmp_path).labels, LABELS)


@pytest.mark.parametrize(
    "other",
    [
        Grid.from_geometry((12, 9, 8), (3, 4, 5), (23, 52, -67), np.eye(3)[:, ::-1] * -1),
        Grid.from_geometry((8, 12, 9), (5, 3, 4), (-12, 52, -100), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])),
        axial_grid((10, 7, 6)),
        axial_grid((20, 20, 20)),
    ],
    ids=["all axes reversed", "sagittal frames", "smaller field of view", "larger field of view"],
)
def test_same_voxels_in_other_arrangements(other: Grid, tmp_path: Path) -> None:
    """The same voxels of the PET, stored along other axes, backwards, or in a smaller or larger field."""
    index = np.rint(GRID.to_index(other.to_world(np.moveaxis(np.indices(other.shape), 0, -1)))).astype(int)
    inside = np.all((index >= 0) & (index < GRID.shape), axis=-1)
    rearranged = np.zeros(other.shape, dtype=np.uint16)
    rearranged[inside] = LABELS[tuple(index[inside].T)]
    expected = np.zeros(GRID.shape, dtype=np.uint16)
    expected[tuple(index[inside].T)] = rearranged[inside]
    lesions = read(seg(rearranged, make_study(other, name="other")), tmp_path)
    np.testing.assert_array_equal(lesions.labels, by_volume(expected))


def test_finer_grid_is_sampled_at_pet_voxel_centres(tmp_path: Path) -> None:
    fine = Grid.from_geometry((36, 36, 40), (1, 1, 1), (-12.3, 19.7, -100.4))
    center, radius = np.array(GRID.to_world((5, 4, 4))), 8.0
    ball = np.linalg.norm(fine.to_world(np.moveaxis(np.indices(fine.shape), 0, -1)) - center, axis=-1) <= radius
    lesions = read(seg(ball, make_study(fine, name="ct")), tmp_path)
    distance = np.linalg.norm(GRID.to_world(np.moveaxis(np.indices(GRID.shape), 0, -1)) - center, axis=-1)
    assert np.all(lesions.labels[distance < radius - 1] == 1)
    assert not np.any(lesions.labels[distance > radius + 1])


@pytest.mark.parametrize("thickness", [5.0, 3.0, 1.0, None])
def test_slices_may_be_thinner_than_they_lie_apart(thickness: float | None, tmp_path: Path) -> None:
    other = Grid.from_geometry((8, 36, 40), (5, 1, 1), (-12.3, 19.7, -100.4))
    mask = np.zeros(other.shape, dtype=np.uint16)
    mask[1:6, 8:24, 8:24] = 1
    dataset = seg(mask, make_study(other, name="other"))
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = thickness
    del measures.SpacingBetweenSlices
    if thickness is None:
        del measures.SliceThickness
    lesions = read(dataset, tmp_path)
    slices = np.flatnonzero(lesions.labels.any(axis=(1, 2)))
    assert slices.tolist() == list(range(slices[0], slices[-1] + 1))
    assert len(slices) * GRID.spacing_mm[0] == pytest.approx(25.0, abs=GRID.spacing_mm[0])


def test_slices_as_thick_as_those_of_the_pet_may_lie_farther_apart(tmp_path: Path) -> None:
    """By less than a tenth of a slice; a slice of the PET is midway between the second and the third."""
    other = axial_grid((4, 9, 8), (3.24, 4.0, 5.0))
    other = Grid.from_geometry(other.shape, other.spacing_mm, (-12.0, 20.0, -91.0 - 1.5 * 3.24))
    dataset = seg(np.ones(other.shape, dtype=np.uint16), make_study(other, name="other"))
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = GRID.spacing_mm[0]
    del measures.SpacingBetweenSlices
    assert np.flatnonzero(read(dataset, tmp_path).labels.any(axis=(1, 2))).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("start_mm", [-999.6, -99.6, 600.4])
def test_slices_of_the_pet_midway_between_two_frames_are_not_lost(start_mm: float, tmp_path: Path) -> None:
    pet = Grid.from_geometry((16, 5, 5), (2.027, 4.0, 4.0), (-8.0, -8.0, start_mm))
    other = Grid.from_geometry((6, 5, 5), (4.054, 4.0, 4.0), (-8.0, -8.0, start_mm + 4.054))
    dataset = seg(np.ones(other.shape, dtype=np.uint16), make_study(other, name="other"))
    slices = np.flatnonzero(read(dataset, tmp_path, make_study(pet)).labels.any(axis=(1, 2)))
    assert slices.tolist() == list(range(1, 13))


@pytest.mark.parametrize("spacing_mm", [(3.0, 4.0, 5.0), (2.027, 4.073, 4.073)])
def test_half_a_voxel_off_no_voxel_is_lost_or_doubled(spacing_mm: tuple[float, float, float], tmp_path: Path) -> None:
    pet = Grid.from_geometry((12, 9, 8), spacing_mm, (-12.3, 20.7, -999.6))
    x, y, z = pet.to_world((0.5, 0.5, 0.5))
    other = Grid.from_geometry(pet.shape, spacing_mm, (x, y, z))
    diagonal = np.arange(1, 7)
    labels = np.zeros(pet.shape, dtype=np.uint16)
    labels[diagonal, diagonal, diagonal] = 1
    lesions = read(seg(labels, make_study(other, name="other")), tmp_path, make_study(pet))
    voxels = np.argwhere(lesions.labels)
    np.testing.assert_array_equal(voxels - voxels[0], np.stack([diagonal - 1] * 3, axis=1))


def test_segments_a_micrometre_apart_lie_on_the_same_slices(tmp_path: Path) -> None:
    """As positions of cropped frames of an oblique grid are, by rounding."""
    labels = balls(GRID, ((5.0, 3.0, 2.0), 1.5), ((5.0, 6.0, 6.0), 1.5))
    dataset = seg(labels)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2:
            x, y, z = position(frame)
            frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 0.001]
    np.testing.assert_array_equal(read(dataset, tmp_path).labels, labels)


def test_frames_left_out_between_two_slices_of_the_pet_stay_empty(tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, dtype=np.uint16)
    labels[[3, 5], 4:7, 3:6] = 1
    dataset = seg(labels)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = GRID.spacing_mm[0]
    del measures.SpacingBetweenSlices
    np.testing.assert_array_equal(read(dataset, tmp_path).labels > 0, labels > 0)


def test_fractional_is_cut_at_one_half(tmp_path: Path) -> None:
    share = np.zeros((*GRID.shape, 1))
    share[3, 4:7, 4, 0] = 0.49, 0.51, 1.0
    fractional = Segmentation(
        list(STUDY.source.pet_headers), share, "FRACTIONAL", [seg().SegmentSequence[0]], "1.2", 1, "1.3", 1,
        "m", "m", "1", "1", max_fractional_value=200,
    )  # fmt: skip
    lesions = read(fractional, tmp_path)
    assert np.argwhere(lesions.labels).tolist() == [[3, 5, 4], [3, 6, 4]]


def test_single_frame_with_everything_shared(tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, dtype=np.uint16)
    labels[3, 4:6, 4] = 1
    dataset = seg(labels)
    (frame,) = dataset.PerFrameFunctionalGroupsSequence
    dataset.SharedFunctionalGroupsSequence[0].PlanePositionSequence = frame.PlanePositionSequence
    del dataset.PerFrameFunctionalGroupsSequence, dataset.NumberOfFrames
    np.testing.assert_array_equal(read(dataset, tmp_path).labels, labels)


def test_position_follows_from_the_source_image(tmp_path: Path) -> None:
    dataset = seg()
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    np.testing.assert_array_equal(read(dataset, tmp_path).labels, LABELS)


def test_overlap_goes_to_the_smaller_segment(tmp_path: Path) -> None:
    large, small = balls(GRID, ((5, 4, 4), 3.2)), balls(GRID, ((5, 4, 4), 1.2))
    overlapping = np.stack([large, small], axis=-1).astype(np.uint8)
    dataset = Segmentation(
        list(STUDY.source.pet_headers), overlapping, "BINARY", list(seg().SegmentSequence), "1.2", 1, "1.3", 1,
        "m", "m", "1", "1",
    )  # fmt: skip
    lesions = read(dataset, tmp_path)
    np.testing.assert_array_equal(lesions.labels, np.where(small, 2, large))
    assert lesions.warnings == (f"regions overlap in {small.sum()} voxels; the smaller region keeps them",)


@pytest.mark.parametrize("review", [Review.CANDIDATES, Review.FILTERED, Review.REVIEWED])
def test_what_an_algorithm_alone_made_stays_candidates(review: Review, tmp_path: Path) -> None:
    lesions, report = make_lesions(STUDY, LABELS, review=review)
    for build in (build_segmentation, build_rtstruct):
        read_back = read(reread(build(STUDY, lesions, report)), tmp_path)
        assert read_back.review is (Review.REVIEWED if review is Review.REVIEWED else Review.CANDIDATES)


def test_segments_are_chosen_by_label(tmp_path: Path) -> None:
    lesions = read(seg(), tmp_path, names=("Lesion 2",))
    np.testing.assert_array_equal(lesions.labels, LABELS == 2)
    with pytest.raises(UsageError, match=r"no region is named 'Tumour'.*choose among Lesion 1, Lesion 2"):
        read(seg(), tmp_path, names=("Tumour",))


def test_a_single_untracked_segment_is_split_into_its_parts(tmp_path: Path) -> None:
    dataset = seg(LABELS > 0)
    assert read(dataset, tmp_path).count == 1
    del dataset.SegmentSequence[0].TrackingUID
    np.testing.assert_array_equal(read(dataset, tmp_path).labels, LABELS)


def test_invented_frame_of_reference_is_tolerated_on_the_same_pet(tmp_path: Path) -> None:
    dataset = seg()
    dataset.FrameOfReferenceUID = "1.2.3"
    lesions = read(dataset, tmp_path)
    np.testing.assert_array_equal(lesions.labels, LABELS)
    assert lesions.warnings == (
        "FrameOfReferenceUID 1.2.3 differs from the PET's; used, as the mask refers to the PET series",
    )
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.4"
    with pytest.raises(UsageError, match=r"mask has FrameOfReferenceUID 1\.2\.3, the PET 2\.25"):
        read(dataset, tmp_path)


def test_pet_without_headers_takes_coordinates_as_they_are(tmp_path: Path) -> None:
    lesions = read(seg(), tmp_path, replace(STUDY, source=None))
    np.testing.assert_array_equal(lesions.labels, LABELS)
    assert "no frame of reference" in lesions.warnings[0]


def test_segments_outside_the_pet(tmp_path: Path) -> None:
    def move(dataset: Dataset, segments: tuple[int, ...]) -> Dataset:
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber in segments:
                x, y, z = position(frame)
                frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 500]
        return dataset

    lesions = read(move(seg(), (2,)), tmp_path)
    np.testing.assert_array_equal(lesions.labels, np.where(LABELS == 1, 1, 0))
    assert lesions.warnings == ("region 'Lesion 2' has no voxel on the PET; left out",)
    with pytest.raises(UsageError, match="none of the 2 regions of the mask has a voxel on the PET"):
        read(move(seg(), (1, 2)), tmp_path)


def test_empty_segmentation_means_no_lesion(tmp_path: Path) -> None:
    dataset = seg()
    dataset.PixelData = bytes(len(dataset.PixelData))
    lesions = read(dataset, tmp_path)
    assert lesions.count == 0
    assert lesions.warnings == ("the segmentation is empty",)


def huge(dataset: Dataset) -> None:
    dataset.Rows = dataset.Columns = 65535


def compressed_and_huge(dataset: Dataset) -> None:
    huge(dataset)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
    dataset["PixelData"].is_undefined_length = True


def many_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 10**9
    del dataset.PerFrameFunctionalGroupsSequence


def truncated(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:10]


def no_spacing(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def zero_spacing(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 4]


def skewed(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def mixed(dataset: Dataset) -> None:
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    frame.PlaneOrientationSequence = [Dataset()]
    frame.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, 1]


def nowhere(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = []
    dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = []


def infinite(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = ["inf", "0", "0"]


def no_segments(dataset: Dataset) -> None:
    del dataset.SegmentSequence


def no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (huge, "Rows is 65535"),
        (compressed_and_huge, "Rows is 65535"),
        (many_frames, "none of its 1000000000 frames has a position"),
        (truncated, "PixelData has 10 bytes where"),
        (no_spacing, "PixelSpacing of a frame is"),
        (zero_spacing, r"PixelSpacing \[0"),
        (skewed, "ImageOrientationPatient is"),
        (mixed, "differ in orientation"),
        (nowhere, r"ImagePositionPatient of a frame is \[\]"),
        (infinite, "ImagePositionPatient of a frame is"),
        (no_segments, "describes no segment"),
        (no_pixels, "no PixelData"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_damaged_objects_are_refused(damage: Callable[[Dataset], None], what: str, tmp_path: Path) -> None:
    dataset = seg()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    damage(dataset)
    with pytest.raises(UsageError, match=rf"mask cannot be read \(.*{what}.*in seg.dcm; give a DICOM SEG"):
        read(dataset, tmp_path)
