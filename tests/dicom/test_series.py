"""Order, grid and refusals of slices."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset
from scipy.spatial.transform import Rotation
from synthetic_dicom import Change, axial_grid, pattern, pet_header, write_series

from petlesion.dicom.header import Instance, read_instance
from petlesion.dicom.pixels import read_volume
from petlesion.dicom.series import Stack, is_complete, require_ends, stack_slices
from petlesion.errors import GeometryError
from petlesion.volume import Grid, Volume


def _write(folder: Path, grid: Grid | None = None, change: Change = lambda _header, _k: None) -> list[Instance]:
    grid = grid or axial_grid()
    instances = []
    for path in write_series(folder, Volume(pattern(grid), grid), pet_header(), change=change):
        instance = read_instance(path)
        assert isinstance(instance, Instance)
        instances.append(instance)
    return instances


def _grid(rotation: NDArray[np.float64]) -> Grid:
    """A grid whose axes (x, y, z) are the columns of a rotation."""
    return Grid.from_geometry((6, 5, 7), (3.0, 4.0, 5.0), (-30.0, 10.0, -200.0), rotation[:, ::-1])


_axial = np.eye(3)
_named = {
    "axial": _axial,
    "feet first, prone": np.diag([1.0, -1.0, -1.0]),
    "turned in plane": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


@pytest.mark.parametrize("name", _named)
def test_orientations(tmp_path: Path, name: str) -> None:
    grid = _grid(_named[name])
    stack = stack_slices(_write(tmp_path, grid), "series")
    assert stack.positions is None
    np.testing.assert_allclose(stack.grid.affine, grid.affine, atol=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_any_orientation_and_file_order(tmp_path: Path, seed: int) -> None:
    """World positions of values do not depend on how the volume was cut into slices, nor on the order of files."""
    grid = _grid(Rotation.random(random_state=seed).as_matrix())
    instances = _write(tmp_path, grid)
    random.Random(seed).shuffle(instances)
    stack = stack_slices(instances, "series")
    np.testing.assert_allclose(stack.grid.affine, grid.affine, atol=1e-4)
    slopes = [float(instance.header.RescaleSlope) for instance in stack.instances]
    np.testing.assert_allclose(1e-3 * read_volume(stack, slopes, 0.0), pattern(grid), atol=2e-3)


def test_files_numbered_against_the_normal(tmp_path: Path) -> None:
    grid = axial_grid()
    stack = stack_slices(_write(tmp_path, grid)[::-1], "series")
    positions = [instance.position[2] for instance in stack.instances]
    assert positions == sorted(positions)
    np.testing.assert_allclose(stack.grid.affine, grid.affine)


def _shift(moves: dict[int, float], axis: int = 2) -> Change:
    def change(header: Dataset, k: int) -> None:
        position = [float(value) for value in header.ImagePositionPatient]
        position[axis] += moves.get(k, 0.0)
        header.ImagePositionPatient = [round(value, 4) for value in position]

    return change


def test_small_irregularity_is_tolerated_and_said(tmp_path: Path) -> None:
    stack = stack_slices(_write(tmp_path, change=_shift({3: 0.1})), "series")
    assert stack.positions is None
    assert "from 2.90 to 3.10 mm" in stack.warnings[0]
    assert stack.grid.spacing_mm[0] == pytest.approx(3.0, abs=0.01)


def test_rounding_of_positions_is_no_warning(tmp_path: Path) -> None:
    stack = stack_slices(_write(tmp_path, change=_shift({3: 0.004})), "series")
    assert stack.warnings == ()


def test_large_irregularity_is_resampled_and_said(tmp_path: Path) -> None:
    stack = stack_slices(_write(tmp_path, change=_shift({3: 0.6})), "series")
    assert stack.positions is not None
    assert "resampled to 8 slices" in stack.warnings[0]
    np.testing.assert_allclose(stack.positions[[0, -1]], [0, 7])


@pytest.mark.parametrize(("removed", "count"), [([4], "1 slice is"), ([3, 4], "2 slices are")])
def test_gap_is_named(tmp_path: Path, removed: list[int], count: str) -> None:
    instances = [instance for k, instance in enumerate(_write(tmp_path)) if k not in removed]
    with pytest.raises(GeometryError, match=f"{count} missing between .* and -85.00 mm"):
        stack_slices(instances, "series")


def test_tilted_gantry(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="tilted gantry"):
        stack_slices(_write(tmp_path, change=lambda header, k: _shift({k: 0.8 * k}, axis=1)(header, k)), "series")


def _set(keyword: str, value: object, when: int = 3) -> Change:
    def change(header: Dataset, k: int) -> None:
        if k == when:
            setattr(header, keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("PixelSpacing", [4, 5.01]), "PixelSpacing differs"),
        (_set("ImageOrientationPatient", [1, 0, 0, 0, 0.9999, 0.0141]), "ImageOrientationPatient differs"),
        (_set("PatientID", "somebody else"), "PatientID differs"),
        (_set("FrameOfReferenceUID", "1.2.3"), "FrameOfReferenceUID differs"),
        (_set("Units", "CNTS"), r"Units differs \(BQML, CNTS\)"),
        (_set("ImagePositionPatient", []), "lacks a position"),
        (_set("PixelSpacing", ["0", "0"]), "lacks a position"),
        (lambda header, _: setattr(header, "ImageOrientationPatient", [1, 0, 0, 0.5, 1, 0]), "not two perpendicular"),
        (lambda header, k: _shift({k: -0.4 * 3 * (k % 2) * 1.3})(header, k), "different volumes are mixed|missing"),
    ],
)
def test_slices_that_do_not_belong_together(tmp_path: Path, change: Change, words: str) -> None:
    with pytest.raises(GeometryError, match=words):
        stack_slices(_write(tmp_path, change=change), "series")


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("FrameReferenceTime", "300000", "FrameReferenceTime differs .*dynamic or gated"),
        ("AcquisitionTime", "111500", "AcquisitionTime differs .*dynamic or gated"),
        ("TriggerTime", "250", "TriggerTime differs .*dynamic or gated"),
        ("SeriesDescription", "NAC", "SeriesDescription differs .*mixed"),
        ("CorrectedImage", ["DECY"], "CorrectedImage differs .*mixed"),
        ("PatientComments", "x", "for instance.*mixed"),
    ],
)
def test_several_slices_at_one_place(tmp_path: Path, keyword: str, value: object, words: str) -> None:
    def change(header: Dataset, _: int) -> None:
        setattr(header, keyword, value)
        header.SOPInstanceUID = f"{header.SOPInstanceUID}.1"

    instances = _write(tmp_path / "a") + _write(tmp_path / "b", change=change)
    with pytest.raises(GeometryError, match=f"16 slices at 8 positions.*{words}"):
        stack_slices(instances, "series")


def test_one_slice_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="single slice"):
        stack_slices(_write(tmp_path)[:1], "series")


def _numbered(folder: Path, numbers: list[int], keyword: str, total: int | None = None) -> Stack:
    def change(header: Dataset, k: int) -> None:
        setattr(header, keyword, numbers[k])
        if total:
            header.NumberOfSlices = total

    return stack_slices(_write(folder, change=change), "series")


def test_number_of_slices_proves_completeness(tmp_path: Path) -> None:
    complete = _numbered(tmp_path / "a", list(range(5, 13)), "ImageIndex", total=8)
    assert is_complete(complete.instances)
    require_ends(complete, "series")
    lacking = _numbered(tmp_path / "b", list(range(1, 9)), "ImageIndex", total=10)
    assert not is_complete(lacking.instances)
    with pytest.raises(GeometryError, match=r"2 slices are missing of 10 \(NumberOfSlices\)"):
        require_ends(lacking, "series")


@pytest.mark.parametrize("keyword", ["ImageIndex", "InstanceNumber"])
def test_numbers_tell_of_missing_ends(tmp_path: Path, keyword: str) -> None:
    for first in (0, 1):
        require_ends(_numbered(tmp_path / str(first), list(range(first, first + 8)), keyword), "series")
    require_ends(_numbered(tmp_path / "same", [1] * 8, keyword), "series")
    with pytest.raises(GeometryError, match=f"slices before {keyword} 3 are missing"):
        require_ends(_numbered(tmp_path / "late", list(range(3, 11)), keyword), "series")
    with pytest.raises(GeometryError, match=f"4 slices are missing, {keyword} 5 for instance"):
        require_ends(_numbered(tmp_path / "hole", [1, 2, 3, 4, 9, 10, 11, 12], keyword), "series")
