"""Files fetched from a DICOMweb server: no more of them than the disk is to hold, and none that is being read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lib.datastore.disk_limit import KEPT_S
from lib.datastore.fetched_files import FetchedFiles, is_whole
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from petlesion.errors import GeometryError, OutputError


def image(uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID, dataset.SOPClassUID = uid, "1.2.840.10008.5.1.4.1.1.128"
    dataset.ImageComments = "x" * 900
    return dataset


def studies(files: FetchedFiles) -> list[str]:
    return sorted(path.name for path in files.folder.iterdir())


def fetched(folder: Path, limit_bytes: int) -> FetchedFiles:
    """Three studies of an image, about 1 kB each: 1.1 was used last, then 1.2, then 1.3, all long ago."""
    files = FetchedFiles(folder, limit_bytes, clock=lambda: 10 * KEPT_S)
    for n, study in enumerate(("1.3", "1.2", "1.1")):
        files.keep(study, "1.5", image(f"{study}.7"))
        os.utime(folder / study, (0, n))
    (folder / "notes").mkdir()
    return files


def test_studies_that_were_used_least_recently_go(tmp_path: Path) -> None:
    files = fetched(tmp_path, 2500)
    files.prune()
    assert studies(files) == ["1.1", "1.2", "notes"]
    files.keep("1.4", "1.5", image("1.4.7"))
    os.utime(tmp_path / "1.2", (0, 5))
    files.prune()
    assert studies(files) == ["1.2", "1.4", "notes"]


def test_study_in_use_stays(tmp_path: Path) -> None:
    files = fetched(tmp_path, 0)
    files.use("1.3")
    files.use("1.9")
    files.prune()
    assert studies(files) == ["1.3", "notes"]
    assert files.present("1.3", "1.5") == {"1.3.7"}


def test_study_that_was_in_use_goes_though_nothing_has_come_since(tmp_path: Path) -> None:
    now = [10 * KEPT_S]
    files = FetchedFiles(tmp_path, 0, clock=lambda: now[0])
    files.keep("1.1", "1.5", image("1.1.7"))
    os.utime(tmp_path / "1.1", (0, now[0]))
    files.prune()
    assert studies(files) == ["1.1"]
    now[0] += KEPT_S + 1
    files.prune()
    assert studies(files) == []


def test_what_a_killed_server_was_removing_goes(tmp_path: Path) -> None:
    files = fetched(tmp_path, 10_000)
    (tmp_path / "1.2").rename(tmp_path / ".going-1.2")
    files.prune()
    assert studies(files) == ["1.1", "1.3", "notes"]


def test_file_that_a_power_cut_has_emptied_is_fetched_again(tmp_path: Path) -> None:
    """Otherwise the PET would be shorter by its last slices for as long as the file stays."""
    files = FetchedFiles(tmp_path)
    for uid in ("1.7", "1.8"):
        files.keep("1.1", "1.5", image(uid))
    path = files.path("1.1", "1.5", "1.8")
    os.truncate(path, 0)
    assert files.present("1.1", "1.5") == {"1.7"}
    assert not is_whole(path)
    files.keep("1.1", "1.5", image("1.8"))
    assert files.present("1.1", "1.5") == {"1.7", "1.8"}
    assert is_whole(path)


def test_nothing_leaves_the_folder(tmp_path: Path) -> None:
    files = FetchedFiles(tmp_path / "cache")
    for uid in ("../1.2", "1..2", "", "1" * 65, "1.2\n"):
        with pytest.raises(GeometryError, match="is no UID"):
            files.present("1.2", uid)
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        hostile = image("../1.2")
    with pytest.raises(GeometryError, match="is no UID"):
        files.keep("1.2", "1.3", hostile)
    assert not files.folder.exists()
    files.folder.write_text("a file")
    with pytest.raises(OutputError, match="image cannot be kept"):
        files.keep("1.2", "1.3", image("1.4"))
