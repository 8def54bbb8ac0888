from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pet_studies import balls, file_bytes, make_lesions, make_study, oblique_grid, real_study, reread
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds
from synthetic_dicom import axial_grid

from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.errors import UsageError
from petlesion.lesions import Lesions
from petlesion.masks import read_mask
from petlesion.study import PetCt
from petlesion.volume import Grid

GRID = axial_grid((12, 9, 8))
STUDY = make_study(GRID)
TWO_BALLS = balls(GRID, ((3, 4, 3), 2.6), ((9, 6, 2), 1.5))


def structures(labels: np.ndarray = TWO_BALLS, study: PetCt = STUDY) -> Dataset:
    """A structure set, parsed, so that tests may change anything in it."""
    return reread(build_rtstruct(study, *make_lesions(study, labels)))


def read(dataset: Dataset, folder: Path, study: PetCt = STUDY, names: tuple[str, ...] = ()) -> Lesions:
    path = folder / "rtstruct.dcm"
    path.write_bytes(file_bytes(dataset))
    return read_mask(path, study, names)


def contour(points: list[tuple[float, float, float]], kind: str = "CLOSED_PLANAR") -> Dataset:
    """Contour through LPS points (x, y, z), mm."""
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [format_number_as_ds(float(value)) for point in points for value in point]
    return item


def rectangle(grid: Grid, z: float, rows: tuple[float, float], columns: tuple[float, float]) -> Dataset:
    """Closed contour around a rectangle of pixel centres, at any height between the slices."""
    (a, b), (c, d) = rows, columns
    index = [(z, a - 0.4, c - 0.4), (z, a - 0.4, d + 0.4), (z, b + 0.4, d + 0.4), (z, b + 0.4, c - 0.4)]
    return contour([tuple(point) for point in grid.to_world(index)])


def drawn(contours: list[Dataset], *, on_pet: bool) -> Dataset:
    """Structure set with one ROI of these contours."""
    dataset = structures(np.where(TWO_BALLS == 1, 1, 0))
    dataset.ROIContourSequence[0].ContourSequence = contours
    if not on_pet:
        reference = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        reference.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    return dataset


def slices(lesions: Lesions) -> list[int]:
    return np.flatnonzero(lesions.labels.any(axis=(1, 2))).tolist()


@pytest.mark.parametrize("patient", ["STS_002", "STS_010", "STS_024"])
def test_contours_of_a_planning_system_equal_the_reference_masks(patient: str, shared_data: Path) -> None:
    """Masks of the IBSI validation data set were rasterised from these contours by others."""
    study = real_study(shared_data / "sts_dicom" / patient / "PET/image")
    reference = read_mask(shared_data / "sts" / patient / "gtv.nii.gz", study)
    on_pet = read_mask(shared_data / "sts_dicom" / patient / "PET/mask/RS.dcm", study)
    np.testing.assert_array_equal(on_pet.labels, reference.labels)
    assert on_pet.warnings == ()
    on_ct = read_mask(shared_data / "sts_dicom" / patient / "CT/mask/RS.dcm", study)
    both = np.count_nonzero(on_ct.labels & reference.labels)
    dice = 2 * both / (np.count_nonzero(on_ct.labels) + np.count_nonzero(reference.labels))
    assert dice > 0.99


def test_structures_of_an_unprocessed_study(shared_data: Path) -> None:
    """SUVmax of GTV_Mass is 7.9 to 8.0 by other software (data set's notes); it lies inside GTV_Edema."""
    study = real_study(shared_data / "sts_raw/STS_001/FDG_PET/image")
    path = shared_data / "sts_raw/STS_001/FDG_PET/mask/1-1.dcm"
    mass = read_mask(path, study, ["GTV_Mass"])
    assert 7.85 < study.pet.array[mass.labels == 1].max() < 8.05
    both = read_mask(path, study)
    assert both.method.parameters["regions"] == "GTV_Mass, GTV_Edema"
    assert np.count_nonzero(both.labels == 1) == np.count_nonzero(mass.labels)
    assert any("overlap" in warning for warning in both.warnings)


