"""Images in a folder: SUV volumes as `<id>.nii.gz` with `ct/<id>.nii.gz`, and DICOM studies in sub-folders."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread

from lib.datastore.cases import Case, CtView, FoundLabel
from lib.datastore.image_ids import UnknownImageError, is_safe_name
from petlesion.dicom.attributes import text
from petlesion.dicom.reader import SeriesChoice, read_dicom
from petlesion.dicom.scan import DicomIndex, Series, files_below, scan
from petlesion.dicom.selection import why_unusable_pet
from petlesion.dicom.series import stack_slices
from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.tracer import identify_tracer
from petlesion.errors import GeometryError, NoDicomError, PetlesionError
from petlesion.reader import read_nifti
from petlesion.study import PetCt
from petlesion.tracers import TracerName

CT_FOLDER = "ct"
"""Sub-folder of CTs, named like their PETs."""
LABEL_FOLDER = Path("labels", "final")
"""Sub-folder in which other programs leave labels, named like their PETs; MONAI Label's own local store does."""
NIFTI_ENDINGS = (".nii.gz", ".nii")
LABEL_ENDINGS = (*NIFTI_ENDINGS, ".nrrd")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """What a refresh found: cases with the NIfTI file of each, and the DICOM index of the others."""

    cases: tuple[Case, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    index: DicomIndex | None = None
    tree: tuple[tuple[str, int, int], ...] = ()


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
    """

    def __init__(self, folder: Path, tracer: TracerName = TracerName.UNKNOWN) -> None:
        self.folder = folder
        self._tracer = tracer
        self._found = _Found()
        folder.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again; DICOM headers are only read where files came, went or changed."""
        files = self._nifti_files()
        tree = self._dicom_tree()
        index = self._found.index if tree == self._found.tree else self._scan()
        cases = [self._nifti_case(image_id, path) for image_id, path in files.items()]
        if index is not None:
            cases += [_dicom_case(series) for series in index.series if _is_usable_pet(series)]
        self._found = _Found(tuple(sorted(cases, key=lambda case: case.image_id)), files, index, tree)

    def cases(self) -> tuple[Case, ...]:
        """What the last refresh found, ordered by image id."""
        return self._found.cases

    def why_not(self, image_id: str) -> str:
        """Why a PET is no case, as the end of a sentence; empty where there is no such PET."""
        index = self._found.index
        series = () if index is None else index.series
        return next((why_unusable_pet(each) for each in series if each.uid == image_id and each.modality == "PT"), "")

    def file(self, image_id: str) -> Path | None:
        """NIfTI file of an image; None where it is a DICOM series."""
        return self._found.files.get(image_id)

    def load(self, case: Case) -> PetCt:
        """Read a case.

        Raises
        ------
        PetlesionError
            If it is gone, or cannot be read.
        """
        found = self._found
        if case.image_id in found.files:
            path = found.files[case.image_id]
            candidates = (self.folder / CT_FOLDER / f"{case.image_id}{ending}" for ending in NIFTI_ENDINGS)
            return read_nifti(path, next((ct for ct in candidates if ct.is_file()), None), case.tracer)
        if found.index is None:
            raise UnknownImageError(f"image {case.image_id} is gone", where=self.folder, remedy="put it back")
        return read_dicom(found.index, choice=SeriesChoice(study_uid=case.study_uid, pet_uid=case.image_id))

    def ct_view(self, series_uid: str) -> CtView | None:
        """The CT with this SeriesInstanceUID, if it was made with one of the PETs."""
        index = self._found.index
        return None if index is None else ct_view_in(index, series_uid, self.cases())

    def segmentations(self, known: Collection[str]) -> Iterator[FoundLabel]:
        """DICOM SEGs among the DICOM files, and files in `labels/final`, but for those whose key is known."""
        index = self._found.index
        for skipped in () if index is None else index.skipped:
            if skipped.modality == "SEG":
                uid = text(dcmread(skipped.path, specific_tags=["SOPInstanceUID"]), "SOPInstanceUID")
                if uid and uid not in known:
                    yield FoundLabel(uid, skipped.path)
        folder = self.folder / LABEL_FOLDER
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.name.endswith(LABEL_ENDINGS):
                with path.open("rb") as stream:
                    key = hashlib.file_digest(stream, "sha256").hexdigest()
                if key not in known:
                    yield FoundLabel(key, path)

    def _nifti_files(self) -> dict[str, Path]:
        files = {}
        for path in sorted(self.folder.iterdir()):
            ending = next((ending for ending in NIFTI_ENDINGS if path.name.endswith(ending)), None)
            if ending is None or not path.is_file():
                continue
            image_id = path.name.removesuffix(ending)
            if is_safe_name(image_id):
                files[image_id] = path
            else:
                logger.warning("%s is not offered: its name is no image id; rename it", path)
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
                logger.warning("%s is not used: %s", about, error)
        status = path.stat()
        return Case(image_id, patient_id, tracer, revision=f"{status.st_size} {status.st_mtime_ns}")

    def _dicom_tree(self) -> tuple[tuple[str, int, int], ...]:
        """Files that may be DICOM, with size and time: what a new scan would look at."""
        paths = (path for path in files_below(self.folder, []) if path.suffix not in (".gz", ".json"))
        status = [(str(path), path.stat()) for path in paths]
        return tuple((name, each.st_size, each.st_mtime_ns) for name, each in status)

    def _scan(self) -> DicomIndex | None:
        try:
            return scan(self.folder)
        except NoDicomError:
            return None


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


def _is_usable_pet(series: Series) -> bool:
    return series.modality == "PT" and is_safe_name(series.uid) and not why_unusable_pet(series)


def _dicom_case(series: Series) -> Case:
    return case_of(series, str(len(series.instances)))


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
        patient_id=text(header, "PatientID") or series.study_uid,
        tracer=identify_tracer(header).tracer.name,
        study_uid=series.study_uid,
        study_date=text(header, "StudyDate"),
        description=text(header, "SeriesDescription"),
        revision=revision,
        problem=problem,
    )
