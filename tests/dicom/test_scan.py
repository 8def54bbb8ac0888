"""Finding DICOM images among anything."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from synthetic_dicom import axial_grid, ct_header, pattern, pet_header, plain, save, write_series

from petlesion.dicom.header import Instance, Skipped, read_instance
from petlesion.dicom.pixels import stored_values
from petlesion.dicom.scan import scan
from petlesion.errors import NoDicomError, UsageError
from petlesion.volume import Volume

PREAMBLE = bytes(128) + b"DICM"


@pytest.fixture
def pet(tmp_path: Path) -> list[Path]:
    """Files of a PET of 8 slices."""
    grid = axial_grid()
    return write_series(tmp_path / "pet", Volume(pattern(grid), grid), pet_header(), name="pet")


def test_series_and_studies(pet: list[Path], tmp_path: Path) -> None:
    grid = axial_grid((3, 4, 4))
    volume = Volume(np.zeros(grid.shape, np.float32), grid)
    other = pet_header()
    other.StudyInstanceUID = "1.2.3.4"
    only_ct = ct_header()
    only_ct.StudyInstanceUID = "1.2.3.5"
    write_series(tmp_path / "a" / "b" / "c", volume, ct_header(), name="ct")
    write_series(tmp_path / "a", volume, other, name="other")
    write_series(tmp_path, volume, only_ct, name="lonely")
    index = scan(tmp_path)
    assert sorted((series.modality, len(series.instances)) for series in index.series) == [
        ("CT", 3),
        ("CT", 3),
        ("PT", 3),
        ("PT", 8),
    ]
    assert index.study_uids == tuple(sorted({dcmread(pet[0]).StudyInstanceUID, "1.2.3.4"}))
    assert index.contents() == "found 6 CT, 11 PT files"


def test_what_is_skipped_and_why(pet: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "pet"
    (folder / "a.txt").write_text("hello")
    (folder / "b").write_bytes(b"\x08\x00\x05\x00CS")
    (folder / "c.dcm").write_bytes(b"")
    (folder / "d").write_bytes(PREAMBLE)
    (folder / "e.dcm").write_bytes(PREAMBLE + os.urandom(300))
    (folder / "f").write_bytes(b"")
    (folder / "g.dcm").write_text("<html>404</html>" * 20)
    structures = pet_header()
    structures.Modality, structures.SOPInstanceUID, structures.SeriesInstanceUID = "RTSTRUCT", "1.2.3", "1.2.4"
    save(structures, folder / "h.dcm")
    skipped = {file.path.name: file for file in scan(tmp_path).skipped}
    assert {name: file.damaged for name, file in skipped.items()} == {
        "a.txt": False,
        "b": False,
        "c.dcm": True,
        "d": True,
        "e.dcm": True,
        "f": False,
        "g.dcm": False,
        "h.dcm": False,
    }
    assert skipped["h.dcm"].modality == "RTSTRUCT"
    assert skipped["c.dcm"].reason == "empty file"
    assert scan(tmp_path).contents() == "found 8 PT, 1 RTSTRUCT, 3 damaged, 4 other files"


def test_copies_are_read_once_and_the_whole_one_is_kept(pet: list[Path], tmp_path: Path) -> None:
    shutil.copy(pet[3], tmp_path / "zzz.dcm")
    pet[3].write_bytes(pet[3].read_bytes()[:-10])
    index = scan(tmp_path)
    assert len(index.series[0].instances) == 8
    assert not any(instance.damage for instance in index.series[0].instances)
    assert index.warnings == (f"1 copies of images ignored, {pet[3].name} for instance.",)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_syntaxes(pet: list[Path], tmp_path: Path, syntax: object) -> None:
    expected = scan(tmp_path).series[0].instances
    for path in pet:
        save(plain(dcmread(path)), path, syntax)
    for instance, other in zip(scan(tmp_path).series[0].instances, expected, strict=True):
        assert (instance.position, instance.orientation, instance.rows, instance.columns, instance.sop_uid) == (
            other.position,
            other.orientation,
            other.rows,
            other.columns,
            other.sop_uid,
        )
        assert not instance.damage


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_file_that_is_implicit_but_says_explicit(pet: list[Path], tmp_path: Path) -> None:
    for path in pet:
        save(plain(dcmread(path)), path, ImplicitVRLittleEndian)
        content = path.read_bytes()
        path.write_bytes(
            content.replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0").replace(b"UI\x12", b"UI\x14", 1)
        )
    for instance in scan(tmp_path).series[0].instances:
        assert not instance.damage


@pytest.mark.parametrize("implicit", [True, False])
def test_old_exports_without_preamble(pet: list[Path], tmp_path: Path, implicit: bool) -> None:
    for path in pet:
        header = plain(dcmread(path))
        header.save_as(path, enforce_file_format=False, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    index = scan(tmp_path)
    assert not index.skipped
    assert len(index.series[0].instances) == 8
    for path, instance in zip(pet, index.series[0].instances, strict=True):
        header = dcmread(path, force=True)
        stored = np.frombuffer(header.PixelData, "<i2").reshape(header.Rows, header.Columns)
        np.testing.assert_array_equal(stored_values(instance), stored)


def test_links_are_followed_once(pet: list[Path], tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in pet:
        (linked / path.name).symlink_to(path)
    (linked / "loop").symlink_to(linked, target_is_directory=True)
    assert len(scan(linked).series[0].instances) == 8


def test_folder_that_cannot_be_listed(pet: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The permission is denied by hand: tests may run as root, whom no permission stops."""
    closed = tmp_path / "closed"
    closed.mkdir()

    def listed(folder: Path) -> Any:
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", listed)
    (skipped,) = scan(tmp_path).skipped
    assert skipped == Skipped(closed, "folder cannot be listed (Permission denied)", damaged=True)


