"""Copies of DICOM images: made when a client fetches one, and no more of them than the disk is to hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotation_server import REPOSITORY, SmallStudy, write_small_study
from lib.datastore.disk_limit import KEPT_S
from lib.datastore.image_copies import ARCHIVE, ImageCopies

from petlesion.errors import UsageError
from petlesion.nifti import read_image


@pytest.fixture
def anna(tmp_path: Path) -> SmallStudy:
    return write_small_study(tmp_path / "dicom", "anna")


@pytest.fixture
def app(tmp_path: Path, anna: SmallStudy) -> Any:
    from main import PetLesion

    conf = {"labels": str(tmp_path / "labels"), "models": str(tmp_path / "none"), "copies_gb": "0"}
    return PetLesion(str(REPOSITORY / "apps" / "petlesion"), str(tmp_path / "dicom"), conf)


def copies(app: Any) -> list[str]:
    return sorted(path.name for path in app.datastore().copies.folder.glob("*"))


def used_long_ago(app: Any) -> None:
    for path in app.datastore().copies.folder.iterdir():
        os.utime(path, (0, path.stat().st_mtime - 2 * KEPT_S))


def test_next_case_is_chosen_without_a_copy_of_its_image(app: Any, anna: SmallStudy) -> None:
    chosen = app.next_sample({"strategy": "first", "client_id": "ada"})
    assert chosen["id"] == anna.pet
    assert "path" not in chosen
    assert copies(app) == []
    path = app.datastore().get_image_uri(anna.pet)  # as a client fetches it
    assert app.next_sample({"strategy": "first", "client_id": "ada"})["path"] == path
    assert app.next_sample({"client_id": "bob"}) == {}
    with pytest.raises(Exception, match="There is no strategy 'last'"):
        app.next_sample({"strategy": "last"})


def test_copies_that_nobody_has_used_go_once_there_are_too_many(app: Any, anna: SmallStudy) -> None:
    datastore = app.datastore()
    before = read_image(Path(datastore.get_image_uri(anna.pet)))
    assert len(copies(app)) == 2
    datastore.copies.prune()
    assert len(copies(app)) == 2, "somebody may be fetching it"
    used_long_ago(app)
    datastore.get_image_uri(anna.pet)
    datastore.copies.prune()
    assert len(copies(app)) == 2, "it was used"
    used_long_ago(app)
    datastore.copies.prune()
    assert copies(app) == []
    np.testing.assert_array_equal(read_image(Path(datastore.get_image_uri(anna.pet))).array, before.array)


def test_copies_are_on_the_disk_before_clients_can_fetch_them(
    app: Any, anna: SmallStudy, synced_files: set[int]
) -> None:
    copy = Path(app.datastore().get_image_uri(anna.pet))
    written = {path.stat().st_ino for path in copy.parent.glob(f"*{copy.name}")}
    assert len(written) == 2
    assert written <= synced_files


def test_the_copy_that_was_used_last_stays(tmp_path: Path) -> None:
    kept = ImageCopies(tmp_path, limit_bytes=30, clock=lambda: 10 * KEPT_S)
    for used, name in enumerate(("b", "ct-b", "a", "ct-a", "c", "ct-c")):
        (tmp_path / f"{name}.nii.gz").write_bytes(bytes(10))
        os.utime(tmp_path / f"{name}.nii.gz", (0, used))
    kept.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.nii.gz", "ct-c.nii.gz"]


def test_what_was_left_half_written_and_old_archives_go(app: Any) -> None:
    folder = app.datastore().copies.folder
    app.datastore().get_dataset_archive(None)
    (folder / ".writing-killed").mkdir()
    (folder / ".writing-killed" / ARCHIVE).write_bytes(b"half")
    used_long_ago(app)
    app.datastore().copies.prune()
    assert copies(app) == [".writing-killed"], "its file is written to"
    os.utime(folder / ".writing-killed" / ARCHIVE, (0, 0))
    app.datastore().copies.prune()
    assert copies(app) == []


def test_limit_is_checked(tmp_path: Path, anna: SmallStudy) -> None:
    from main import PetLesion

    with pytest.raises(UsageError, match="copies_gb is 'many'; give a number of gigabytes"):
        PetLesion(str(REPOSITORY / "apps" / "petlesion"), str(tmp_path / "dicom"), {"copies_gb": "many"})
