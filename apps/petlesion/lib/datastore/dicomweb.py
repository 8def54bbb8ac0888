"""Images in a DICOMweb server: PET series are found by QIDO, and fetched once, with their CT, into a folder."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from requests.auth import HTTPBasicAuth

from lib.datastore.archive_notes import ArchiveNotes, Pet
from lib.datastore.backoff import Backoff
from lib.datastore.cases import Case, CtView, FoundLabel, revision_of
from lib.datastore.fetched_files import LIMIT_BYTES, FetchedFiles, checked_uid, is_uid, is_whole
from lib.datastore.local import case_of, ct_view_in, why_no_case
from petlesion.dicom.attributes import text
from petlesion.dicom.header import PARSE_ERRORS, Instance, read_instance
from petlesion.dicom.reader import SeriesChoice, read_dicom
from petlesion.dicom.scan import DicomIndex, Series, scan
from petlesion.errors import ExitCode, GeometryError, PetlesionError
from petlesion.study import PetCt

TIMEOUTS_S = (10.0, 120.0)
"""Longest wait for a connection, and between two pieces of an answer."""
LOOKED_AT_AGAIN = 1
"""PET series at each refresh that are compared image by image, with the CTs of their study: two requests each, one of
which lists all images, slowly in Orthanc."""
AWAY = (502, 503, 504)
"""HTTP status of a proxy whose server does not answer."""
logging.getLogger("dicomweb_client").setLevel(logging.WARNING)  # it logs each request
_ANY_SYNTAX = (("application/dicom", "*"),)
"""Pixel data as the server holds it: the core decodes what it needs."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class ArchiveError(PetlesionError):
    """The DICOMweb server does not answer, or not as DICOM PS3.18 says."""

    exit_code = ExitCode.NO_DICOM


class ArchiveAwayError(ArchiveError):
    """It does not answer at all, or a proxy before it says so."""


