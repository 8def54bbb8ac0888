"""Images of the annotation server: which there are, and each as a `PetCt`, with a bounded cache of loaded ones."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lib.datastore.image_ids import UnknownImageError, checked_id
from petlesion.study import PetCt
from petlesion.tracers import TracerName
from petlesion.volume import Grid

CACHE_BYTES = 4 * 2**30
"""Loaded volumes that are kept by default; a whole-body PET with its CT takes 50 to 200 MB."""


@dataclass(frozen=True)
class Case:
    """An image that can be annotated, as far as its header says, without loading it.

    Attributes
    ----------
    image_id
        SeriesInstanceUID of the PET; of a NIfTI file its name without ending.
    patient_id
        PatientID, by which data is split; the image id where there is none.
    tracer
        As the header says.
    study_uid, study_date, description
        For display; empty where not known.
    revision
        Changes when the images do: those of the PET, or its CT.
    problem
        Why it cannot be read as SUV, where its header says so already.
    """

    image_id: str
    patient_id: str
    tracer: TracerName
    study_uid: str = ""
    study_date: str = ""
    description: str = ""
    revision: str = ""
    problem: str = ""


@dataclass(frozen=True)
class CtView:
    """A CT in which a client draws: results for it are wanted on its own grid.

    Attributes
    ----------
    image_id
        The PET that it belongs to.
    grid
        Grid of the CT; slices by increasing position along the normal, as viewers order them.
    """

    image_id: str
    grid: Grid


@dataclass(frozen=True)
class FoundLabel:
    """A label that another program stored where the images are.

    Attributes
    ----------
    key
        SOPInstanceUID of a DICOM SEG (`path` ends in `.dcm`); of another file what `file_key` makes of it.
    path
        The file.
    image_id
        Of the image that the file is named after; empty where its header says which.
    """

    key: str
    path: Path
    image_id: str = ""


def file_key(image_id: str, sha256: str) -> str:
    """Key of a label file: for two images its content may well be the same, with no lesion for instance."""
    return f"{image_id} {sha256}"


def revision_of(parts: Iterable[object]) -> str:
    """Revision of images, the same in any process: of what identifies them, in any order."""
    return hashlib.sha256("\n".join(sorted(map(str, parts))).encode()).hexdigest()[:16]


class CaseSource(Protocol):
    """Where images come from: a DICOMweb server or a folder."""

    def refresh(self) -> None:
        """Look for new, changed and removed images."""

    def cases(self) -> tuple[Case, ...]:
        """What the last refresh found, ordered by image id."""

    def why_not(self, image_id: str) -> str:
        """Why a PET is no case, as the end of a sentence; empty where there is no such PET."""

    def load(self, case: Case) -> PetCt:
        """Read a case: PET in SUVbw, CT on its grid."""

    def ct_view(self, series_uid: str) -> CtView | None:
        """The CT with this SeriesInstanceUID, if it was made with one of the PETs."""

    def segmentations(self, known: Collection[str]) -> Iterable[FoundLabel]:
        """Labels stored beside the images, but for those whose key is known."""


class CaseStore:
    """Images by id; safe to use from several threads, and each process has its own.

    Parameters
    ----------
    source
        A DICOMweb server or a folder.
    cache_bytes
        Loaded volumes to keep; the least recently used go first.
    """

    def __init__(self, source: CaseSource, cache_bytes: int = CACHE_BYTES) -> None:
        self._source = source
        self._limit = cache_bytes
        self._loaded: OrderedDict[tuple[str, str], PetCt] = OrderedDict()
        self._views: dict[str, tuple[Case, CtView]] = {}
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    @property
    def source(self) -> CaseSource:
        """Where the images come from."""
        return self._source

    def refresh(self) -> None:
        """Look for new, changed and removed images."""
        self._source.refresh()

    def cases(self) -> tuple[Case, ...]:
        """All images that can be annotated, ordered by id."""
        return tuple(case for case in self._source.cases() if not case.problem)

    def case(self, image_id: str) -> Case:
        """One image, also one with a problem; looks again where it was not there before.

        Raises
        ------
        UnknownImageError
            If there is none.
        """
        checked_id(image_id)
        for attempt in range(2):
            if attempt:
                self.refresh()
            found = next((case for case in self._source.cases() if case.image_id == image_id), None)
            if found is not None:
                return found
        if reason := self._source.why_not(image_id):
            raise UnknownImageError(
                f"PET {image_id} is not offered: {reason}", remedy="choose another series of the study"
            )
        raise UnknownImageError(
            f"there is no PET {image_id}", remedy="give the SeriesInstanceUID of a PET (or its CT) in the datastore"
        )

    def load(self, image_id: str) -> PetCt:
        """PET in SUVbw and its CT on the same grid, from the cache or the source.

        Raises
        ------
        PetlesionError
            If there is no such image, or it cannot be read as SUV.
        """
        case = self.case(image_id)
        with self._lock:
            loading = self._loading.setdefault(image_id, threading.Lock())
        with loading:
            key = (case.image_id, case.revision)
            with self._lock:
                if key in self._loaded:
                    self._loaded.move_to_end(key)
                    return self._loaded[key]
            study = self._source.load(case)
            with self._lock:
                self._keep(key, study)
            return study

    def ct_view(self, series_uid: str) -> CtView | None:
        """The CT with this SeriesInstanceUID, if it was made with one of the PETs; None where it was not."""
        checked_id(series_uid)
        view = self.known_ct_view(series_uid)
        if view is None:
            view = self._source.ct_view(series_uid)
            if view is not None:
                case = self.case(view.image_id)
                with self._lock:
                    self._views[series_uid] = case, view
        return view

    def known_ct_view(self, series_uid: str) -> CtView | None:
        """The same where it was asked for before and no image has changed since, without asking the source."""
        with self._lock:
            known = self._views.get(series_uid)
        return known[1] if known is not None and known[0] in self._source.cases() else None

    @property
    def cached_bytes(self) -> int:
        """Bytes of the volumes that are kept."""
        with self._lock:
            return sum(map(_size, self._loaded.values()))

    def _keep(self, key: tuple[str, str], study: PetCt) -> None:
        for other in [known for known in self._loaded if known[0] == key[0]]:
            del self._loaded[other]
        self._loaded[key] = study
        while len(self._loaded) > 1 and sum(map(_size, self._loaded.values())) > self._limit:
            self._loaded.popitem(last=False)


def _size(study: PetCt) -> int:
    return study.pet.array.nbytes + (0 if study.ct is None else study.ct.array.nbytes)
