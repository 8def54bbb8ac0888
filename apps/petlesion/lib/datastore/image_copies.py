"""NIfTI copies of DICOM images, for clients that download them; those that were used least recently go first."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from lib.datastore.cases import Case
from lib.datastore.disk_limit import KEPT_S, beyond
from petlesion.durable import sync_file
from petlesion.nifti import write_image
from petlesion.study import PetCt

LIMIT_BYTES = 20 * 2**30
"""Copies that are kept by default; a whole-body PET with its CT takes 50 to 100 MB."""
STAGING = ".writing-"
"""Beginning of the names of folders in which files are written; a server that is killed leaves them."""
ARCHIVE = "dataset.zip"
"""All images with their labels, as a client asked for last."""


class ImageCopies:
    """Copies of images by id and revision; safe to use from several threads.

    Parameters
    ----------
    folder
        Created where missing.
    limit_bytes
        Of all copies together.
    clock
        Seconds since 1970.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._limit, self._clock = limit_bytes, clock
        self._lock = threading.Lock()

    def pet_file(self, case: Case) -> Path:
        """Where the copy of a PET is or will be."""
        return self.folder / f"{case.image_id}-{case.revision}.nii.gz"

    def ct_file(self, case: Case) -> Path:
        """Where that of its CT is, if it has one."""
        return self.folder / f"ct-{self.pet_file(case).name}"

    def copied(self, case: Case, load: Callable[[], PetCt]) -> Path:
        """The copy of a PET, beside that of its CT; `load` reads the study where there is none yet."""
        path = self.pet_file(case)
        with self._lock, contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return path
        study = load()
        with self.staging() as folder:
            draft = folder / path.name
            if study.ct is not None:  # first: once the PET is there, both are
                write_image(study.ct, draft)
                sync_file(draft)
                draft.replace(self.ct_file(case))
            write_image(study.pet, draft)
            sync_file(draft)
            draft.replace(path)
        return path

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder in which to write what is moved to `folder` once it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGING, dir=self.folder) as folder:
            yield Path(folder)

    def prune(self) -> None:
        """Remove the copies that go beyond the limit, and what a killed server or an earlier download has left."""
        with self._lock:
            old = self._clock() - KEPT_S
            for paths in beyond(self._copies(), self._limit, old):
                for path in paths:
                    path.unlink(missing_ok=True)
            for path in (self.folder / ARCHIVE, *self.folder.glob(f"{STAGING}*")):
                with contextlib.suppress(OSError):  # gone meanwhile
                    if max(each.stat().st_mtime for each in (path, *path.glob("*"))) < old:
                        path.unlink() if path.is_file() else shutil.rmtree(path)

    def _copies(self) -> list[tuple[list[Path], float, int]]:
        """Files, last use and bytes of each copy; the PET comes before its CT, without which it must not stay."""
        files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.folder.glob("*.nii.gz"), key=lambda path: path.name.startswith("ct-")):
            files[path.name.removeprefix("ct-")].append(path)
        found = []
        for paths in files.values():
            with contextlib.suppress(OSError):
                status = [path.stat() for path in paths]
                found.append((paths, max(each.st_mtime for each in status), sum(each.st_size for each in status)))
        return found
