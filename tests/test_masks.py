from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pet_studies import balls, by_volume, file_bytes, make_lesions, make_study, oblique_grid
from synthetic_dicom import axial_grid, pet_header, save

from petlesion import __version__
from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.dicom.segmentation import build_segmentation
from petlesion.errors import PetlesionError, UsageError
from petlesion.masks import read_mask
from petlesion.nifti import write_labels
from petlesion.report import Review
from petlesion.volume import Grid

GRID = axial_grid((12, 9, 8))
STUDY = make_study(GRID)
TWO_BALLS = balls(GRID, ((3, 4, 3), 2.6), ((9, 6, 2), 1.5))


def nifti(labels: np.ndarray, folder: Path, grid: Grid = GRID, name: str = "mask.nii.gz") -> Path:
    write_labels(labels, grid, folder / name)
    return folder / name


def test_each_value_is_a_lesion(tmp_path: Path) -> None:
    labels = np.select([TWO_BALLS == 1, TWO_BALLS == 2], [40, 7], 0).astype(np.int16)
    lesions = read_mask(nifti(labels, tmp_path), STUDY)
    np.testing.assert_array_equal(lesions.labels, TWO_BALLS)
    assert lesions.review is Review.REVIEWED
    assert (lesions.method.name, lesions.method.version) == ("mask", __version__)
    assert lesions.method.parameters == {"file": "mask.nii.gz", "kind": "NIfTI", "regions": "40, 7"}


def test_a_single_value_is_split_into_parts_that_do_not_touch(tmp_path: Path) -> None:
    for second, count in (((1, 2, 2), 1), ((2, 2, 2), 2)):  # at an edge; at a corner, as thresholds and metrics count
        touching = np.zeros(GRID.shape, dtype=np.uint8)
        touching[1, 1, 1] = touching[second] = 1
        assert read_mask(nifti(touching, tmp_path), STUDY).count == count
    np.testing.assert_array_equal(read_mask(nifti((TWO_BALLS > 0).astype(np.uint8), tmp_path), STUDY).labels, TWO_BALLS)


def test_a_single_value_that_is_known_to_be_one_lesion_stays_whole(tmp_path: Path) -> None:
    path = nifti((TWO_BALLS > 0).astype(np.uint8), tmp_path)
    np.testing.assert_array_equal(read_mask(path, STUDY, instances=True).labels, TWO_BALLS > 0)


def test_values_are_chosen_by_name(tmp_path: Path) -> None:
    path = nifti(TWO_BALLS, tmp_path)
    np.testing.assert_array_equal(read_mask(path, STUDY, ["2"]).labels, TWO_BALLS == 2)
    with pytest.raises(UsageError, match=r"no region is named '3' in mask.nii.gz; choose among 1, 2"):
        read_mask(path, STUDY, ["3"])


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR", "AIL"])
def test_orientation_of_the_file_does_not_matter(orientation: str, tmp_path: Path) -> None:
    image = nib.load(nifti(TWO_BALLS.astype(np.uint8), tmp_path))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(orientation))
    image.as_reoriented(turn).to_filename(tmp_path / "turned.nii")
    np.testing.assert_array_equal(read_mask(tmp_path / "turned.nii", STUDY).labels, TWO_BALLS)


def test_other_grid_is_sampled_at_pet_voxel_centres(tmp_path: Path) -> None:
    grid = oblique_grid((8, 9, 10))
    study = make_study(grid)
    fine = Grid.from_geometry((90, 90, 90), (1, 1, 1), grid.to_world((4, 4, 4)) - 45)
    center, radius = grid.to_world((4, 4, 4)), 9.0
    ball = np.linalg.norm(fine.to_world(np.moveaxis(np.indices(fine.shape), 0, -1)) - center, axis=-1) <= radius
    lesions = read_mask(nifti(ball.astype(np.uint8), tmp_path, fine), study)
    distance = np.linalg.norm(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - center, axis=-1)
    assert np.all(lesions.labels[distance < radius - 1] == 1)
    assert not np.any(lesions.labels[distance > radius + 1])