def test_file_that_vanished() -> None:
    assert read_instance(Path("no-such-file.dcm")) == Skipped(
        Path("no-such-file.dcm"), "cannot be read (No such file or directory)", damaged=True
    )


def test_no_dicom(tmp_path: Path) -> None:
    with pytest.raises(NoDicomError, match="the folder is empty"):
        scan(tmp_path)
    (tmp_path / "cut.dcm").write_bytes(PREAMBLE)
    with pytest.raises(NoDicomError, match="found 1 damaged files"):
        scan(tmp_path)
    with pytest.raises(UsageError, match="is a file, not a folder"):
        scan(tmp_path / "cut.dcm")
    with pytest.raises(UsageError, match="does not exist") as raised:
        scan(tmp_path / "nothing")
    assert str(tmp_path) not in raised.value.what


def test_progress_ends_at_the_number_of_files(pet: list[Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    scan(tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(k, 8) for k in range(1, 9)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fraction", np.linspace(0.0, 0.999, 40))
def test_cut_anywhere_is_never_whole(pet: list[Path], fraction: float) -> None:
    content = pet[0].read_bytes()
    pet[0].write_bytes(content[: int(fraction * len(content))])
    found = read_instance(pet[0])
    if isinstance(found, Instance):
        assert found.damage
    else:
        assert found.damaged


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_garbled_files_raise_nothing(tmp_path: Path, seed: int) -> None:
    template = tmp_path / "template" / "one_0000.dcm"
    if not template.exists():
        grid = axial_grid((1, 4, 4))
        write_series(template.parent, Volume(pattern(grid), grid), pet_header(), name="one")
    content = bytearray(template.read_bytes())
    generator = random.Random(seed)
    for _ in range(generator.choice([1, 3, 30])):
        content[generator.randrange(128, len(content))] = generator.randrange(256)
    path = tmp_path / "garbled.dcm"
    path.write_bytes(content)
    assert isinstance(read_instance(path), Instance | Skipped)
