"""Every label that was ever submitted, as files: nothing is overwritten, nothing is lost.

Layout below the folder of the store::

    <image id>/<tag>/v000001.nii.gz   label on the PET grid, uint16, 0 background, one integer a lesion
    <image id>/<tag>/v000001.json     who, when, how, SHA-256; the version exists as soon as this file does
    <image id>/<tag>/v000001.as-submitted.dcm   what the client sent, but for bare voxels on the PET grid
    <image id>/<tag>/v000001.dicom.json         which DICOM SEG holds it in the DICOMweb server, once it does
    <image id>/<tag>/.lock            held while a version is added

The files are the index: there is no other that could disagree with them. Any process may read at any time, with or
without a server; writers, of this or other processes, take turns by the lock, which the kernel frees when its holder is
killed. A killed writer leaves at most files without a `.json`, which nobody sees and the next version replaces. A
record that cannot be read is named in the log, and keeps its number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.datastore.image_ids import UnknownLabelError, checked_id, checked_tag, is_safe_name
from petlesion.durable import exclusive, sync_file, sync_folder, write_durably
from petlesion.errors import OutputError, reason
from petlesion.lesions import LABEL_DTYPE
from petlesion.nifti import read_labels, write_labels
from petlesion.resample import Interpolation, resample
from petlesion.volume import Grid, Volume

FINAL = "final"
"""Tag of labels that a person has submitted; what training learns from."""
ORIGINAL = "original"
"""Tag of labels as an algorithm made them."""
FOUND = ("dicom", "file")
"""Sources of labels that other programs stored; their `info` says where."""
_RECORDS_KEPT = 100_000
"""Most records that are kept in memory, a kilobyte each: the server asks for all of them every few seconds."""
_WRITING = ".writing-"
"""Beginning of the names of folders in which files are written."""
_RECORD = re.compile(r"v(\d{6,})\.json")
_DAMAGE = (OSError, ValueError, KeyError, TypeError)
"""What reading a damaged JSON file raises."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelVersion:
    """One submission.

    Attributes
    ----------
    image_id, tag, version
        Of which image, as what, and the how-manieth of those (1, 2, ...).
    path
        NIfTI file, uint16, on the grid of the PET. Of a withdrawn label there is none, and the path is None.
    sha256
        Of that file; empty for a withdrawn label.
    annotator
        Who submitted it, as the client or the SEG says; empty where neither does.
    time
        When it arrived, UTC.
    source
        How: `client` (a request), `dicom` (a SEG that another program stored), `file` (in the folder), or the name of a
        model for pre-labels.
    lesions, voxels
        How many; 0 for "no lesion", which is a label like any other.
    withdrawn
        Whether this version takes back the ones before it.
    info
        What else came with it, such as `label_info` of the client, and `sop_instance_uid` of the SEG it was read from.
    """

    image_id: str
    tag: str
    version: int
    path: Path | None
    sha256: str
    annotator: str
    time: datetime
    source: str
    lesions: int
    voxels: int
    withdrawn: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Volume:
        """The label, (z, y, x) uint16 on the grid that the PET had.

        Raises
        ------
        UnknownLabelError
            If it was withdrawn, or its file is missing or not the one that was stored.
        """
        if self.path is None:
            raise UnknownLabelError(
                f"version {self.version} of {self.image_id} withdraws the label", remedy="read an earlier version"
            )
        try:
            intact = _sha256(self.path) == self.sha256
        except OSError:
            intact = False
        if not intact:
            raise UnknownLabelError(
                f"label {self.path.name} of {self.image_id} is missing or not the file that was stored",
                where=self.path.parent,
                remedy="restore it from a backup",
            )
        volume = read_labels(self.path)
        return Volume(volume.array.astype(LABEL_DTYPE, copy=False), volume.grid)

    def read_on(self, grid: Grid) -> Volume:
        """The label on the grid that the PET has now, which is another where images arrived or were replaced since.

        Raises
        ------
        UnknownLabelError
            As `read`.
        """
        volume = self.read()
        if volume.grid.is_close(grid):
            return Volume(volume.array, grid)
        return resample(volume, grid, Interpolation.NEAREST)


