"""DICOM folder → `PetCt`, with synthetic series whose content is known."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from synthetic_dicom import SUV_PER_UNIT, axial_grid, ct_header, pattern, pet_header, write_series

from petlesion.dicom.reader import read_dicom
from petlesion.dicom.scan import scan
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.errors import SuvError
from petlesion.study import NO_CT_HU, Patient, PetCt
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume


def _read(folder: Path) -> PetCt:
    return read_dicom(scan(folder))


def _smooth(grid: Grid) -> Volume:
    """Uptake that is a smooth function of the place in the patient: 10 + x / 20 + y / 30 - z / 40, mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid.to_world(index), -1, 0)
    return Volume((10 + x / 20 + y / 30 - z / 40).astype(np.float32), grid)


def _cube(rotation: np.ndarray) -> Grid:
    """16 slices of 16 x 16 around the origin, 5 mm; the axes (x, y, z) are the columns of a rotation."""
    directions = rotation[:, ::-1]
    return Grid.from_geometry((16, 16, 16), (5.0, 5.0, 5.0), directions @ np.full(3, -37.5), directions)


def test_suv_and_geometry(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path, Volume(pattern(grid), grid), pet_header())
    study = _read(tmp_path)
    np.testing.assert_allclose(study.pet.array, pattern(grid), atol=1e-3)
    np.testing.assert_allclose(study.pet.grid.affine, grid.affine, atol=1e-9)
    assert study.suv.factor == pytest.approx(SUV_PER_UNIT)
    assert study.tracer.name is TracerName.F18_FDG
    assert study.patient == Patient("T1", "TEST^PATIENT", date(1960, 2, 29), "F", 70.0, 1.75)
    assert study.warnings == ()


@pytest.mark.parametrize(("header_kg", "patient_kg"), [("80", 80.0), (None, 71.0)])
def test_a_given_weight_does_not_contradict_suv_of_the_scanner(
    tmp_path: Path, header_kg: str | None, patient_kg: float
) -> None:
    grid = axial_grid()
    header = pet_header()
    header.Units, header.PatientWeight = "GML", header_kg
    write_series(tmp_path, Volume(pattern(grid), grid), header)
    study = read_dicom(scan(tmp_path), overrides=SuvOverrides(weight_kg=71.0))
    assert study.patient.weight_kg == patient_kg


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_same_patient_sliced_in_any_direction(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """What lies at a point of the patient does not depend on the direction of the slices."""
    folder = tmp_path_factory.mktemp("study")
    write_series(folder, _smooth(_cube(Rotation.random(random_state=seed).as_matrix())), pet_header())
    study = _read(folder)
    points = np.random.default_rng(seed).uniform(-20, 20, (50, 3))
    found = map_coordinates(study.pet.array, study.pet.grid.to_index(points).T, order=1)
    np.testing.assert_allclose(found, 10 + points @ [1 / 20, 1 / 30, -1 / 40], atol=2e-3)


@pytest.mark.parametrize(
    "rotation",
    [np.eye(3), np.diag([1.0, -1.0, -1.0]), np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])],
    ids=["axial", "flipped", "sagittal"],
)
def test_ct_of_another_orientation_comes_onto_the_pet(tmp_path: Path, rotation: np.ndarray) -> None:
    pet_grid = _cube(np.eye(3))
    write_series(tmp_path / "pet", _smooth(pet_grid), pet_header(), name="pet")
    fine = Grid.from_geometry(
        (60, 60, 60), (2.0, 1.5, 1.5), rotation[:, ::-1] @ [-59, -44.25, -44.25], rotation[:, ::-1]
    )
    ct = Volume(100 * _smooth(fine).array - 1000, fine)
    write_series(tmp_path / "ct", ct, ct_header(), name="ct")
    study = _read(tmp_path)
    assert study.ct is not None
    assert study.ct.array.dtype == np.float32
    expected = 100 * _smooth(pet_grid).array - 1000
    inside = study.ct.array > NO_CT_HU
    assert inside.mean() > 0.9
    np.testing.assert_allclose(study.ct.array[inside], expected[inside], atol=1.0)
    assert study.source is not None
    assert study.source.ct_series_instance_uid is not None


def test_ct_padding_and_surroundings_are_air(tmp_path: Path) -> None:
    pet_grid = axial_grid((8, 6, 7), (3.0, 4.0, 5.0))
    write_series(tmp_path / "pet", Volume(pattern(pet_grid), pet_grid), pet_header(), name="pet")
    small = Grid.from_geometry((8, 3, 3), (3.0, 4.0, 5.0), (-12.0, 20.0, -100.0))
    values = np.full(small.shape, 40.0, np.float32)
    values[:, 0] = -2000
    write_series(tmp_path / "ct", Volume(values, small), ct_header(), name="ct")
    ct = _read(tmp_path).ct
    assert ct is not None
    assert (ct.array[:, 0, :3] == NO_CT_HU).all()
    assert (ct.array[:, 1:3, :3] == 40).all()
    assert (ct.array[:, 3:, :] == NO_CT_HU).all()