class DicomWeb:
    """Images in a DICOMweb server, such as Orthanc.

    Parameters
    ----------
    url
        Base of the DICOMweb services.
    folder
        Takes fetched files (`FetchedFiles`), and `notes`; several processes may share it.
    credentials
        User and password, if the server wants them.
    prefixes
        Parts of the URL before QIDO, WADO and STOW paths, where the server has such.
    clock
        Seconds since some moment; says when to ask again for a series or object that could not be fetched.
    limit_bytes
        Of the fetched files.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        credentials: tuple[str, str] | None = None,
        prefixes: tuple[str | None, str | None, str | None] = (None, None, None),
        clock: Callable[[], float] = time.monotonic,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        session = requests.Session()
        if credentials is not None:
            session.auth = HTTPBasicAuth(*(part.encode() for part in credentials))  # requests would take Latin-1
        qido, wado, stow = prefixes
        self.url = url
        self._files = FetchedFiles(folder, limit_bytes)
        self._client = DICOMwebClient(url, session, qido, wado, stow, timeout=TIMEOUTS_S)
        self._client.set_http_retry_params(retry=False)
        self._notes = ArchiveNotes(folder / "notes")
        self._pets = self._notes.pets()
        self._turn = 0
        self._taken: dict[str, tuple[str, frozenset[str]]] = {}
        self._later = Backoff(clock)
        self._refreshing = threading.Lock()

    def refresh(self) -> None:
        """Ask for PET series; a new one is looked at by fetching one of its images.

        One that cannot be fetched hides no other.

        Raises
        ------
        ArchiveError
            If the server does not answer; what was found before stays.
        """
        with self._refreshing:
            turn, found = self._whose_turn(), {}
            for row in self.search_series({"Modality": "PT"}):
                uid, count = _value(row, "0020000E"), _value(row, "00201209")
                before = self._pets.get(uid)
                pet = before
                if before is None or before.count != count or uid in turn:
                    look = partial(self._look_at, _value(row, "0020000D"), uid, count, before)
                    pet = self._later.attempt(uid, f"PET {uid} could not be looked at", look) or before
                if pet is not None:
                    found[uid] = pet
            known, self._pets = self._pets, found
            if found != known:
                self._notes.keep_pets(found)

    def cases(self) -> tuple[Case, ...]:
        """What the last refresh found, also one before a restart, ordered by image id."""
        return tuple(pet.case for _, pet in sorted(self._pets.items()) if pet.case is not None)

    def why_not(self, image_id: str) -> str:
        """Why a PET is no case, as the end of a sentence; empty where there is no such PET."""
        pet = self._pets.get(image_id)
        return self._later.reason(image_id) if pet is None else pet.reason

    def load(self, case: Case) -> PetCt:
        """Fetch what is missing of a PET and the CTs in its space, and read them.

        Where the server is away, what was fetched whole before is read, if the images have not changed since.
        """
        try:
            fetched = self._up_to_date(case)
            self._notes.keep_fetched(case, fetched)
        except ArchiveAwayError:
            fetched = self._fetched_whole(case)
            if not fetched:
                raise
        index = self._scan(case.study_uid)
        # The folder may hold series that the server does not any more.
        index = replace(index, series=tuple(series for series in index.series if series.uid in fetched))
        return read_dicom(index, choice=SeriesChoice(study_uid=case.study_uid, pet_uid=case.image_id))

    def ct_view(self, series_uid: str) -> CtView | None:
        """The CT with this SeriesInstanceUID, if it was made with one of the PETs.

        Where the server is away, one that was fetched whole before is read.
        """
        try:
            study_uid = self._study_of_ct(series_uid)
            if study_uid is None:
                return None
            self._fetch(study_uid, series_uid)
        except ArchiveAwayError:
            study_uid = next((case.study_uid for case in self.cases() if series_uid in self._fetched_whole(case)), None)
            if study_uid is None:
                raise
        return ct_view_in(self._scan(study_uid), series_uid, self.cases())

    def prune(self) -> None:
        """Remove the studies that were used least recently, where the fetched files go beyond their limit."""
        with self._refreshing:
            self._files.prune()

    def segmentations(self, known: Collection[str]) -> Iterator[FoundLabel]:
        """SEGs of studies with a PET, but for those whose SOPInstanceUID is known.

        A series all of whose objects are known is not asked for again until it, or the images of its study, change.
        """
        images: dict[str, set[str]] = defaultdict(set)
        for case in self.cases():
            images[case.study_uid].add(case.revision)
        for row in self.search_series({"Modality": "SEG"}):
            study_uid, series_uid = _value(row, "0020000D"), _value(row, "0020000E")
            state = _value(row, "00201209"), frozenset(images.get(study_uid, ()))
            if study_uid not in images or self._taken.get(series_uid) == state:
                continue
            ask = partial(self.instances, study_uid, series_uid)
            uids = self._later.attempt(series_uid, f"SEG series {series_uid} could not be looked at", ask)
            if uids is None:
                continue
            new = [uid for uid in uids if uid not in known]
            for uid in new:
                fetch = partial(self._object, study_uid, series_uid, uid)
                path = self._later.attempt(uid, f"SEG {uid} could not be fetched", fetch)
                if path is not None:
                    yield FoundLabel(uid, path)
            if not new:
                self._taken[series_uid] = state

    def search_series(self, filters: dict[str, str], study_uid: str | None = None) -> list[dict[str, Any]]:
        """QIDO: series as the server's JSON."""
        fields = ["StudyInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances"]
        return self._ask(
            lambda: self._client.search_for_series(study_uid, fields=fields, search_filters=filters, get_remaining=True)
        )

    def instances(self, study_uid: str, series_uid: str) -> list[str]:
        """QIDO: SOPInstanceUIDs of a series."""
        rows = self._ask(lambda: self._client.search_for_instances(study_uid, series_uid, get_remaining=True))
        return [checked_uid(_value(row, "00080018")) for row in rows]

    def retrieve(self, study_uid: str, series_uid: str, instance_uid: str) -> Dataset:
        """WADO: one object.

        Raises
        ------
        GeometryError
            If what the server holds is no DICOM file.
        """
        try:
            return self._ask(
                lambda: self._client.retrieve_instance(study_uid, series_uid, instance_uid, media_types=_ANY_SYNTAX)
            )
        except PARSE_ERRORS as error:
            raise GeometryError(
                f"object {instance_uid} is no readable DICOM file", where=self.url, remedy="store it again"
            ) from error

    def store(self, dataset: Dataset) -> None:
        """STOW: one object.

        Raises
        ------
        ArchiveError
            If the server refuses it.
        """
        # The library writes what it is given, and a file without a preamble is one that few programs read.
        dataset.preamble = bytes(128)
        answer = self._ask(lambda: self._client.store_instances([dataset]))
        if len(answer.get("FailedSOPSequence") or ()):
            raise ArchiveError("the DICOMweb server refuses the object", where=self.url, remedy="see its log")

    def _up_to_date(self, case: Case) -> dict[str, list[str]]:
        """Fetch a PET and the CTs in its space; returns series → images."""
        fetched = {case.image_id: self._fetch(case.study_uid, case.image_id)}
        pet = self._sample(case.study_uid, case.image_id, fetched[case.image_id])
        for uid in self._cts(case.study_uid):
            ct = self._sample(case.study_uid, uid, self.instances(case.study_uid, uid))
            if ct is not None and pet is not None and _space(ct) == _space(pet):
                fetched[uid] = self._fetch(case.study_uid, uid)
        return fetched

    def _scan(self, study_uid: str) -> DicomIndex:
        self._files.use(study_uid)
        return scan(self._files.study_folder(study_uid))

    def _fetched_whole(self, case: Case) -> dict[str, list[str]]:
        """Series → images of a PET and its CTs, as `_up_to_date` left them; none where one is missing or too many."""
        fetched = self._notes.fetched(case)
        whole = all(self._files.present(case.study_uid, uid) == set(fetched[uid]) for uid in fetched)
        return fetched if whole else {}

    def _study_of_ct(self, series_uid: str) -> str | None:
        """Study of a CT, if it has a PET; looks for new PETs where it has none."""
        rows = self.search_series({"SeriesInstanceUID": series_uid})
        study_uid = next((_value(row, "0020000D") for row in rows if _value(row, "00080060") == "CT"), None)
        if study_uid is None:
            return None
        if not self._has_pet(study_uid):
            self.refresh()
        return study_uid if self._has_pet(study_uid) else None

    def _has_pet(self, study_uid: str) -> bool:
        return any(case.study_uid == study_uid for case in self.cases())

    def _whose_turn(self) -> set[str]:
        """PETs to look at although their number of images is the same: it says nothing of CTs and replaced images."""
        uids = sorted(self._pets)
        turn = {uids[(self._turn + n) % len(uids)] for n in range(min(LOOKED_AT_AGAIN, len(uids)))}
        self._turn += LOOKED_AT_AGAIN
        return turn

    def _look_at(self, study_uid: str, series_uid: str, count: str, before: Pet | None) -> Pet:
        """What a PET series is, and where SUV cannot be measured in it, which is logged, why not."""
        if not (is_uid(study_uid) and is_uid(series_uid)):
            logger.warning("PET with UIDs %r, %r is not offered: these are none", study_uid[:80], series_uid[:80])
            return Pet(count, "", reason="its UIDs are none")
        uids = self.instances(study_uid, series_uid)
        revision = revision_of([*uids, *self._cts(study_uid).items()])
        if before is not None and before.revision == revision:
            return replace(before, count=count)
        instance = self._sample(study_uid, series_uid, uids)
        if instance is None or instance.modality != "PT":
            return Pet(count, revision, reason="it has no readable image")
        series = Series(study_uid, series_uid, "PT", (instance,))
        reason = why_no_case(series, len(uids))
        if reason:
            logger.info("PET %s is not offered: %s", series.title, reason)
            return Pet(count, revision, reason=reason)
        return Pet(count, revision, case_of(series, revision))

    def _cts(self, study_uid: str) -> dict[str, str]:
        """CT series of a study, with the number of their images."""
        rows = self.search_series({"Modality": "CT"}, study_uid)
        found = {_value(row, "0020000E"): _value(row, "00201209") for row in rows if _value(row, "00080060") == "CT"}
        return {checked_uid(uid): count for uid, count in found.items()}

    def _sample(self, study_uid: str, series_uid: str, uids: Sequence[str]) -> Instance | None:
        """One of the images of a series, from the folder or the server; None where there is no readable one."""
        present = self._files.present(study_uid, series_uid)
        uid = next((uid for uid in uids if uid in present), None) or next(iter(uids), None)
        if uid is None:
            return None
        instance = read_instance(self._object(study_uid, series_uid, uid))
        return instance if isinstance(instance, Instance) else None

    def _object(self, study_uid: str, series_uid: str, uid: str) -> Path:
        """File of an object, which is fetched once."""
        path = self._files.path(study_uid, series_uid, uid)
        if is_whole(path):
            return path
        return self._files.keep(study_uid, series_uid, self.retrieve(study_uid, series_uid, uid))

    def _fetch(self, study_uid: str, series_uid: str) -> list[str]:
        """Bring the folder of a series up to date: fetch what is missing, remove what is gone; returns its images.

        Raises
        ------
        ArchiveError
            If the server does not send all: a PET without its last slices would pass for a shorter one.
        """
        self._files.use(study_uid)
        uids = self.instances(study_uid, series_uid)
        wanted, present = set(uids), self._files.present(study_uid, series_uid)
        self._files.remove(study_uid, series_uid, present - wanted)
        missing = wanted - present
        if len(missing) > len(wanted) // 2:
            for dataset in self._iterate(study_uid, series_uid):
                self._files.keep(study_uid, series_uid, dataset)
        else:
            for uid in sorted(missing):
                self._files.keep(study_uid, series_uid, self.retrieve(study_uid, series_uid, uid))
        lacking = len(wanted - self._files.present(study_uid, series_uid))
        if lacking:
            what = f"the DICOMweb server did not send {lacking} of {len(wanted)} images of series {series_uid}"
            raise ArchiveError(what, where=self.url, remedy="try again, or see its log")
        return uids

    def _iterate(self, study_uid: str, series_uid: str) -> Iterator[Dataset]:
        datasets = self._ask(lambda: self._client.iter_series(study_uid, series_uid, media_types=_ANY_SYNTAX))
        while (dataset := self._ask(lambda: next(datasets, None))) is not None:
            yield dataset

    def _ask(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", None)
            what = "does not answer" if status is None else f"answers {status}"
            kind = ArchiveAwayError if status is None or status in AWAY else ArchiveError
            raise kind(
                f"the DICOMweb server {what}", where=self.url, remedy="start it, or correct the address and password"
            ) from error


def _value(row: dict[str, Any], tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _space(instance: Instance) -> str:
    return text(instance.header, "FrameOfReferenceUID")