@dataclass(frozen=True)
class LabelSnapshot:
    """The current labels of all images at one moment, as training takes them.

    Attributes
    ----------
    labels
        The newest version of each labelled image, ordered by image id; withdrawn ones are left out.
    """

    labels: tuple[LabelVersion, ...]

    @property
    def sha256(self) -> str:
        """Identity: over ids, versions and hashes. Equal labels give an equal identity in any process."""
        lines = (f"{label.image_id} {label.version} {label.sha256}\n" for label in self.labels)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class LabelStore:
    """Versions of labels in a folder; see the module for the layout.

    Parameters
    ----------
    folder
        Created where missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._passed_over: set[Path] = set()

    def save(
        self,
        image_id: str,
        labels: NDArray[np.integer[Any]],
        grid: Grid,
        *,
        tag: str = FINAL,
        annotator: str = "",
        source: str = "client",
        info: Mapping[str, Any] | None = None,
        version: int | None = None,
        as_submitted: Path | None = None,
    ) -> LabelVersion:
        """Add a version; returns once it is on the disk.

        Parameters
        ----------
        image_id, tag, annotator, source, info
            See `LabelVersion`.
        labels
            (z, y, x) whole numbers from 0 to 65535, one a lesion; all 0 says "no lesion".
        grid
            Grid of the PET.
        version
            Of a label that comes back after the store was lost: what was current then is current again, whichever
            comes back first. Without, or where there is such a version, the label becomes the newest.
        as_submitted
            File that the client sent, to be kept beside the label.

        Raises
        ------
        UsageError
            If the id or the tag could be none.
        OutputError
            If the disk refuses; then the store is as it was.
        """
        array = labels.astype(LABEL_DTYPE, casting="unsafe", copy=False)
        numbers = np.unique(array[array > 0])
        draft = LabelVersion(
            image_id=checked_id(image_id),
            tag=checked_tag(tag),
            version=version or 0,
            path=None,
            sha256="",
            annotator=annotator,
            time=datetime.now(UTC),
            source=source,
            lesions=len(numbers),
            voxels=int(np.count_nonzero(array)),
            info=dict(info or {}),
        )

        def write(stem: Path) -> str:
            path = stem.with_name(f"{stem.name}.nii.gz")
            _write_in_place(path, lambda draft_path: write_labels(array, grid, draft_path))
            if as_submitted is not None:
                kept = stem.with_name(f"{stem.name}.as-submitted{_suffix(as_submitted)}")
                _write_in_place(kept, lambda draft_path: shutil.copyfile(as_submitted, draft_path))
            return _sha256(path)

        return self._add(draft, write)

    def withdraw(self, image_id: str, tag: str, *, annotator: str = "") -> LabelVersion:
        """Take the current label back: the image counts as unlabelled, and all versions stay.

        Raises
        ------
        UnknownLabelError
            If there is none.
        """
        self.current(image_id, tag)
        return self._add(
            LabelVersion(
                image_id, tag, 0, None, "", annotator, datetime.now(UTC), "client", lesions=0, voxels=0, withdrawn=True
            ),
            lambda _: "",
        )

    def versions(self, image_id: str, tag: str = FINAL) -> tuple[LabelVersion, ...]:
        """All versions of one label, oldest first; none where nothing was submitted."""
        return tuple(self._readable(_records(self.folder / checked_id(image_id) / checked_tag(tag))))

    def current(self, image_id: str, tag: str = FINAL) -> LabelVersion:
        """The newest version.

        Raises
        ------
        UnknownLabelError
            If there is none, or it was withdrawn.
        """
        newest = self._newest(self.folder / checked_id(image_id) / checked_tag(tag))
        if newest is None:
            raise UnknownLabelError(f"image {image_id} has no label {tag}", remedy="submit one first")
        return newest

    def current_by_tag(self, image_id: str) -> dict[str, LabelVersion]:
        """The current labels of an image."""
        folder = self.folder / checked_id(image_id)
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        newest = {path.name: self._newest(path) for path in paths if is_safe_name(path.name)}
        return {tag: label for tag, label in newest.items() if label is not None}

    def snapshot(self, tag: str = FINAL) -> LabelSnapshot:
        """The newest version of every image that has one."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        newest = (self._newest(folder / checked_tag(tag)) for folder in folders if is_safe_name(folder.name))
        return LabelSnapshot(tuple(label for label in newest if label is not None))

    def everything(self) -> Iterator[LabelVersion]:
        """All versions of all labels, withdrawn ones included."""
        for folder in sorted(self.folder.glob("*/*")):
            if is_safe_name(folder.parent.name) and is_safe_name(folder.name):
                yield from self._readable(_records(folder))

    def note_dicom(self, label: LabelVersion, sop_instance_uid: str) -> None:
        """Remember which SEG of the DICOMweb server holds a version."""
        path = self._stem(label).with_suffix(".dicom.json")
        write_durably(path, json.dumps({"sop_instance_uid": sop_instance_uid}).encode())

    def dicom_uid(self, label: LabelVersion) -> str:
        """SOPInstanceUID of the SEG that holds a version in the DICOMweb server; empty where none does."""
        if label.source in FOUND:
            return str(label.info.get("sop_instance_uid", ""))
        path = self._stem(label).with_suffix(".dicom.json")
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["sop_instance_uid"])
        except _DAMAGE:  # none, as a rule; it is sent again then, with the same UID
            return ""

    def _stem(self, label: LabelVersion) -> Path:
        return self.folder / label.image_id / label.tag / f"v{label.version:06}"

    def _newest(self, folder: Path) -> LabelVersion | None:
        newest = next(self._readable(_records(folder)[-1:]), None)
        return None if newest is None or newest.withdrawn else newest

    def _readable(self, records: Sequence[tuple[int, Path]]) -> Iterator[LabelVersion]:
        """Versions by their records; a damaged one hides no other, and is logged once."""
        for _, path in records:
            try:
                yield _read_record(path)
            except _DAMAGE as error:
                if path not in self._passed_over:
                    self._passed_over.add(path)
                    logger.error("%s is no label (%s); restore it from a backup", path, error)

    def _add(self, draft: LabelVersion, write: Callable[[Path], str]) -> LabelVersion:
        folder = self.folder / draft.image_id / draft.tag
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / ".lock"):
                for left in folder.glob(f"{_WRITING}*"):  # of a writer that was killed: nobody else writes now
                    shutil.rmtree(left, ignore_errors=True)
                taken = {0, *(number for number, _ in _records(folder))}
                label = replace(draft, version=draft.version if draft.version not in taken else max(taken) + 1)
                label = replace(label, sha256=write(self._stem(label)))
                record = self._stem(label).with_suffix(".json")
                write_durably(record, _to_json(label).encode())
        except OSError as error:
            raise OutputError(
                f"label cannot be stored ({reason(error)})", where=folder, remedy="free space or permissions"
            ) from error
        return _read_record(record)