def test_a_ct_that_ends_before_the_pet_is_a_warning(tmp_path: Path) -> None:
    grid = axial_grid((12, 6, 7))
    write_series(tmp_path / "whole" / "pet", Volume(pattern(grid), grid), pet_header(), name="pet")
    write_series(tmp_path / "half" / "pet", Volume(pattern(grid), grid), pet_header(), name="pet")
    half = Grid((6, 6, 7), grid.affine)
    write_series(tmp_path / "whole" / "ct", Volume(pattern(grid), grid), ct_header(), name="ct")
    write_series(tmp_path / "half" / "ct", Volume(pattern(half), half), ct_header(), name="ct")
    assert not any("CT covers" in warning for warning in _read(tmp_path / "whole").warnings)
    assert any("CT covers 50 % of the PET's length" in warning for warning in _read(tmp_path / "half").warnings)


def test_ct_that_cannot_be_used_is_a_warning(tmp_path: Path) -> None:
    grid = axial_grid()
    volume = Volume(pattern(grid), grid)
    write_series(tmp_path / "pet", volume, pet_header(), name="pet")
    write_series(tmp_path / "ct", volume, ct_header(), name="ct")[4].unlink()
    study = _read(tmp_path)
    assert study.ct is None
    assert any("1 slice is missing between" in warning for warning in study.warnings)
    assert read_dicom(scan(tmp_path), ct=False).warnings == ()


def test_a_slice_of_another_thickness_is_said(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path, Volume(pattern(grid), grid), pet_header())
    assert _read(tmp_path).warnings == ()
    path = sorted(tmp_path.rglob("*.dcm"))[1]
    header = dcmread(path)
    header.SliceThickness, header.RescaleSlope = header.RescaleSlope, header.SliceThickness
    header.save_as(path)
    assert "SliceThickness differs between slices" in " ".join(_read(tmp_path).warnings)


def test_one_frame_of_a_dynamic_series_is_said(tmp_path: Path) -> None:
    grid = axial_grid()
    header = pet_header()
    header.SeriesType = ["DYNAMIC", "IMAGE"]
    write_series(tmp_path, Volume(pattern(grid), grid), header)
    assert any("SeriesType says DYNAMIC" in warning for warning in _read(tmp_path).warnings)


def test_uneven_slices_have_no_header_each(tmp_path: Path) -> None:
    grid = axial_grid((12, 4, 4))

    def move(header: Dataset, k: int) -> None:
        if k == 5:
            header.ImagePositionPatient = [*header.ImagePositionPatient[:2], header.ImagePositionPatient[2] + 1]

    write_series(tmp_path, _smooth(grid), pet_header(), change=move)
    study = _read(tmp_path)
    assert study.source is not None
    assert not study.source.one_header_per_slice
    assert any("resampled to 12 slices" in warning for warning in study.warnings)


@pytest.mark.parametrize("slope", [None, "0", "-1.5"])
def test_slope_must_be_there(tmp_path: Path, slope: str | None) -> None:
    grid = axial_grid()

    def change(header: Dataset, k: int) -> None:
        if k == 3:
            header.RescaleSlope = slope

    write_series(tmp_path, Volume(pattern(grid), grid), pet_header(), change=change)
    with pytest.raises(SuvError, match=r"RescaleSlope .* is missing or not above 0 in .*series_0003.dcm"):
        _read(tmp_path)


def test_pet_compressed_with_loss_draws_a_warning(tmp_path: Path) -> None:
    grid, header = axial_grid(), pet_header()
    header.LossyImageCompression = "01"
    write_series(tmp_path, Volume(pattern(grid), grid), header)
    assert any("compressed with loss" in warning for warning in _read(tmp_path).warnings)


def test_odd_patient_values(tmp_path: Path) -> None:
    grid = axial_grid()
    header = pet_header()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName = "Grünewald^Zoë^Ann^Dr\\Grünewald^Z"
    header.PatientBirthDate = ""
    header.PatientSize = "172"
    header.PatientSex = None
    header.PatientID = "T1\\2"
    write_series(tmp_path, Volume(pattern(grid), grid), header)
    assert _read(tmp_path).patient == Patient("T1/2", "Grünewald^Zoë^Ann^Dr", None, "", 70.0, 1.72)
