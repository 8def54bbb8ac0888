"""NIfTI files ↔ volumes."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from petlesion.errors import GeometryError
from petlesion.nifti import read_image, read_labels, write_image, write_labels
from petlesion.volume import Grid, Volume


def _oblique(seed: int, shape: tuple[int, int, int] = (4, 5, 6)) -> Grid:
    return Grid.from_geometry(
        shape, (3.0, 2.0, 1.5), (10.0, -20.0, 30.0), Rotation.random(random_state=seed).as_matrix()
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), mirrored=st.booleans(), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_round_trip(tmp_path: Path, seed: int, mirrored: bool, suffix: str) -> None:
    grid = _oblique(seed)
    if mirrored:
        affine = grid.affine.copy()
        affine[:3, 1] *= -1
        grid = Grid(grid.shape, affine)
    array = np.random.default_rng(seed).random(grid.shape, np.float32)
    warnings: list[str] = []
    write_image(Volume(array, grid), tmp_path / f"image{suffix}")
    read = read_image(tmp_path / f"image{suffix}", warnings)
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.grid.affine, grid.affine, atol=1e-4)
    assert read.array.flags.c_contiguous
    assert warnings == []


@pytest.mark.parametrize("seed", range(4))
def test_places_are_those_of_simpleitk(tmp_path: Path, seed: int) -> None:
    """SimpleITK's world is LPS, too."""
    grid = _oblique(seed)
    array = np.random.default_rng(seed).random(grid.shape, np.float32)
    write_image(Volume(array, grid), tmp_path / "image.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "image.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    for index in [(0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (3, 4, 5)]:
        expected = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(grid.to_world(index), expected, atol=1e-3)


def test_both_transforms_are_written(tmp_path: Path) -> None:
    write_image(Volume(np.zeros((4, 5, 6), np.float32), _oblique(1)), tmp_path / "image.nii")
    header = nib.load(tmp_path / "image.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"


def test_sheared_grid_survives(tmp_path: Path) -> None:
    affine = _oblique(2).affine.copy()
    affine[:3, 0] += 0.4 * affine[:3, 1]
    grid = Grid((4, 5, 6), affine)
    write_image(Volume(np.zeros(grid.shape, np.float32), grid), tmp_path / "image.nii")
    np.testing.assert_allclose(read_image(tmp_path / "image.nii").grid.affine, affine, atol=1e-4)
    assert int(nib.load(tmp_path / "image.nii").header["qform_code"]) == 0


def test_equal_volumes_give_equal_bytes(tmp_path: Path) -> None:
    volume = Volume(np.random.default_rng(0).random((4, 5, 6), np.float32), _oblique(1))
    write_image(volume, tmp_path / "a.nii.gz")
    write_image(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[:4] == (348).to_bytes(4, "little")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int16, np.int32, np.int64])
def test_labels(tmp_path: Path, dtype: type) -> None:
    grid = _oblique(1)
    labels = (np.arange(120) % 2 if dtype is bool else np.arange(120)).reshape(grid.shape).astype(dtype)
    write_labels(labels, grid, tmp_path / "labels.nii.gz")
    read = read_labels(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(read.array, labels.astype(int))
    assert np.issubdtype(read.array.dtype, np.integer)


def test_labels_of_floating_point_files(tmp_path: Path) -> None:
    grid = _oblique(1)
    whole = np.arange(120, dtype=np.float32).reshape(grid.shape)
    write_image(Volume(whole, grid), tmp_path / "whole.nii")
    assert read_labels(tmp_path / "whole.nii").array.dtype == np.int32
    write_image(Volume(whole + 0.5, grid), tmp_path / "half.nii")
    with pytest.raises(GeometryError, match="not whole numbers"):
        read_labels(tmp_path / "half.nii")


def test_scaled_integers(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "image.nii")
    raw = nib.Nifti1Image(stored, np.eye(4))
    with (tmp_path / "image.nii").open("r+b") as file:
        file.seek(112)
        file.write(np.array([0.5, -3], "<f4").tobytes())
        file.seek(352)
        file.write(np.asarray(raw.dataobj).tobytes(order="F"))
    read = read_image(tmp_path / "image.nii")
    assert read.array.dtype == np.float32
    np.testing.assert_array_equal(read.array, stored.T * 0.5 - 3)


def test_other_units_of_length(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.diag([0.002, 0.003, 0.004, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "image.nii")
    np.testing.assert_allclose(read_image(tmp_path / "image.nii").grid.spacing_mm, (4, 3, 2), rtol=1e-6)


def test_no_transform_is_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), None)
    image.header.set_zooms((2.0, 2.0, 3.0))
    nib.save(image, tmp_path / "image.nii")
    warnings: list[str] = []
    volume = read_image(tmp_path / "image.nii", warnings)
    assert "neither sform nor qform" in warnings[0]
    assert volume.grid.spacing_mm == (3.0, 2.0, 2.0)


def test_fourth_dimension(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 1), np.float32), np.eye(4)), tmp_path / "one.nii")
    assert read_image(tmp_path / "one.nii").array.shape == (4, 3, 2)
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 5), np.float32), np.eye(4)), tmp_path / "five.nii")
    with pytest.raises(GeometryError, match=r"shape \(2, 3, 4, 5\)"):
        read_image(tmp_path / "five.nii")
    nib.save(nib.Nifti1Image(np.zeros((2, 3), np.float32), np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(GeometryError, match=r"shape \(2, 3\)"):
        read_image(tmp_path / "flat.nii")


def test_damaged_files(tmp_path: Path) -> None:
    write_image(Volume(np.random.default_rng(0).random((4, 5, 6), np.float32), _oblique(1)), tmp_path / "image.nii.gz")
    content = (tmp_path / "image.nii.gz").read_bytes()
    for name, damaged in {
        "text.nii.gz": b"hello",
        "empty.nii": b"",
        "cut.nii.gz": content[: len(content) // 2],
        "cut.nii": gzip.decompress(content)[:600],
        "garbled.nii.gz": content[:100] + bytes(50) + content[150:],
    }.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(GeometryError, match=f"no readable NIfTI file: .* in .*{name}"):
            read_image(tmp_path / name)
    with pytest.raises(GeometryError, match="no readable NIfTI file"):
        read_image(tmp_path / "nothing.nii")


def test_flat_affine(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.diag([1.0, 1, 1, 1]))
    image.set_sform(np.diag([1.0, 1, 0, 1]), code=1)
    nib.save(image, tmp_path / "image.nii")
    with pytest.raises(GeometryError, match="cannot be inverted"):
        read_image(tmp_path / "image.nii")


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_header_bytes_are_one_error_or_an_image(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    write_labels(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), _oblique(1, (2, 3, 4)), tmp_path / "good.nii")
    content = bytearray((tmp_path / "good.nii").read_bytes())
    for offset, value in changes:
        content[offset] = value
    (tmp_path / "bad.nii").write_bytes(content)
    with contextlib.suppress(GeometryError):  # any other exception fails
        assert read_labels(tmp_path / "bad.nii").array.ndim == 3
