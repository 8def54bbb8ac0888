"""One Orthanc and one annotation server on it for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotation_server import Site, running_orthanc, running_server, write_small_study


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers with small studies (`anna` to `erna`, `no-weight`)."""
    folder = tmp_path_factory.mktemp("site")
    studies = {name: write_small_study(folder / "dicom", name) for name in ("anna", "ben", "carl", "dora", "erna")}
    studies["no-weight"] = write_small_study(folder / "dicom", "no-weight", PatientWeight=None)
    with running_orthanc(folder / "orthanc") as orthanc:
        orthanc.store(folder / "dicom")
        with running_server(folder, orthanc.dicomweb, retrain_after="0") as server:
            yield Site(orthanc, server, studies)


@pytest.fixture
def synced_files(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Inodes of the files that are brought to the disk from now on: what else is written, a power cut may empty."""
    synced, fsync = set[int](), os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return synced


@pytest.fixture(scope="session")
def real_patient(site: Site, shared_data: Path) -> Path:
    """A real study, which is stored on the servers, too."""
    folder = shared_data / "sts_dicom" / "STS_024"
    site.orthanc.store(folder)
    return folder
