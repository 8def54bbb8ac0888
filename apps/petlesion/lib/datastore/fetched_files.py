"""DICOM files fetched from a DICOMweb server: `<study>/<series>/<instance>.dcm`, and no more of them than wanted."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from pydicom import Dataset

from lib.datastore.disk_limit import KEPT_S, beyond
from petlesion.errors import GeometryError, OutputError, reason

LIMIT_BYTES = 100 * 2**30
"""Files that are kept by default; a whole-body PET with the fine CT of a scanner takes 200 to 300 MB."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_GOING = ".going-"
"""Beginning of the name of a study that is being removed; a server that is killed leaves it."""


def is_uid(text: str) -> bool:
    """Whether this is a UID, and hence a safe name of a file (DICOM PS3.5, 9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def checked_uid(text: str) -> str:
    """The same text.

    Raises
    ------
    GeometryError
        If it is no UID.
    """
    if not is_uid(text):
        raise GeometryError(f"{text[:80]!r} is no UID", remedy="correct the object in the DICOMweb server")
    return text


def is_whole(path: Path) -> bool:
    """Whether a file is there with its content: of what came right before a power cut, the name alone may be left."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


class FetchedFiles:
    """Files by study, series and object; several threads and processes may share the folder.

    Parameters
    ----------
    folder
        Created where missing.
    limit_bytes
        Of all files together; studies that were used least recently go first.
    clock
        Seconds since 1970.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._limit, self._clock = limit_bytes, clock
        self._lock = threading.Lock()
        self._look_at = 0.0

    def study_folder(self, study_uid: str) -> Path:
        """Folder of a study."""
        return self.folder / checked_uid(study_uid)

    def path(self, study_uid: str, series_uid: str, uid: str) -> Path:
        """Where an object is or will be."""
        return self._series_folder(study_uid, series_uid) / f"{checked_uid(uid)}.dcm"

    def present(self, study_uid: str, series_uid: str) -> set[str]:
        """Objects of a series that are there."""
        return {path.stem for path in self._series_folder(study_uid, series_uid).glob("*.dcm") if is_whole(path)}

    def use(self, study_uid: str) -> None:
        """Note that a study is being used: it stays for an hour at least."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            os.utime(self.study_folder(study_uid))

    def keep(self, study_uid: str, series_uid: str, dataset: Dataset) -> Path:
        """Write an object.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        path = self.path(study_uid, series_uid, str(dataset.SOPInstanceUID))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as staging:
                draft = Path(staging) / path.name
                dataset.save_as(draft)
                draft.replace(path)
        except OSError as error:
            raise OutputError(
                f"image cannot be kept ({reason(error)})",
                where=path.parent,
                remedy="free space or permissions",
            ) from error
        self._look_at = 0.0
        return path

    def remove(self, study_uid: str, series_uid: str, uids: Collection[str]) -> None:
        """Remove objects that the server does not hold any more."""
        for uid in uids:
            self.path(study_uid, series_uid, uid).unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove the studies that go beyond the limit; looks where files have come, and an hour later."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + KEPT_S
        for left in self.folder.glob(f"{_GOING}*"):
            shutil.rmtree(left, ignore_errors=True)
        studies = [(path, *_used_and_size(path)) for path in self.folder.glob("*") if is_uid(path.name)]
        old = now - KEPT_S
        for study in beyond(studies, self._limit, old):
            going = study.with_name(f"{_GOING}{study.name}")
            with self._lock, contextlib.suppress(OSError):
                # Whole or not at all: whoever opens it now finds that everything has to be fetched.
                if study.stat().st_mtime < old:
                    study.rename(going)
            shutil.rmtree(going, ignore_errors=True)

    def _series_folder(self, study_uid: str, series_uid: str) -> Path:
        return self.study_folder(study_uid) / checked_uid(series_uid)


def _used_and_size(folder: Path) -> tuple[float, int]:
    """Last use of a study, and its bytes; files may go meanwhile."""
    size = 0
    for path in folder.rglob("*.dcm"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_mtime, size
    return 0.0, size
