"""MONAI Label's view of images and labels; what it does is in `annotations`, `cases` and `labels`."""

from __future__ import annotations

import logging
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from lib.datastore.annotations import Annotations
from lib.datastore.cases import Case
from lib.datastore.image_copies import ARCHIVE, ImageCopies
from lib.datastore.image_ids import UnknownImageError, UnknownLabelError, checked_id
from lib.datastore.image_notes import ImageNotes
from lib.datastore.labels import FINAL, FOUND, LabelVersion
from lib.datastore.local import CT_FOLDER, LocalFolder
from lib.datastore.uploads import read_image_upload
from petlesion.errors import UsageError
from petlesion.nifti import SUFFIXES, write_image

logger = logging.getLogger(__name__)


class PetCtDatastore(Datastore):  # type: ignore[misc]
    """PET/CT images by the id of their PET; label ids are image ids.

    Parameters
    ----------
    annotations
        Images and labels.
    notes
        What clients and strategies note about images.
    copies
        NIfTI copies of DICOM images, for clients that download them.
    name
        Shown to clients.
    release
        Ends the reservation of a PET, by its id: a final label of it was submitted, or it was removed.
    """

    def __init__(
        self,
        annotations: Annotations,
        notes: ImageNotes,
        copies: ImageCopies,
        name: str,
        release: Callable[[str], None],
    ) -> None:
        self.annotations = annotations
        self.cases = annotations.stores.cases
        self.labels = annotations.stores.labels
        self._notes = notes
        self.copies = copies
        self._name = name
        self._release = release
        self._description = "PET/CT: SUV images with the CT on their grid"
        self._changing = threading.Lock()

    def name(self) -> str:
        """Where the images come from."""
        return self._name

    def set_name(self, name: str) -> None:
        """Change the name that clients see."""
        self._name = name

    def description(self) -> str:
        """What clients see below the name."""
        return self._description

    def set_description(self, description: str) -> None:
        """Change what clients see below the name."""
        self._description = description

    def list_images(self) -> list[str]:
        """Ids of all images."""
        return [case.image_id for case in self.cases.cases()]

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:  # noqa: ARG002
        """Ids of images with a current label."""
        labelled = {label.image_id for label in self.labels.snapshot(label_tag or FINAL).labels}
        return [image_id for image_id in self.list_images() if image_id in labelled]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:  # noqa: ARG002
        """Ids of images without a current label."""
        labelled = set(self.get_labeled_images(label_tag))
        return [image_id for image_id in self.list_images() if image_id not in labelled]

    def datalist(self) -> list[dict[str, Any]]:
        """Images with final labels, as files; the CT on the grid of the PET is a third key.

        Labels of images that are gone are left out.
        """
        cases = {case.image_id: case for case in self.cases.cases()}
        labelled = ((cases.get(label.image_id), label) for label in self.labels.snapshot().labels)
        return [
            {"image": str(self.image_file(case)), "label": str(label.path), "ct": str(self._ct_file(case))}
            for case, label in labelled
            if case is not None
        ]

    def get_image(self, image_id: str, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002
        """SUV array (z, y, x) of an image."""
        return self.annotations.open(image_id)[0].pet.array

    def get_image_uri(self, image_id: str) -> str:
        """SUV image as a NIfTI file, which is made where there is none yet."""
        pet_id, _ = self.annotations.pet_of(image_id)
        case = self.cases.case(pet_id)
        own = self._own_file(case)
        if own is not None and not own.is_file():
            raise UnknownImageError(f"image {pet_id} is gone", where=own.parent, remedy="put it back")
        return str(own or self.copies.copied(case, partial(self.cases.load, pet_id)))

    def image_file(self, case: Case) -> Path:
        """Where `get_image_uri` has or will put the image."""
        return self._own_file(case) or self.copies.pet_file(case)

    def _ct_file(self, case: Case) -> Path:
        own = self._own_file(case)
        return self.copies.ct_file(case) if own is None else own.parent / CT_FOLDER / own.name

    def _own_file(self, case: Case) -> Path | None:
        """File of an image that is NIfTI itself."""
        source = self.cases.source
        return source.file(case.image_id) if isinstance(source, LocalFolder) else None

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image, its labels, and what was noted about it."""
        pet_id, _ = self.annotations.pet_of(image_id)
        notes, case = self._notes.read(pet_id), self.cases.case(pet_id)
        labels = {tag: _label_info(label, notes) for tag, label in self.labels.current_by_tag(pet_id).items()}
        return {**notes, "name": self.image_file(case).name, **asdict(case), "labels": labels}

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        """Note something about an image."""
        pet_id, _ = self.annotations.pet_of(image_id)
        try:
            self._notes.update(pet_id, info)
        except ValueError as error:
            raise UsageError(f"notes cannot be kept ({error})", remedy="send less, as JSON") from error

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tag → label id of the current labels."""
        pet_id, _ = self.annotations.pet_of(image_id)
        return dict.fromkeys(self.labels.current_by_tag(pet_id), pet_id)

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Label id of a tag; empty where there is no label."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label(self, label_id: str, label_tag: str, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002
        """(z, y, x) label array on the grid of the PET."""
        return self._label(label_id, label_tag).read().array

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """NIfTI file of the current label."""
        return str(self._label(label_id, label_tag).path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Who submitted the current label, when and how, and what was noted about it."""
        label = self._label(label_id, label_tag)
        return _label_info(label, self._notes.read(label.image_id))

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        """Note something about a label, as reviewers do: about this version of it, and not about the next."""
        label = self._label(label_id, label_tag)
        known = _noted(label, self._notes.read(label.image_id))
        self.update_image_info(label.image_id, {_key(label): known | dict(info)})

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Keep a submitted label as a new version; see `Annotations.submit`."""
        annotator = str(label_info.get("user") or label_info.get("client_id") or "")
        # Not the words for what was found: what else the client sends would be taken for the record of that.
        source = str(label_info.get("model") or "client")
        source = "client" if source in FOUND else source
        label = self.annotations.submit(
            image_id, Path(label_filename), tag=label_tag, annotator=annotator, source=source, info=label_info
        )
        if label.tag == FINAL:
            try:
                self._release(label.image_id)
            except OSError as error:  # the label is stored all the same, and would be sent again
                logger.warning("%s stays reserved until its time is over: %s", label.image_id, error)
        return label.image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Withdraw the current label; its versions stay."""
        self.labels.withdraw(self._label(label_id, label_tag).image_id, label_tag)

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Put a SUV image, NIfTI or NRRD, into the local folder.

        Raises
        ------
        UsageError
            If images come from a DICOMweb server, or there is another image of that id.
        """
        source = self.cases.source
        if not isinstance(source, LocalFolder):
            raise UsageError("images come from the DICOMweb server", remedy="store the study there")
        checked_id(image_id)
        volume = read_image_upload(Path(image_filename))
        with self._changing:
            source.refresh()
            if any(case.image_id == image_id for case in source.cases()):
                raise UsageError(f"there is an image {image_id} already", remedy="give another id")
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=source.folder) as folder:
                draft = Path(folder) / f"{image_id}.nii.gz"
                write_image(volume, draft)
                draft.replace(source.folder / draft.name)
            source.refresh()
        self.update_image_info(image_id, image_info)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Move an image, with its CT and notes, to a folder of its own in `.removed`, and withdraw its labels.

        The next image of that id may be another; the versions of the labels stay in the store.

        Raises
        ------
        UsageError
            If it is not a NIfTI file of the local folder.
        """
        source = self.cases.source
        self.cases.case(image_id)
        paths = source.files(image_id) if isinstance(source, LocalFolder) else ()
        if not (paths and isinstance(source, LocalFolder)):
            raise UsageError("DICOM images are not removed from here", remedy="remove the series where it is stored")
        with self._changing:
            (source.folder / ".removed").mkdir(exist_ok=True)
            removed = Path(tempfile.mkdtemp(prefix=f"{image_id}-", dir=source.folder / ".removed"))
            # First: of an image that is gone, nobody could withdraw them any more by removing it again.
            for tag in self.labels.current_by_tag(image_id):
                self.labels.withdraw(image_id, tag)
            self._notes.move(image_id, removed)
            self._release(image_id)
            for path in paths:
                target = removed / path.relative_to(source.folder)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
            source.refresh()

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """ZIP of the images and final labels of at most `limit_cases` cases."""
        with self.copies.staging() as folder:
            draft = folder / ARCHIVE
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
                for case in self.cases.cases()[:limit_cases]:
                    self._archive(case, archive)
            return str(draft.replace(self.copies.folder / draft.name))

    def _archive(self, case: Case, archive: zipfile.ZipFile) -> None:
        archive.write(self.get_image_uri(case.image_id), f"{case.image_id}.nii.gz")
        if (ct := self._ct_file(case)).is_file():
            archive.write(ct, f"{CT_FOLDER}/{case.image_id}.nii.gz")
        label = self.labels.current_by_tag(case.image_id).get(FINAL)
        if label is not None:
            archive.write(str(label.path), f"labels/final/{case.image_id}.nii.gz")

    def refresh(self) -> None:
        """Look for new images and labels."""
        self.annotations.watch()

    def status(self) -> dict[str, Any]:
        """Counts of images and labels."""
        images = self.list_images()
        tags = Counter(tag for image_id in images for tag in self.labels.current_by_tag(image_id))
        return {"total": len(images), "completed": tags[FINAL], "label_tags": dict(tags), "train": []}

    def json(self) -> dict[str, Any]:
        """All images with their labels."""
        objects = {}
        for case in self.cases.cases():
            notes = self._notes.read(case.image_id)
            labels = {
                tag: {"ext": SUFFIXES[0], "info": _label_info(label, notes)}
                for tag, label in self.labels.current_by_tag(case.image_id).items()
            }
            image = {"ext": SUFFIXES[0], "info": {**notes, **asdict(case)}}
            objects[case.image_id] = {"image": image, "labels": labels}
        return {"name": self._name, "description": self._description, "objects": objects}

    def _label(self, label_id: str, tag: str) -> LabelVersion:
        try:
            return self.labels.current(label_id, tag)
        except UnknownLabelError:
            # A client that shows the CT asks by its UID.
            pet_id, _ = self.annotations.pet_of(label_id)
            return self.labels.current(pet_id, tag)


def _key(label: LabelVersion) -> str:
    """Key of what was noted about a label among the notes of its image."""
    return f"label {label.tag} {label.version}"


def _noted(label: LabelVersion, notes: Mapping[str, Any]) -> dict[str, Any]:
    """What was noted about a label; a client may have noted anything else under that key."""
    noted = notes.get(_key(label))
    return noted if isinstance(noted, dict) else {}


def _label_info(label: LabelVersion, notes: Mapping[str, Any]) -> dict[str, Any]:
    values = asdict(label)
    del values["path"]
    return {
        "name": f"{label.image_id}.nii.gz",
        **values.pop("info"),
        **_noted(label, notes),
        **values,
        "time": label.time.isoformat(),
        "ts": int(label.time.timestamp()),
    }
