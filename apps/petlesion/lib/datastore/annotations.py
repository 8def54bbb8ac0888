"""Labels on their way in and out: from clients into the store and on to the DICOMweb server, and back from there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from lib.datastore.backoff import Backoff
from lib.datastore.cases import Case, FoundLabel, file_key
from lib.datastore.dicomweb import ArchiveAwayError, ArchiveError, DicomWeb
from lib.datastore.image_ids import UnknownImageError
from lib.datastore.labels import FINAL, LabelVersion
from lib.datastore.segmentations import METHOD, oldest_first, tag_of, version_of
from lib.datastore.stores import Stores
from lib.datastore.submissions import RAW_SUFFIX, OtherGridError, read_submission
from petlesion import __version__
from petlesion.dicom.attributes import text
from petlesion.dicom.frame_of_reference import referenced_series
from petlesion.dicom.segmentation import build_segmentation
from petlesion.dicom.segmentation_reader import tracks_segments
from petlesion.errors import OutputError, PetlesionError, UsageError
from petlesion.lesions import Lesions
from petlesion.masks import read_mask
from petlesion.measure.biomarkers import measure
from petlesion.report import MethodRecord
from petlesion.study import PetCt
from petlesion.volume import Grid

WATCH_INTERVAL_S = 10.0
"""How often the server looks for images and labels that others stored."""

logger = logging.getLogger(__name__)


class Annotations:
    """Labels of a server's images; safe to use from several threads.

    Parameters
    ----------
    stores
        Images, labels and, where images come from one, the DICOMweb server.
    clock
        Seconds since some moment; says when to try again what failed.
    """

    def __init__(self, stores: Stores, clock: Callable[[], float] = time.monotonic) -> None:
        self.stores = stores
        self._later = Backoff(clock)
        self._refused: dict[str, tuple[str, tuple[Case, ...]]] = {}
        self._unsent: dict[str, LabelVersion] | None = None
        self._lock = threading.Lock()
        self._watching = threading.Lock()

    def pet_of(self, image_id: str) -> tuple[str, Grid | None]:
        """Id of the PET that a client means, and the grid of its CT if the client named that.

        Raises
        ------
        UnknownImageError
            If it is neither a PET here nor a CT of one.
        """
        cases = self.stores.cases
        view = cases.known_ct_view(image_id)
        if view is None:
            try:
                return cases.case(image_id).image_id, None
            except (UnknownImageError, ArchiveAwayError):
                view = cases.ct_view(image_id)
                if view is None:
                    raise
        return view.image_id, view.grid

    def open(self, image_id: str) -> tuple[PetCt, Grid]:
        """The study of a PET, or of a CT made with it; and the grid of the one that was named."""
        pet_id, grid = self.pet_of(image_id)
        study = self.stores.cases.load(pet_id)
        return study, grid or study.pet.grid

    def submit(
        self,
        image_id: str,
        path: Path,
        *,
        tag: str = FINAL,
        annotator: str = "",
        source: str = "client",
        info: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> LabelVersion:
        """Check a label file and keep it as a new version; a final one goes to the DICOMweb server as SEG, too.

        Once this returns, the label is on the disk. A DICOMweb server that does not answer gets it later. `version` is
        that of a label that comes back, see `LabelStore.save`.

        Raises
        ------
        PetlesionError
            If the image is not known, the file is no label of it, or the disk refuses; nothing is stored then.
        """
        pet_id, named = self.pet_of(image_id)
        study = self.stores.cases.load(pet_id)
        labels = self._read(path, study, named)
        label = self.stores.labels.save(
            pet_id,
            labels,
            study.pet.grid,
            tag=tag,
            annotator=annotator,
            source=source,
            info=info,
            version=version,
            as_submitted=path if _worth_keeping(path, labels.size) else None,
        )
        logger.info("label %s version %d of %s by %r stored", tag, label.version, pet_id, annotator)
        self._send_or_remember(label, study)
        return label

    def watch(self) -> None:
        """Look for new images, send what the DICOMweb server lacks, and take in labels that others stored.

        A label that cannot be sent or taken in is logged and holds up no other.

        Raises
        ------
        PetlesionError
            If the source of images does not answer.
        """
        with self._watching:
            self.stores.cases.refresh()
            for label in self._waiting():
                self._send_or_remember(label)
            for found in oldest_first(self.stores.cases.source.segmentations(self._known())):
                self._take_in(found)

    def _read(self, path: Path, study: PetCt, named: Grid | None) -> NDArray[np.uint16]:
        """Read a label drawn on the image that the client named, or on the other one of PET and CT."""
        try:
            return read_submission(path, study, named or study.pet.grid)
        except OtherGridError:
            other = self._ct_grid(study) if named is None else study.pet.grid
            if other is None:
                raise
        return read_submission(path, study, other)

    def _ct_grid(self, study: PetCt) -> Grid | None:
        uid = study.source.ct_series_instance_uid if study.source else None
        view = self.stores.cases.ct_view(uid) if uid else None
        return view.grid if view else None

    def _send_or_remember(self, label: LabelVersion, study: PetCt | None = None) -> None:
        """Store the SEG of a label in the DICOMweb server; what does not arrive now is sent by `watch`."""
        archive = self.stores.archive
        if archive is None or label.tag != FINAL or not label.lesions or label.source == "dicom":
            return
        key = _key(label)
        what = f"label version {label.version} of {label.image_id} was not sent"
        sent = self._later.attempt(key, what, lambda: self._send(archive, label, study))
        with self._lock:
            if self._unsent is None:
                return
            if sent:
                self._unsent.pop(key, None)
            else:
                self._unsent[key] = label

    def _send(self, archive: DicomWeb, label: LabelVersion, study: PetCt | None) -> bool:
        dataset = segmentation_of(label, study or self.stores.cases.load(label.image_id))
        archive.store(dataset)
        self.stores.labels.note_dicom(label, str(dataset.SOPInstanceUID))
        return True

    def _waiting(self) -> list[LabelVersion]:
        """Final labels that the DICOMweb server lacks, also those of a server that was killed."""
        if self.stores.archive is None:
            return []
        with self._lock:
            if self._unsent is None:
                labels = self.stores.labels
                self._unsent = {
                    _key(label): label
                    for label in labels.everything()
                    if label.tag == FINAL and label.lesions and not labels.dicom_uid(label)
                }
            return list(self._unsent.values())

    def _known(self) -> set[str]:
        """Keys of stored objects that need not be looked at: labels, and what was none of images as they are."""
        labels = self.stores.labels
        objects, files = set[str](), dict[str, str]()
        for label in labels.everything():
            uid = labels.dicom_uid(label)
            if label.source == "file":
                key = file_key(label.image_id, uid)
                # What was taken in last of a file: one that is put back to what it was before is a new label.
                files[label.info.get("file", key)] = key
            else:
                objects.add(uid)
        refused = {key for key, (study, cases) in self._refused.items() if self._cases_of(study) == cases}
        return objects | {*files.values()} | refused

    def _cases_of(self, study: str) -> tuple[Case, ...]:
        """Images of a study, or the one of that id."""
        return tuple(case for case in self.stores.cases.cases() if study in (case.study_uid, case.image_id))

    def _take_in(self, found: FoundLabel) -> None:
        """Make a label of a file that another program stored, or say in the log why it is none."""
        if self._later.waits(found.key):
            return
        study = found.image_id
        cases: tuple[Case, ...] = ()
        try:
            header = None if found.image_id else dcmread(found.path, stop_before_pixels=True)
            if header is not None:
                study = text(header, "StudyInstanceUID")
            cases = self._cases_of(study)
            self._submit_found(found, header)
        except (ArchiveError, OutputError) as error:
            pause_s = self._later.failed(found.key)
            logger.warning("%s is taken in later, not before %.0f s: %s", found.path.name, pause_s, error)
            return
        except PetlesionError as error:
            logger.warning("%s is no label: %s", found.path.name, error)
        except Exception:
            logger.exception("%s cannot be read as a label", found.path.name)
        else:
            self._later.succeeded(found.key)
            return
        self._refused[found.key] = study, cases

    def _submit_found(self, found: FoundLabel, header: Dataset | None) -> None:
        """Submit a stored file: a DICOM SEG, whose header is given, or another."""
        if header is None:
            info: dict[str, Any] = {"sop_instance_uid": found.key.split()[-1], "file": found.path.name}
            self.submit(found.image_id, found.path, source="file", info=info)
            return
        image_id, tag, version = self._image_of(header), tag_of(header), version_of(header)
        if self._holds_ours(found.key, image_id, version):
            return
        annotator = str(header.get("ContentCreatorName") or "")
        info = {
            "sop_instance_uid": found.key,
            "series": text(header, "SeriesDescription"),
            "instances": tracks_segments(header),
        }
        self.submit(
            image_id,
            found.path,
            tag=tag,
            annotator=annotator,
            source="dicom",
            info=info,
            version=version,
        )

    def _holds_ours(self, uid: str, image_id: str, version: int | None) -> bool:
        """Whether a SEG is that of a label here: sent since the known ones were counted, or before a kill."""
        labels = self.stores.labels
        for label in labels.versions(image_id):
            known = labels.dicom_uid(label)
            if not known and label.version == version and label.lesions:
                known = str(segmentation_of(label, self.stores.cases.load(image_id)).SOPInstanceUID)
                if known == uid:
                    labels.note_dicom(label, uid)
                    with self._lock:
                        (self._unsent or {}).pop(_key(label), None)
            if known == uid:
                return True
        return False

    def _image_of(self, header: Dataset) -> str:
        """The PET that a SEG was drawn on: referred to by it or by way of its CT, or the only one of its study."""
        cases = {case.image_id: case for case in self.stores.cases.cases()}
        for uid in referenced_series(header):
            if uid in cases:
                return uid
        of_study = [case for case in cases.values() if case.study_uid == text(header, "StudyInstanceUID")]
        if len(of_study) != 1:
            raise UsageError(f"it belongs to {len(of_study)} PET series", remedy="let it refer to one")
        return of_study[0].image_id


def segmentation_of(label: LabelVersion, study: PetCt) -> Dataset:
    """DICOM SEG of a label version; the same version gives the same object, with the same UIDs.

    Raises
    ------
    ValueError
        If the label is empty.
    """
    lesions = lesions_of(label, study)
    return build_segmentation(study, lesions, measure(study, lesions))


def lesions_of(label: LabelVersion, study: PetCt) -> Lesions:
    """Lesions of a label version as its SEG has them, numbered by decreasing volume."""
    if label.path is None:
        raise ValueError(f"version {label.version} of {label.image_id} was withdrawn")
    # A client that does not say so may have drawn all lesions with one value.
    lesions = read_mask(label.path, study, instances=label.info.get("instances") is True)
    method = MethodRecord(
        METHOD.format(label.version),
        __version__,
        parameters={"annotator": label.annotator[:60], "source": label.source, "label_sha256": label.sha256},
    )
    return replace(lesions, method=method)


def _key(label: LabelVersion) -> str:
    return f"{label.image_id} {label.version}"


def _worth_keeping(path: Path, voxels: int) -> bool:
    """Whether a submitted file may hold more than the stored label does: all but bare voxels of the PET's grid."""
    return path.suffix != RAW_SUFFIX or path.stat().st_size != voxels
