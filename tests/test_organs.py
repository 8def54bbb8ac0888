"""Organ masks from files of several kinds, on the PET grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from petlesion.errors import UsageError
from petlesion.nifti import write_labels
from petlesion.organs import Organ, organ_named, read_organs
from petlesion.report import SuvRecord
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((6, 8, 10), (4.0, 4.0, 4.0), (-20.0, -16.0, 100.0))


@pytest.fixture
def study() -> PetCt:
    suv = SuvRecord("g/ml", "unknown", None, None, None)
    pet = Volume(np.ones(GRID.shape, np.float32), GRID)
    return PetCt(pet, None, TRACERS[TracerName.F18_FDG], Patient(), suv, "1.2", "1.2.3")


def test_single_value_is_the_liver(study: PetCt, tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:3, 2:4, 2:4] = labels[4, 6, 8] = 1
    write_labels(labels, GRID, tmp_path / "liver.nii.gz")
    organs = read_organs(tmp_path / "liver.nii.gz", study)
    assert np.array_equal(organs.mask(Organ.LIVER), labels > 0)
    assert organs.mask(Organ.SPLEEN) is None


@pytest.mark.parametrize(
    ("number", "alone_is_liver", "organ"),
    [(255, True, Organ.LIVER), (5, True, Organ.LIVER), (75, True, Organ.BONES), (1, False, Organ.SPLEEN)],
)
def test_other_single_values_are_those_of_totalsegmentator(
    study: PetCt, tmp_path: Path, number: int, alone_is_liver: bool, organ: Organ
) -> None:
    write_labels(np.full(GRID.shape, number, np.uint8), GRID, tmp_path / "organ.nii.gz")
    organs = read_organs(tmp_path / "organ.nii.gz", study, alone_is_liver=alone_is_liver)
    assert list(organs.values) == [organ]


def test_several_values_are_those_of_totalsegmentator(study: PetCt, tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0], labels[1], labels[2], labels[3] = 5, 1, 2, 3
    write_labels(labels, GRID, tmp_path / "total.nii.gz")
    organs = read_organs(tmp_path / "total.nii.gz", study)
    assert np.array_equal(organs.mask(Organ.LIVER), labels == 5)
    assert np.array_equal(organs.mask(Organ.SPLEEN), labels == 1)
    assert np.array_equal(organs.mask(Organ.KIDNEYS), (labels == 2) | (labels == 3))


def test_masks_on_a_finer_grid_come_onto_the_pet(study: PetCt, tmp_path: Path) -> None:
    fine = Grid.from_geometry((12, 16, 20), (2.0, 2.0, 2.0), (-21.0, -17.0, 99.0))
    labels = np.zeros(fine.shape, np.uint8)
    labels[2:6, 4:8, 4:8] = 1
    write_labels(labels, fine, tmp_path / "liver.nii.gz")
    liver = read_organs(tmp_path / "liver.nii.gz", study).mask(Organ.LIVER)
    assert liver is not None
    assert [tuple(sorted(set(axis.tolist()))) for axis in np.nonzero(liver)] == [(1, 2), (2, 3), (2, 3)]


def test_numbers_of_nothing_known_are_refused(study: PetCt, tmp_path: Path) -> None:
    labels = np.zeros(GRID.shape, np.uint16)
    labels[0], labels[1] = 400, 500
    write_labels(labels, GRID, tmp_path / "other.nii.gz")
    with pytest.raises(UsageError, match="no known organ among '400', '500'"):
        read_organs(tmp_path / "other.nii.gz", study)


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        ("Liver", Organ.LIVER),
        ("kidney_left", Organ.KIDNEYS),
        ("colon", Organ.BOWEL),
        ("parotid gland", Organ.GLANDS),
        ("21", Organ.BLADDER),
        ("Liver metastasis", None),
        ("Left kidney cyst", None),
        ("GTV_Liver", None),
        ("Liver mets", None),
        ("liver minus PTV", None),
        ("adrenal_gland_left", None),
        ("Lesion 3", None),
    ],
)
def test_names_of_segments(name: str, organ: Organ | None) -> None:
    assert organ_named(name) is organ


def test_missing_file_is_a_usage_error(study: PetCt, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_organs(tmp_path / "none.nii.gz", study)
