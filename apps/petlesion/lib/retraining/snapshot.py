"""Labels of one moment as a cohort that training reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lib.datastore.dicomweb import ArchiveError
from lib.datastore.labels import LabelVersion
from lib.datastore.stores import Stores
from petlesion.case_files import CASE_FILE
from petlesion.durable import sync_file, write_durably
from petlesion.errors import OutputError, PetlesionError
from petlesion.nifti import read_image, write_image, write_labels
from petlesion.study import PetCt
from petlesion.training.cases import patient_name

_WRITING = ".writing-"
"""Beginning of the names of folders in which images are written."""


def case_name(image_id: str) -> str:
    """Name of a case in training and on model cards: no UID of a patient's images leaves with a model."""
    return f"case-{_hash('image', image_id)[:16]}"


def write_cases(
    stores: Stores,
    labels: Sequence[LabelVersion],
    folder: Path,
    images: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Write a case a label: `pet.nii.gz` (SUVbw), `ct.nii.gz`, `lesions.nii.gz`, `case.json`.

    Complete cases that are there are kept, so that an interrupted snapshot is continued; those of other labels are
    removed. Images are shared between rounds by hard links.

    Parameters
    ----------
    stores
        Where images and labels come from.
    labels
        Which; none of them withdrawn.
    folder
        Of the cases.
    images
        Of images that were written for earlier rounds; those of other cases and earlier revisions are removed.
    tell
        Told of each case.

    Returns
    -------
    dict
        Image id → why it was left out: its image is gone or cannot be read.

    Raises
    ------
    OSError, OutputError, ArchiveError
        If the disk is full or refuses, or the DICOMweb server is away; what was written is used when it is tried again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out: dict[str, str] = {}
    # What a round that was killed was writing, too: there is one at a time.
    _remove_others([*folder.glob("case-*"), *images.glob("case-*-*"), *images.glob(f"{_WRITING}*")], labels)
    for number, label in enumerate(labels, start=1):
        target = folder / case_name(label.image_id)
        if (target / CASE_FILE).is_file():
            continue
        tell(f"snapshot: case {number} of {len(labels)}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        try:
            _write_case(stores, label, target, images)
        except (OSError, OutputError, ArchiveError):  # the disk or the server: the next case would fare no better
            shutil.rmtree(target)
            raise
        except PetlesionError as error:
            shutil.rmtree(target)
            left_out[label.image_id] = str(error)
            tell(f"snapshot: {label.image_id} is left out: {error}")
    return left_out


def _write_case(stores: Stores, label: LabelVersion, target: Path, images: Path) -> None:
    case = stores.cases.case(label.image_id)
    source = images / f"{target.name}-{_hash('revision', case.revision)[:8]}"
    if not source.is_dir():
        for earlier in images.glob(f"{target.name}-*"):
            shutil.rmtree(earlier)
        # Past the cache, which would hold the images through the training.
        _write_images(stores.cases.source.load(case), source)
    for path in source.iterdir():
        _link(path, target / path.name)
    grid = read_image(target / "pet.nii.gz").grid
    write_labels(label.read_on(grid).array, grid, target / "lesions.nii.gz")
    about = {
        "patient_id": patient_name(case.patient_id),
        "tracer": case.tracer.value,
        "label": {"version": label.version, "sha256": label.sha256},
    }
    write_durably(target / CASE_FILE, json.dumps(about).encode())


def _remove_others(folders: Sequence[Path], labels: Sequence[LabelVersion]) -> None:
    """Remove cases that have no label any more, and their images, whose names go on with the revision."""
    labelled = tuple(case_name(label.image_id) for label in labels)
    for folder in folders:
        if not folder.name.startswith(labelled):
            shutil.rmtree(folder)


def _write_images(study: PetCt, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_WRITING, dir=folder.parent) as staging:
        draft = Path(staging) / folder.name
        draft.mkdir()
        write_image(study.pet, draft / "pet.nii.gz")
        if study.ct is not None:
            write_image(study.ct, draft / "ct.nii.gz")
        for path in draft.iterdir():
            sync_file(path)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _hash(kind: str, text: str) -> str:
    return hashlib.sha256(f"petlesion {kind}\0{text}".encode()).hexdigest()