def _records(folder: Path) -> list[tuple[int, Path]]:
    """Number and record of all versions in a folder, oldest first."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [(int(match[1]), folder / name) for name in names if (match := _RECORD.fullmatch(name))]
    return sorted(found)


def _read_record(path: Path) -> LabelVersion:
    status = path.stat()
    return _read_unchanged(path, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=_RECORDS_KEPT)
def _read_unchanged(path: Path, _inode: int, _changed_ns: int) -> LabelVersion:
    """Read a record once, as long as it is the same file; one that cannot be read is tried each time."""
    values = json.loads(path.read_text(encoding="utf-8"))
    label_file = None if values["withdrawn"] else path.with_suffix(".nii.gz")
    values |= {"time": datetime.fromisoformat(values["time"]), "path": label_file}
    return LabelVersion(**values)


def _to_json(label: LabelVersion) -> str:
    values = asdict(label) | {"time": label.time.isoformat()}
    del values["path"]
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _write_in_place(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside and rename, with the bytes on the disk before the name is: whole or not there."""
    with tempfile.TemporaryDirectory(prefix=_WRITING, dir=path.parent) as folder:
        draft = Path(folder) / path.name
        write(draft)
        sync_file(draft)
        draft.replace(path)
    sync_folder(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _suffix(path: Path) -> str:
    """Ending of a file name, of a client, hence checked; `.nii.gz` counts as one."""
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    return suffix if re.fullmatch(r"(\.[A-Za-z0-9]{1,8}){1,2}", suffix) else ".bin"