@pytest.mark.parametrize("case", ["0_0", "5_0"])
def test_contours_of_the_digital_reference_object(case: str, shared_data: Path) -> None:
    study = real_study(shared_data / f"suv_dro/DRO_{case}")
    lesions = read_mask(shared_data / f"suv_dro/DRO_{case}/RS/RS_dro_{case}.dcm", study)
    inside = study.pet.array[lesions.labels == 1]
    assert [round(float(value), 2) for value in (inside.min(), np.median(inside), inside.max())] == [0.2, 1.0, 4.0]


def test_contours_on_the_pet_stand_for_their_slice(tmp_path: Path) -> None:
    lesions = read(drawn([rectangle(GRID, z, (3, 5), (2, 4)) for z in (2, 3, 6)], on_pet=True), tmp_path)
    assert slices(lesions) == [2, 3, 6]
    assert np.count_nonzero(lesions.labels) == 27


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([3.3, 4.3, 5.3], [3, 4, 5]),
        ([3.45, 4.45, 5.45], [3, 4, 5]),
        ([2.9, 3.1, 3.3, 3.5, 3.7, 3.9, 4.1], [3, 4]),
        ([3.0, 5.0, 7.0], [2, 3, 4, 5, 6, 7, 8]),
        ([2.0, 3.0, 8.0, 9.0], [2, 3, 8, 9]),
        ([4.4], [4]),
    ],
    ids=["shifted", "half-way", "finer", "coarser", "gap", "single"],
)
def test_contours_on_a_ct_stand_for_slabs(heights: list[float], expected: list[int], tmp_path: Path) -> None:
    lesions = read(drawn([rectangle(GRID, z, (3, 5), (2, 4)) for z in heights], on_pet=False), tmp_path)
    assert slices(lesions) == expected


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(2, 2), (2, 6), (7, 6), (7, 2)], lambda y, x: (y >= 2) & (y <= 7) & (x >= 2) & (x <= 6)),
        ([(1, 4), (4, 7), (7, 4), (4, 1)], lambda y, x: abs(y - 4) + abs(x - 4) <= 3),
    ],
)
def test_pixels_on_a_contour_belong_to_it(
    corners: list[tuple[int, int]], expected: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    """As rt-utils draws: through the centres of the outermost pixels; here along the axes, and across."""
    for start in (-412.345, -12.345, 20.678):
        grid = Grid.from_geometry((5, 10, 10), (3.27, 4.07283, 4.07283), (start, start, -999.6))
        item = contour([tuple(point) for point in grid.to_world([(2, *corner) for corner in corners])])
        labels = read(drawn([item], on_pet=True), tmp_path, make_study(grid)).labels
        np.testing.assert_array_equal(labels[2] > 0, expected(*np.mgrid[:10, :10]))


def test_contours_almost_on_one_plane_are_on_one_plane(tmp_path: Path) -> None:
    contours = [rectangle(GRID, 3.0, (3, 5), (1, 2)), rectangle(GRID, 3.05, (3, 5), (5, 6))]
    lesions = read(drawn(contours, on_pet=False), tmp_path)
    assert slices(lesions) == [3]
    assert np.count_nonzero(lesions.labels) == 12


def test_coarser_contours_change_over_half_way(tmp_path: Path) -> None:
    small, large = rectangle(GRID, 3.0, (4, 4), (3, 3)), rectangle(GRID, 6.0, (2, 6), (1, 5))
    lesions = read(drawn([small, large], on_pet=False), tmp_path)
    assert [int(n) for n in np.count_nonzero(lesions.labels, axis=(1, 2))[2:8]] == [1, 1, 1, 25, 25, 25]


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_inner_contours_are_holes(kind: str, tmp_path: Path) -> None:
    contours = [rectangle(GRID, 3, (1, 7), (1, 6)), rectangle(GRID, 3, (3, 5), (3, 4))]
    for item in contours:
        item.ContourGeometricType = kind
    lesions = read(drawn(contours, on_pet=True), tmp_path)
    assert np.count_nonzero(lesions.labels) == 42 - 6
    assert lesions.labels[3, 4, 3] == 0
    assert lesions.warnings == ()


def test_oblique_pet(tmp_path: Path) -> None:
    grid = oblique_grid((12, 9, 8))
    study = make_study(grid)
    dataset = structures(TWO_BALLS, study)
    dataset.ROIContourSequence[0].ContourSequence = [rectangle(grid, 4, (3, 5), (2, 4))]
    lesions = read(dataset, tmp_path, study, ("Lesion 1",))
    assert np.argwhere(lesions.labels).min(axis=0).tolist() == [4, 3, 2]
    assert np.argwhere(lesions.labels).max(axis=0).tolist() == [4, 5, 4]


def test_points_and_open_lines_are_left_out(tmp_path: Path) -> None:
    corner = GRID.to_world([(3, 1, 1), (3, 2, 1), (3, 2, 2)]).tolist()
    contours = [
        rectangle(GRID, 3, (3, 5), (2, 4)),
        contour(corner[:1], "POINT"),
        contour(corner, "OPEN_PLANAR"),
        contour(corner[:2]),
    ]
    lesions = read(drawn(contours, on_pet=True), tmp_path)
    assert np.count_nonzero(lesions.labels) == 9
    assert lesions.warnings == ("3 contours of 'Lesion 1' are points or open lines; left out",)


def test_rois_without_contours_are_left_out(tmp_path: Path) -> None:
    dataset = structures()
    del dataset.ROIContourSequence[1].ContourSequence
    lesions = read(dataset, tmp_path)
    np.testing.assert_array_equal(lesions.labels, np.where(TWO_BALLS == 1, 1, 0))
    assert lesions.warnings == ("ROI 'Lesion 2' has no closed contour; left out",)


def test_rois_are_chosen_by_name(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(structures(), tmp_path, names=("Lesion 2",)).labels, TWO_BALLS == 2)
    with pytest.raises(UsageError, match=r"no region is named 'GTV'.*choose among Lesion 1, Lesion 2"):
        read(structures(), tmp_path, names=("GTV",))


def test_small_structures_between_slices_are_reported(tmp_path: Path) -> None:
    nodule = contour([tuple(point) for point in GRID.to_world([(3, 3.2, 3.2), (3, 3.2, 3.8), (3, 3.8, 3.8)])])
    with pytest.raises(UsageError, match="none of the 1 regions of the mask has a voxel on the PET"):
        read(drawn([nodule], on_pet=True), tmp_path)


def test_part_outside_the_pet_is_reported(tmp_path: Path) -> None:
    lesions = read(drawn([rectangle(GRID, z, (3, 5), (2, 4)) for z in range(8, 20)], on_pet=True), tmp_path)
    assert slices(lesions) == [8, 9, 10, 11]
    assert len(lesions.warnings) == 1
    assert "mL in the file and 2.16 mL on the PET grid" in lesions.warnings[0]


def no_rois(dataset: Dataset) -> None:
    del dataset.StructureSetROISequence


def no_contours(dataset: Dataset) -> None:
    del dataset.ROIContourSequence


def not_triplets(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1"] * 10


def no_numbers(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["nan"] * 9


def letters(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence[0]["ContourData"].VR = "LT"
    dataset.ROIContourSequence[0].ContourSequence[0]["ContourData"]._value = "\\".join("abcdefghi")


def sagittal(dataset: Dataset) -> None:
    points = GRID.to_world([(2, 3, 3), (6, 3, 3), (6, 6, 3), (2, 6, 3)])
    dataset.ROIContourSequence[0].ContourSequence[0] = contour([tuple(point) for point in points])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (no_rois, "describes no ROI"),
        (no_contours, "no closed contour in 'Lesion 1', 'Lesion 2'"),
        (not_triplets, "has 10 coordinates, not triplets"),
        (no_numbers, "not triplets of numbers"),
        (letters, "could not convert string to float"),
        (sagittal, "leaves the plane of the PET slices by 12.0 mm"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_damaged_structure_sets_are_refused(damage: Callable[[Dataset], None], what: str, tmp_path: Path) -> None:
    dataset = structures()
    damage(dataset)
    with pytest.raises(UsageError, match=rf"mask cannot be read \(.*{what}.*in rtstruct.dcm; give a DICOM SEG"):
        read(dataset, tmp_path)


def test_other_frame_of_reference_is_refused(tmp_path: Path) -> None:
    dataset = drawn([rectangle(GRID, 3, (3, 5), (2, 4))], on_pet=False)
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    with pytest.raises(UsageError, match=r"mask has FrameOfReferenceUID 1\.2\.3"):
        read(dataset, tmp_path)


def test_frame_of_reference_of_other_rois_does_not_matter(tmp_path: Path) -> None:
    dataset = structures()
    dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"
    reference = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    reference.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.4"
    assert read(dataset, tmp_path, names=("Lesion 1",)).count == 1
