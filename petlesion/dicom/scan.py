"""Find the DICOM images in a folder, whatever else lies there, and group them by study and series."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from petlesion.dicom.attributes import text
from petlesion.dicom.header import Instance, Skipped, read_instance
from petlesion.errors import NoDicomError, UsageError, reason, why_no_folder
from petlesion.progress import Progress, silent


@dataclass(frozen=True)
class Series:
    """Images that share a SeriesInstanceUID, in the order of their paths.

    Attributes
    ----------
    study_uid, uid, modality
        As in the header.
    instances
        At least one image; each SOPInstanceUID once.
    """

    study_uid: str
    uid: str
    modality: str
    instances: tuple[Instance, ...]

    @property
    def title(self) -> str:
        """How messages name the series: number, description, UID."""
        header = self.instances[0].header
        description = text(header, "SeriesDescription")
        name = f'{text(header, "SeriesNumber")} "{description}"' if description else text(header, "SeriesNumber")
        return " ".join(f"series {name} ({self.uid})".split())


@dataclass(frozen=True)
class DicomIndex:
    """What a folder holds.

    Attributes
    ----------
    folder
        The folder.
    series
        Series of PET and CT, ordered by study, modality and UID.
    skipped
        All other files, with the reason.
    warnings
        What was tolerated.
    """

    folder: Path
    series: tuple[Series, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def study_uids(self) -> tuple[str, ...]:
        """StudyInstanceUIDs with a series of modality PT, ordered."""
        return tuple(sorted({series.study_uid for series in self.series if series.modality == "PT"}))

    def contents(self) -> str:
        """What the folder holds, as part of a sentence: counts by modality, and of files that are no DICOM."""
        found = Counter(instance.modality for series in self.series for instance in series.instances)
        found.update(skipped.modality for skipped in self.skipped if skipped.modality)
        parts = [f"{count} {modality}" for modality, count in sorted(found.items())]
        damaged = sum(skipped.damaged for skipped in self.skipped)
        other = len(self.skipped) - damaged - sum(1 for skipped in self.skipped if skipped.modality)
        parts += [f"{damaged} damaged"] if damaged else []
        parts += [f"{other} other"] if other else []
        return f"found {', '.join(parts)} files" if parts else "the folder is empty"


def scan(folder: Path, progress: Progress = silent) -> DicomIndex:
    """Index all DICOM images in a folder and its sub-folders, by content and not by name.

    Symbolic links are followed, each folder is visited once. Of several files with the same image one is kept.

    Parameters
    ----------
    folder
        Any nesting, any other files among the images.
    progress
        Told how many files have been looked at.

    Returns
    -------
    DicomIndex
        Independent of the order in which the file system lists files.

    Raises
    ------
    UsageError
        If `folder` is not a folder.
    NoDicomError
        If no file is a DICOM object.
    """
    if why := why_no_folder(folder):
        raise UsageError(
            "no study",
            where=f"{folder}, which {why}",
            remedy="give a folder of DICOM files, or one with pet.nii.gz",
        )
    instances: list[Instance] = []
    skipped: list[Skipped] = []
    paths = list(files_below(folder, skipped))
    for done, path in enumerate(paths, start=1):
        found = read_instance(path)
        if isinstance(found, Instance):
            instances.append(found)
        else:
            skipped.append(found)
        progress(done, len(paths))
    unique, warnings = _without_duplicates(instances)
    index = DicomIndex(folder, _group(unique), tuple(skipped), tuple(warnings))
    if not unique and not any(file.modality for file in skipped):
        raise NoDicomError(
            f"no DICOM file ({index.contents()})",
            where=folder,
            remedy="give the folder that holds the DICOM files of the study",
        )
    return index


def files_below(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Yield all regular files below a folder, ordered by name.

    Parameters
    ----------
    folder
        Symbolic links are followed, each folder is visited once.
    skipped
        Folders that cannot be listed are added to it.
    """
    return _files_below(folder, set(), skipped)


def _files_below(folder: Path, visited: set[tuple[int, int]], skipped: list[Skipped]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        skipped.append(Skipped(folder, f"folder cannot be listed ({reason(error)})", damaged=True))
        return
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for entry in entries:
        if entry.is_dir():
            yield from _files_below(Path(entry.path), visited, skipped)
        elif entry.is_file():
            yield Path(entry.path)


def _without_duplicates(instances: Iterable[Instance]) -> tuple[list[Instance], list[str]]:
    """Keep the first whole file of each image; files that only share a UID are kept for the geometry to refuse."""
    kept: dict[tuple[str, str, tuple[float, ...]], Instance] = {}
    duplicates: list[Instance] = []
    for instance in instances:
        key = (instance.series_uid, instance.sop_uid, instance.position)
        other = kept.get(key)
        if other is None:
            kept[key] = instance
        elif other.damage and not instance.damage:
            kept[key] = instance
            duplicates.append(other)
        else:
            duplicates.append(instance)
    if not duplicates:
        return list(kept.values()), []
    return list(kept.values()), [f"{len(duplicates)} copies of images ignored, {duplicates[0].path.name} for instance."]


def _group(instances: Iterable[Instance]) -> tuple[Series, ...]:
    groups: dict[tuple[str, str, str], list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.study_uid, instance.modality, instance.series_uid].append(instance)
    return tuple(
        Series(study_uid, uid, modality, tuple(members))
        for (study_uid, modality, uid), members in sorted(groups.items())
    )