def test_part_outside_the_pet_is_told(tmp_path: Path) -> None:
    longer = axial_grid((40, 9, 8))
    labels = np.zeros(longer.shape, dtype=np.uint8)
    labels[8:30, 2:6, 2:6] = 1
    lesions = read_mask(nifti(labels, tmp_path, longer), STUDY)
    assert np.count_nonzero(lesions.labels) == 4 * 16
    assert lesions.warnings == ("region '1' has 21.12 mL in the file and 3.84 mL on the PET grid",)


def test_mask_elsewhere_is_refused(tmp_path: Path) -> None:
    elsewhere = Grid.from_geometry(GRID.shape, GRID.spacing_mm, (500, 500, 500))
    with pytest.raises(UsageError, match="none of the 2 regions of the mask has a voxel on the PET"):
        read_mask(nifti(TWO_BALLS, tmp_path, elsewhere), STUDY)


def test_empty_mask_means_no_lesion(tmp_path: Path) -> None:
    lesions = read_mask(nifti(np.zeros(GRID.shape, dtype=np.uint8), tmp_path), STUDY)
    assert lesions.count == 0
    assert "regions" not in lesions.method.parameters


def test_numbers_follow_volume(tmp_path: Path) -> None:
    labels = balls(GRID, ((2, 2, 2), 1.0), ((8, 5, 4), 2.4), ((3, 7, 6), 1.5))
    np.testing.assert_array_equal(read_mask(nifti(labels, tmp_path), STUDY).labels, by_volume(labels))


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(file_bytes(build_segmentation(STUDY, *make_lesions(STUDY, TWO_BALLS))))
    lesions = read_mask(path, STUDY)
    assert lesions.method.parameters["kind"] == "SEG"
    np.testing.assert_array_equal(lesions.labels, TWO_BALLS)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mask .*nothing.dcm does not exist; give a DICOM SEG"):
        read_mask(tmp_path / "nothing.dcm", STUDY)


def test_an_image_is_no_mask(tmp_path: Path) -> None:
    header = pet_header()
    header.SOPInstanceUID = "1.2.3"
    save(header, tmp_path / "pet.dcm")
    with pytest.raises(UsageError, match=r"DICOM object, Positron Emission Tomography Image Storage in pet.dcm"):
        read_mask(tmp_path / "pet.dcm", STUDY)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 300, b"\x1f\x8b" + bytes(50)],
    ids=["empty", "text", "DICOM prefix alone", "DICOM prefix and junk", "gzip header"],
)
@pytest.mark.parametrize("name", ["mask.dcm", "mask.nii.gz", "mask.nii"])
@pytest.mark.filterwarnings("ignore")
def test_junk_is_refused_in_one_line(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PetlesionError) as refused:
        read_mask(tmp_path / name, STUDY)
    assert "\n" not in str(refused.value)
    assert name in str(refused.value)


def test_probabilities_are_no_labels(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.full((4, 4, 4), 0.4, dtype=np.float32), np.eye(4))
    image.to_filename(tmp_path / "probability.nii.gz")
    with pytest.raises(PetlesionError, match="not whole numbers"):
        read_mask(tmp_path / "probability.nii.gz", STUDY)


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """Cut, overwritten and shortened files: read where the damage is no matter, else refused; never another error."""
    build = {"SEG": build_segmentation, "RTSTRUCT": build_rtstruct}[kind]
    whole = file_bytes(build(STUDY, *make_lesions(STUDY, TWO_BALLS)))
    rng = np.random.default_rng(0)
    refused = 0
    for round_ in range(60):
        start, length = int(rng.integers(132, len(whole))), int(rng.integers(1, 200))
        junk = rng.bytes(min(length, 4)) if round_ % 3 == 0 else b""
        tail = b"" if round_ % 3 == 1 else whole[start + (len(junk) or length) :]
        (tmp_path / "damaged.dcm").write_bytes(whole[:start] + junk + tail)
        try:
            read_mask(tmp_path / "damaged.dcm", STUDY)
        except PetlesionError:
            refused += 1
    assert 0 < refused < 60
