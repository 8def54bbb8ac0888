"""Images in a folder: SUV volumes as `<id>.nii.gz` with `ct/<id>.nii.gz`, and DICOM studies in sub-folders."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import dcmread

from lib.datastore.cases import Case, CtView, FoundLabel, file_key, revision_of
from lib.datastore.image_ids import UnknownImageError, is_safe_name
from petlesion.case_files import image_file
from petlesion.dicom.attributes import joined, number, text, values
from petlesion.dicom.header import PARSE_ERRORS
from petlesion.dicom.reader import SeriesChoice, read_dicom
from petlesion.dicom.scan import DicomIndex, Series, files_below, scan
from petlesion.dicom.selection import why_unusable_pet
from petlesion.dicom.series import stack_slices
from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.tracer import identify_tracer
from petlesion.errors import GeometryError, NoDicomError, PetlesionError
from petlesion.nifti import SUFFIXES
from petlesion.reader import read_nifti
from petlesion.study import PetCt
from petlesion.tracers import TracerName

CT_FOLDER = "ct"
"""Sub-folder of CTs, named like their PETs."""
LABEL_FOLDER = Path("labels", "final")
"""Sub-folder in which other programs leave labels, named like their PETs; MONAI Label's own local store does."""
LABEL_ENDINGS = (*SUFFIXES, ".nrrd")
VOLUME_COUNTS = ("NumberOfTimeSlices", "NumberOfTimeSlots", "NumberOfRRIntervals")
"""How many volumes a dynamic or gated series is of (DICOM PS3.3, C.8.9.1)."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """What a refresh found: cases with the NIfTI file of each, and the DICOM index of the others."""

    cases: tuple[Case, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    index: DicomIndex | None = None
    dicom: tuple[Case, ...] = ()
    tree: dict[str, str] = field(default_factory=dict)


class LocalFolder:
    """Images in a folder.

    A file `<id>.json` beside `<id>.nii.gz` may hold `patient_id` and `tracer`; without it the patient has the name of
    the file.

    Parameters
    ----------
    folder
        Created where missing.
    tracer
        Of NIfTI images whose `.json` names none.
    without
        Folders in it that hold no images and no labels of others: the server's own.
    """

    def __init__(self, folder: Path, tracer: TracerName = TracerName.UNKNOWN, without: Collection[Path] = ()) -> None:
        self.folder = folder.resolve()
        self._tracer = tracer
        self._without = tuple(f"{path.resolve()}{os.sep}" for path in without)
        self._found = _Found()
        self._told: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again; DICOM headers are only read where files came, went or changed."""
        files = self._nifti_files()
        tree = self._dicom_tree()
        index, dicom = self._found.index, self._found.dicom
        if tree != self._found.tree:
            index = self._scan()
            dicom = () if index is None else _dicom_cases(index, tree)
        cases = [*dicom, *(self._nifti_case(image_id, path) for image_id, path in files.items())]
        self._found = _Found(tuple(sorted(cases, key=lambda case: case.image_id)), files, index, dicom, tree)

    def cases(self) -> tuple[Case, ...]:
        """What the last refresh found, ordered by image id."""
        return self._found.cases

    def why_not(self, image_id: str) -> str:
        """Why a PET is no case, as the end of a sentence; empty where there is no such PET."""
        index = self._found.index
        series = () if index is None else index.series
        pets = (each for each in series if each.uid == image_id and each.modality == "PT")
        return next((why_no_case(each, len(each.instances)) for each in pets), "")

    def file(self, image_id: str) -> Path | None:
        """NIfTI file of an image; None where it is a DICOM series."""
        return self._found.files.get(image_id)

    def files(self, image_id: str) -> tuple[Path, ...]:
        """All files of a NIfTI image: PET, CT and what is said about it; none where it is a DICOM series."""
        path = self.file(image_id)
        return () if path is None else self._files_of(image_id, path)

    def load(self, case: Case) -> PetCt:
        """Read a case.

        Raises
        ------
        PetlesionError
            If it is gone, or cannot be read.
        """
        found = self._found
        if case.image_id in found.files:
            return read_nifti(found.files[case.image_id], self._nifti_ct(case.image_id), case.tracer)
        if found.index is None:
            raise UnknownImageError(f"image {case.image_id} is gone", where=self.folder, remedy="put it back")
        return read_dicom(found.index, choice=SeriesChoice(study_uid=case.study_uid, pet_uid=case.image_id))

    def ct_view(self, series_uid: str) -> CtView | None:
        """The CT with this SeriesInstanceUID, if it was made with one of the PETs."""
        index = self._found.index
        return None if index is None else ct_view_in(index, series_uid, self.cases())

    def segmentations(self, known: Collection[str]) -> Iterator[FoundLabel]:
        """DICOM SEGs among the DICOM files, and files in `labels/final`, but for those whose key is known.

        One that cannot be read hides no other.
        """
        index, folder = self._found.index, self.folder / LABEL_FOLDER
        skipped = () if index is None else index.skipped
        segs = [(_found_seg, each.path) for each in skipped if each.modality == "SEG"]
        files = [(_found_file, path) for path in (sorted(folder.iterdir()) if folder.is_dir() else ())]
        for look, path in segs + files:
            try:
                found = look(path)
            except (OSError, *PARSE_ERRORS) as error:
                self._warn(f"{path} cannot be read as a label: {error}")
                continue
            if found is not None and found.key not in known:
                yield found

    def _warn(self, message: str) -> None:
        """Log a message once: the folder is looked at every few seconds."""
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)

    def _nifti_files(self) -> dict[str, Path]:
        files = {}
        for path in sorted(self.folder.iterdir()):
            ending = next((ending for ending in SUFFIXES if path.name.endswith(ending)), None)
            if ending is None or not path.is_file():
                continue
            image_id = path.name.removesuffix(ending)
            if is_safe_name(image_id):
                files[image_id] = path
            else:
                self._warn(f"{path} is not offered: its name is no image id; rename it")
        return files

    def _nifti_case(self, image_id: str, path: Path) -> Case:
        about = self.folder / f"{image_id}.json"
        patient_id, tracer = image_id, self._tracer
        if about.is_file():
            try:
                values = json.loads(about.read_text(encoding="utf-8"))
                patient_id = str(values.get("patient_id", image_id))
                tracer = TracerName(values.get("tracer", tracer))
            except (OSError, ValueError, AttributeError) as error:
                self._warn(f"{about} is not used: {error}")
        parts = self._files_of(image_id, path)
        revision = revision_of(f"{each.relative_to(self.folder)} {_size_and_time(each)}" for each in parts)
        return Case(image_id, patient_id, tracer, revision=revision)

    def _files_of(self, image_id: str, path: Path) -> tuple[Path, ...]:
        others = (self._nifti_ct(image_id), self.folder / f"{image_id}.json")
        return (path, *(each for each in others if each is not None and each.is_file()))

    def _nifti_ct(self, image_id: str) -> Path | None:
        return image_file(self.folder / CT_FOLDER, image_id)

    def _dicom_tree(self) -> dict[str, str]:
        """Files that may be DICOM, with size and time: what a new scan would look at."""
        paths = (path for path in files_below(self.folder, []) if path.suffix not in (".gz", ".json"))
        return {str(path): _size_and_time(path) for path in paths if not str(path).startswith(self._without)}

    def _scan(self) -> DicomIndex | None:
        try:
            index = scan(self.folder)
        except NoDicomError:
            return None
        others = (skipped for skipped in index.skipped if not str(skipped.path).startswith(self._without))
        return replace(index, skipped=tuple(others))


