"""Images that clients add to a local folder, fetch from it, and remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from lib.datastore import uploads
from lib.datastore.annotations import Annotations
from lib.datastore.image_copies import ImageCopies
from lib.datastore.image_ids import UnknownImageError
from lib.datastore.image_notes import ImageNotes
from lib.datastore.petct_datastore import PetCtDatastore
from lib.datastore.stores import open_stores

from petlesion.errors import OutputError, UsageError
from petlesion.nifti import read_image, write_image, write_labels
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((4, 5, 6), (3.0, 2.0, 2.0))


def image(value: float) -> Volume:
    return Volume(np.full(GRID.shape, value, np.float32), GRID)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def datastore(tmp_path: Path, images: Path) -> PetCtDatastore:
    notes, copies = ImageNotes(tmp_path / "notes"), ImageCopies(tmp_path / "copies")
    return PetCtDatastore(Annotations(open_stores(str(images))), notes, copies, "here", lambda _: None)


@pytest.fixture
def sent(tmp_path: Path) -> str:
    write_image(image(7), tmp_path / "sent.nii.gz")
    return str(tmp_path / "sent.nii.gz")


@pytest.mark.parametrize("name", ["one.nii", "one.nii.gz"])
def test_no_image_takes_the_place_of_another(datastore: PetCtDatastore, images: Path, sent: str, name: str) -> None:
    write_image(image(1), images / name)
    with pytest.raises(UsageError, match="there is an image one already"):
        datastore.add_image("one", sent, {})
    assert datastore.get_image("one").max() == 1


def test_removed_image_leaves_nothing_to_a_new_one_and_is_kept(
    datastore: PetCtDatastore, images: Path, sent: str
) -> None:
    for value in (1, 2):
        write_image(image(value), images / "one.nii.gz")
        (images / "ct").mkdir(exist_ok=True)
        write_image(image(40), images / "ct" / "one.nii.gz")
        (images / "one.json").write_text(json.dumps({"patient_id": "P7"}))
        datastore.refresh()
        datastore.remove_image("one")
        assert datastore.list_images() == []
    kept = sorted(images.glob(".removed/one-*/one.nii.gz"), key=lambda path: read_image(path).array.max())
    assert [read_image(path).array.max() for path in kept] == [1, 2]
    assert all((path.parent / "ct" / "one.nii.gz").is_file() for path in kept)
    datastore.add_image("one", sent, {})
    study, _ = datastore.annotations.open("one")
    assert study.ct is None
    assert datastore.cases.case("one").patient_id == "one"


def test_removed_image_leaves_no_label_to_a_new_one(
    datastore: PetCtDatastore, images: Path, sent: str, tmp_path: Path
) -> None:
    write_labels(np.ones(GRID.shape, np.uint8), GRID, tmp_path / "label.nii.gz")
    for name in ("one", "two"):
        datastore.add_image(name, sent, {})
        for tag in ("final", "draft"):
            datastore.save_label(name, str(tmp_path / "label.nii.gz"), tag, {})
    datastore.remove_image("one")
    datastore.add_image("one", sent, {})
    assert datastore.get_labels_by_image_id("one") == {}
    assert [Path(row["image"]).name for row in datastore.datalist()] == ["two.nii.gz"]
    assert [label.withdrawn for label in datastore.labels.versions("one")] == [False, True]


def test_removed_image_leaves_no_notes_and_nobody_to_a_new_one(tmp_path: Path, images: Path, sent: str) -> None:
    given_back: list[str] = []
    notes, copies = ImageNotes(tmp_path / "notes"), ImageCopies(tmp_path / "copies")
    datastore = PetCtDatastore(Annotations(open_stores(str(images))), notes, copies, "here", given_back.append)
    for _ in range(2):  # the second time without notes
        datastore.add_image("one", sent, {})
        datastore.remove_image("one")
    datastore.add_image("one", sent, {"remark": "left arm missing"})
    datastore.remove_image("one")
    datastore.add_image("one", sent, {})
    assert "remark" not in datastore.get_image_info("one")
    assert given_back == ["one"] * 3
    kept = [json.loads(path.read_text()) for path in images.glob(".removed/one-*/notes-one.json")]
    assert sorted(kept, key=len) == [{}, {}, {"remark": "left arm missing"}]


def test_review_is_of_one_version_of_a_label(datastore: PetCtDatastore, sent: str, tmp_path: Path) -> None:
    def infos() -> list[dict[str, Any]]:
        return [
            datastore.get_label_info("one", "final"),
            datastore.get_image_info("one")["labels"]["final"],
            datastore.json()["objects"]["one"]["labels"]["final"]["info"],
        ]

    write_labels(np.ones(GRID.shape, np.uint8), GRID, tmp_path / "label.nii.gz")
    datastore.add_image("one", sent, {})
    datastore.save_label("one", str(tmp_path / "label.nii.gz"), "final", {"client_id": "ada"})
    for review in ({"status": "approved"}, {"comment": "good", "version": 7}):
        datastore.update_label_info("one", "final", review)
    reviewed = [(info["status"], info["comment"], info["version"]) for info in infos()]
    assert reviewed == [("approved", "good", 1)] * 3
    datastore.save_label("one", str(tmp_path / "label.nii.gz"), "final", {"client_id": "bob"})
    assert [("status" in info, info["version"]) for info in infos()] == [(False, 2)] * 3
    datastore.update_image_info("one", {"label final 2": "of another client"})
    assert [info["annotator"] for info in infos()] == ["bob"] * 3


@pytest.mark.parametrize("source", ["file", "dicom"])
def test_what_a_client_sends_is_no_record_of_what_was_found(
    datastore: PetCtDatastore, images: Path, sent: str, source: str
) -> None:
    """Such a one ended the taking in and sending of labels for good."""
    write_labels(np.ones(GRID.shape, np.uint8), GRID, images.parent / "label.nii.gz")
    datastore.add_image("one", sent, {})
    info = {"model": source, "file": ["one.nii.gz"], "sop_instance_uid": "1.2.3"}
    datastore.save_label("one", str(images.parent / "label.nii.gz"), "final", info)
    datastore.annotations.watch()
    label = datastore.labels.current("one")
    assert (label.source, datastore.labels.dicom_uid(label)) == ("client", "")


def test_image_whose_labels_cannot_be_withdrawn_stays(
    datastore: PetCtDatastore, images: Path, sent: str, tmp_path: Path
) -> None:
    """Otherwise the next image of that name would have them, of another patient perhaps."""
    write_labels(np.ones(GRID.shape, np.uint8), GRID, tmp_path / "label.nii.gz")
    datastore.add_image("one", sent, {})
    datastore.save_label("one", str(tmp_path / "label.nii.gz"), "final", {})
    lock = datastore.labels.folder / "one" / "final" / ".lock"
    lock.unlink()
    lock.mkdir()  # no version can be added
    with pytest.raises(OutputError, match="label cannot be stored"):
        datastore.remove_image("one")
    assert datastore.list_images() == ["one"]
    lock.rmdir()
    datastore.remove_image("one")
    datastore.add_image("one", sent, {})
    assert datastore.get_labels_by_image_id("one") == {}


def test_label_of_an_image_that_is_gone_is_in_nobodys_way(datastore: PetCtDatastore, images: Path, sent: str) -> None:
    write_labels(np.ones(GRID.shape, np.uint8), GRID, images.parent / "label.nii.gz")
    for name in ("one", "two"):
        datastore.add_image(name, sent, {})
        datastore.save_label(name, str(images.parent / "label.nii.gz"), "final", {})
    (images / "one.nii.gz").unlink()
    datastore.refresh()
    assert [Path(row["image"]).name for row in datastore.datalist()] == ["two.nii.gz"]


def test_images_that_would_fill_the_memory_are_refused(
    datastore: PetCtDatastore, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_VOXELS", 119)
    with pytest.raises(UsageError, match="image of 4 × 5 × 6 voxels"):
        datastore.add_image("one", sent, {})
    assert datastore.list_images() == []


def test_archive_of_all_cases_that_fails_leaves_nothing(
    datastore: PetCtDatastore, images: Path, tmp_path: Path
) -> None:
    write_image(image(1), images / "one.nii.gz")
    datastore.refresh()
    assert Path(datastore.get_dataset_archive(None)) == tmp_path / "copies" / "dataset.zip"
    (images / "one.nii.gz").unlink()
    with pytest.raises(UnknownImageError, match="image one is gone"):
        datastore.get_dataset_archive(None)
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["dataset.zip"]


def test_notes_of_clients_replace_nothing_that_is_known(
    datastore: PetCtDatastore, images: Path, tmp_path: Path
) -> None:
    write_image(image(1), images / "one.nii.gz")
    datastore.refresh()
    datastore.update_image_info("one", {"patient_id": "somebody", "remark": "blurred"})
    for info in (datastore.get_image_info("one"), datastore.json()["objects"]["one"]["image"]["info"]):
        assert (info["patient_id"], info["remark"]) == ("one", "blurred")
    (tmp_path / "notes" / "one.json").write_text("{")
    assert datastore.get_image_info("one")["image_id"] == "one"
    datastore.update_image_info("one", {"remark": "sharp"})
    assert datastore.get_image_info("one")["remark"] == "sharp"