def ct_view_in(index: DicomIndex, series_uid: str, cases: tuple[Case, ...]) -> CtView | None:
    """The CT with this SeriesInstanceUID in a scanned folder, with the PET of `cases` that shares its space."""
    ct = next((series for series in index.series if series.uid == series_uid and series.modality == "CT"), None)
    if ct is None:
        return None
    space = text(ct.instances[0].header, "FrameOfReferenceUID")
    known = {case.image_id for case in cases}
    for pet in index.series:
        same = pet.study_uid == ct.study_uid and text(pet.instances[0].header, "FrameOfReferenceUID") == space
        if pet.uid in known and same and space:
            try:
                return CtView(pet.uid, stack_slices(ct.instances, ct.title).grid)
            except GeometryError:
                return None
    return None


def _found_seg(path: Path) -> FoundLabel | None:
    uid = text(dcmread(path, specific_tags=["SOPInstanceUID"]), "SOPInstanceUID")
    return FoundLabel(uid, path) if uid else None


def _found_file(path: Path) -> FoundLabel | None:
    ending = next((ending for ending in LABEL_ENDINGS if path.name.endswith(ending)), None)
    if ending is None or not path.is_file():
        return None
    image_id = path.name.removesuffix(ending)
    with path.open("rb") as stream:
        return FoundLabel(file_key(image_id, hashlib.file_digest(stream, "sha256").hexdigest()), path, image_id)


def _is_usable_pet(series: Series) -> bool:
    return series.modality == "PT" and is_safe_name(series.uid) and not why_no_case(series, len(series.instances))


def _dicom_cases(index: DicomIndex, tree: Mapping[str, str]) -> tuple[Case, ...]:
    """Usable PETs; the revision of each is that of all images of its study."""
    images: dict[str, list[str]] = defaultdict(list)
    for series in index.series:
        images[series.study_uid] += (f"{each.sop_uid} {tree.get(str(each.path))}" for each in series.instances)
    revisions = {study_uid: revision_of(parts) for study_uid, parts in images.items()}
    return tuple(case_of(series, revisions[series.study_uid]) for series in index.series if _is_usable_pet(series))


def _size_and_time(path: Path) -> str:
    """What changes when a file does; empty for one that is gone by now, such as a temporary file of rsync."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def why_no_case(series: Series, images: int) -> str:
    """Why a series of modality PT and so many images cannot be annotated, as the end of a sentence; empty if it can."""
    header = series.instances[0].header
    kind = next(iter(values(header, "SeriesType")), "").upper()
    several = any((number(header, keyword) or 1) > 1 for keyword in VOLUME_COUNTS)
    # Some store each volume as a series of its own, which can be read as if static.
    if kind in ("DYNAMIC", "GATED") and several and images > (number(header, "NumberOfSlices") or 0):
        return f"it is {kind.lower()}, of several volumes"
    return why_unusable_pet(series)


def case_of(series: Series, revision: str) -> Case:
    """What the header of a PET series says of the case."""
    header = series.instances[0].header
    problem = ""
    try:
        suv_conversion([header])
    except PetlesionError as error:
        problem = str(error)
        logger.warning("PET %s is not offered for annotation: %s", series.uid, problem)
    return Case(
        image_id=series.uid,
        patient_id=joined(header, "PatientID") or series.study_uid,
        tracer=identify_tracer(header).tracer.name,
        study_uid=series.study_uid,
        study_date=text(header, "StudyDate"),
        description=text(header, "SeriesDescription"),
        revision=revision,
        problem=problem,
    )
