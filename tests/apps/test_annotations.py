"""Labels on their way in and out while something fails: the rest goes on, and what failed is tried again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from annotated_folder import open_folder, write_studies
from annotation_server import CT_GRID, PET_GRID, Orthanc, SmallStudy, running_orthanc, write_small_study
from faulty_archive import FaultyArchive, faulty
from pydicom import dcmread
from pydicom.uid import generate_uid
from training_cases import GRID

pytest.importorskip("dicomweb_client", reason="the annotation server is not installed here")

from lib.datastore.annotations import Annotations, segmentation_of
from lib.datastore.cases import CaseStore
from lib.datastore.dicomweb import LOOKED_AT_AGAIN, ArchiveError, DicomWeb
from lib.datastore.image_ids import UnknownImageError
from lib.datastore.labels import LabelStore, LabelVersion
from lib.datastore.stores import Stores

from petlesion.dicom.reader import read_dicom
from petlesion.dicom.scan import scan
from petlesion.dicom.segmentation import build_segmentation
from petlesion.masks import read_mask
from petlesion.measure.biomarkers import measure
from petlesion.nifti import write_labels


class Site:
    """Annotations of a DICOMweb server, in a time of their own."""

    def __init__(self, folder: Path, orthanc: Orthanc, archive: FaultyArchive) -> None:
        self.folder, self.orthanc, self.archive = folder, orthanc, archive
        self.now = 0.0
        source = DicomWeb(archive.url, folder / "cache", clock=lambda: self.now)
        self.labels = LabelStore(folder / "labels")
        self.annotations = Annotations(Stores(CaseStore(source), self.labels, source), clock=lambda: self.now)

    def study(self, name: str, *, stored: bool = True) -> SmallStudy:
        study = write_small_study(self.folder / "dicom", name)
        if stored:
            self.orthanc.store(study.folder)
        return study

    def label(self, study: SmallStudy) -> LabelVersion:
        """A label that was kept while the DICOMweb server was away."""
        return self.labels.save(study.pet, mask(), PET_GRID, annotator="ada")

    def watch(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self.annotations.watch()

    def offered(self) -> list[str]:
        return [case.image_id for case in self.annotations.stores.cases.cases()]


def mask() -> np.ndarray:
    labels = np.zeros(PET_GRID.shape, dtype=np.uint16)
    labels[8:11, 20:25, 12:17] = 1
    return labels


def write_seg(study: SmallStudy, folder: Path) -> Path:
    """A SEG by another program."""
    folder.mkdir()
    pet = read_dicom(scan(study.folder))
    write_labels(mask(), PET_GRID, folder / "mask.nii.gz")
    lesions = read_mask(folder / "mask.nii.gz", pet)
    seg = build_segmentation(pet, lesions, measure(pet, lesions))
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    seg.SeriesInstanceUID, seg.ContentCreatorName = generate_uid(), "Grace^Hopper"
    seg.save_as(folder / "theirs.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture
def site(tmp_path: Path, orthanc: Orthanc) -> Iterator[Site]:
    for patient in requests.get(f"{orthanc.url}/patients", timeout=30).json():
        requests.delete(f"{orthanc.url}/patients/{patient}", timeout=30).raise_for_status()
    with faulty(orthanc.dicomweb) as archive:
        yield Site(tmp_path, orthanc, archive)


def test_lesion_in_two_parts_stays_one_where_the_client_tells_lesions_apart(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    pet = read_dicom(scan(study.folder))
    labels = mask()
    labels[9] = 0

    def segments(info: dict[str, object]) -> int:
        label = LabelStore(tmp_path / "labels").save(study.pet, labels, PET_GRID, info=info)
        return len(segmentation_of(label, pet).SegmentSequence)

    assert [segments(info) for info in ({}, {"seconds": 9}, {"instances": False}, {"instances": True})] == [2, 2, 2, 1]


def test_label_file_is_taken_in_whenever_it_changes_and_not_otherwise(tmp_path: Path) -> None:
    write_studies(tmp_path / "images", 1)
    files = tmp_path / "images" / "labels" / "final"
    files.mkdir(parents=True)
    stores = open_folder(tmp_path / "images")
    label = np.zeros(GRID.shape, dtype=np.uint16)
    write_labels(label, GRID, files / "image-0.nii")  # another file, which stays as it is
    for name, value in (("before", 1), ("after", 2)):
        write_labels(label + value, GRID, tmp_path / f"{name}.nii.gz")

    def taken() -> int:
        for server in (Annotations(stores), Annotations(stores)):  # the second after a restart
            server.watch()
            server.watch()
        return len(stores.labels.versions("image-0"))

    assert taken() == 1
    for expected, name in enumerate(("after", "before", "after"), start=2):
        shutil.copy(tmp_path / f"{name}.nii.gz", files / "image-0.nii.gz")
        assert taken() == expected
    stores.labels.save("image-0", label, GRID)
    stores.labels.withdraw("image-0", "final")
    assert taken() == 6


def test_pet_that_cannot_be_fetched_hides_no_other(site: Site) -> None:
    anna, ben = site.study("anna"), site.study("ben")
    site.archive.fails = lambda request: f"{ben.pet}/instances/" in request
    site.watch()
    assert site.offered() == [anna.pet]
    with pytest.raises(Exception, match="is not offered: the DICOMweb server answers 500"):
        site.annotations.open(ben.pet)
    site.archive.fails = lambda _: False
    site.watch()
    assert site.offered() == [anna.pet]
    site.watch(after_s=10)
    assert site.offered() == sorted([anna.pet, ben.pet])


def test_label_of_a_study_that_is_gone_stops_nothing(site: Site) -> None:
    anna, ben, carl = (site.study(name) for name in ("anna", "ben", "carl"))
    for study in (anna, ben):
        site.label(study)
    (found,) = requests.post(f"{site.orthanc.url}/tools/lookup", data=anna.study, timeout=30).json()
    requests.delete(f"{site.orthanc.url}{found['Path']}", timeout=30).raise_for_status()
    site.orthanc.store(write_seg(carl, site.folder / "seg"))
    site.watch()
    assert len(site.orthanc.segmentations(ben.study)) == 1
    assert site.labels.current(carl.pet).annotator == "Grace^Hopper"
    assert site.labels.current(carl.pet).info["instances"] is True, "its segment is tracked"


def test_refused_seg_is_sent_again_after_growing_pauses(site: Site) -> None:
    anna = site.study("anna")
    site.label(anna)
    site.archive.fails = lambda request: request.startswith("POST")

    def attempts(after_s: float) -> int:
        site.watch(after_s)
        return sum(request.startswith("POST") for request in site.archive.asked)

    assert [attempts(after_s) for after_s in (0, 5, 5, 10, 10, 10)] == [1, 1, 2, 2, 3, 3]
    site.archive.fails = lambda _: False
    site.watch(after_s=600)
    assert len(site.orthanc.segmentations(anna.study)) == 1


def test_seg_is_taken_in_once_the_disk_takes_it(site: Site) -> None:
    anna = site.study("anna")
    site.orthanc.store(write_seg(anna, site.folder / "seg"))
    site.labels.folder.mkdir()
    (site.labels.folder / anna.pet).write_text("in the way")
    site.watch()
    (site.labels.folder / anna.pet).unlink()
    site.watch(after_s=10)
    assert site.labels.current(anna.pet).source == "dicom"


def test_seg_is_taken_in_once_the_server_hands_it_over(site: Site) -> None:
    anna, ben = site.study("anna"), site.study("ben")
    for study in (anna, ben):
        site.orthanc.store(write_seg(study, site.folder / study.pet))
    (uid,) = site.orthanc.segmentations(anna.study)
    site.archive.fails = lambda request: request.startswith("GET") and request.endswith(f"/instances/{uid}")
    site.watch()
    assert [label.image_id for label in site.labels.snapshot().labels] == [ben.pet]
    site.archive.fails = lambda _: False
    site.watch(after_s=10)
    assert len(site.labels.snapshot().labels) == 2


def test_label_that_was_current_is_so_again_after_the_store_was_lost(site: Site) -> None:
    anna = site.study("anna")
    for annotator in ("ada", "ben", "", "carl"):
        site.labels.save(anna.pet, mask() * bool(annotator), PET_GRID, annotator=annotator)
    site.watch()
    assert len(site.orthanc.segmentations(anna.study)) == 3
    uids = {label.version: site.labels.dicom_uid(label) for label in site.labels.versions(anna.pet)}
    again = Site(site.folder / "again", site.orthanc, site.archive)
    site.archive.fails = lambda request: request.startswith("GET") and request.endswith(f"/instances/{uids[2]}")
    again.watch()
    assert [label.version for label in again.labels.versions(anna.pet)] == [1, 4]
    site.archive.fails = lambda _: False
    again.watch(after_s=10)
    assert {label.version: again.labels.dicom_uid(label) for label in again.labels.versions(anna.pet)} == {
        1: uids[1],
        2: uids[2],
        4: uids[4],
    }
    write_labels(mask(), PET_GRID, site.folder / "label.nii.gz")
    assert again.annotations.submit(anna.pet, site.folder / "label.nii.gz").version == 5


def test_seg_is_taken_in_once_its_pet_is_whole(site: Site) -> None:
    anna = site.study("anna", stored=False)
    files = sorted(anna.folder.glob("PT*"))
    assert len(files) == 30
    halves = [site.folder / "first", site.folder / "second"]
    for folder, some in zip(halves, (files[15:], files[:15]), strict=True):
        folder.mkdir()
        for path in some:
            (folder / path.name).write_bytes(path.read_bytes())
    site.orthanc.store(halves[0])
    site.orthanc.store(write_seg(anna, site.folder / "seg"))
    site.watch()
    assert site.labels.snapshot().labels == ()
    site.orthanc.store(halves[1])
    site.watch()
    assert site.labels.current(anna.pet).annotator == "Grace^Hopper"


def test_label_submitted_while_the_server_is_asked_is_not_taken_in_again(site: Site) -> None:
    anna = site.study("anna")
    site.watch()
    write_labels(mask(), PET_GRID, site.folder / "label.nii.gz")

    def submit_first(request: str) -> bool:
        if "Modality=SEG" in request and not site.labels.versions(anna.pet):
            site.annotations.submit(anna.pet, site.folder / "label.nii.gz", annotator="ada")
        return False

    site.archive.fails = submit_first
    site.watch()
    site.watch()
    assert len(site.orthanc.segmentations(anna.study)) == 1
    assert [label.annotator for label in site.labels.versions(anna.pet)] == ["ada"]


def test_ct_that_arrives_later_and_images_that_are_replaced_are_seen(site: Site) -> None:
    anna = site.study("anna", stored=False)
    pet, ct = site.folder / "pet", site.folder / "ct"
    for path in sorted(anna.folder.glob("*.dcm")):
        folder = pet if path.name.startswith("PT") else ct
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    site.orthanc.store(pet)
    site.watch()
    before, _ = site.annotations.open(anna.pet)
    assert before.ct is None
    site.orthanc.store(ct)
    site.watch()
    assert site.annotations.open(anna.pet)[0].ct is not None

    for path in sorted(pet.iterdir()):  # the same series, corrected
        image = dcmread(path)
        (found,) = requests.post(f"{site.orthanc.url}/tools/lookup", data=image.SOPInstanceUID, timeout=30).json()
        requests.delete(f"{site.orthanc.url}{found['Path']}", timeout=30).raise_for_status()
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.PatientWeight = 2 * image.PatientWeight
        image.save_as(path)
    site.orthanc.store(pet)
    site.watch()
    after, _ = site.annotations.open(anna.pet)
    np.testing.assert_allclose(after.pet.array, 2 * before.pet.array, rtol=1e-5)


def test_answer_that_nobody_understands_holds_up_nothing(site: Site) -> None:
    anna, ben = site.study("anna"), site.study("ben")
    site.label(anna)
    site.archive.instead = lambda request: "/studies" if request.startswith("POST") else None  # a list, not a receipt
    write_labels(mask(), PET_GRID, site.folder / "label.nii.gz")
    assert site.annotations.submit(ben.pet, site.folder / "label.nii.gz").version == 1
    site.watch()
    assert [site.orthanc.segmentations(each.study) for each in (anna, ben)] == [[], []]
    site.archive.instead = lambda _: None
    site.watch(after_s=600)
    assert [len(site.orthanc.segmentations(each.study)) for each in (anna, ben)] == [1, 1]


def test_series_of_which_the_server_sends_a_part_is_not_taken_for_a_shorter_one(site: Site) -> None:
    anna = site.study("anna")
    site.watch()
    series = f"/studies/{anna.study}/series/{anna.pet}"
    (first, *_) = site.annotations.stores.cases.source.instances(anna.study, anna.pet)
    site.archive.instead = lambda request: f"{series}/instances/{first}" if request == f"GET {series}" else None
    with pytest.raises(ArchiveError, match=f"did not send 29 of 30 images of series {anna.pet}"):
        site.annotations.open(anna.pet)
    site.archive.instead = lambda _: None
    assert site.annotations.open(anna.pet)[0].pet.grid.shape == PET_GRID.shape


def test_label_of_a_study_that_was_fetched_is_kept_while_the_server_is_away(site: Site) -> None:
    """And this one was started again meanwhile."""
    anna, ben = site.study("anna"), site.study("ben")
    site.watch()
    before, _ = site.annotations.open(anna.pet)
    site.archive.away = True
    again = Site(site.folder, site.orthanc, site.archive)
    assert again.offered() == sorted([anna.pet, ben.pet])
    write_labels(mask(), PET_GRID, site.folder / "label.nii.gz")
    assert again.annotations.submit(anna.pet, site.folder / "label.nii.gz").version == 1
    study, _ = again.annotations.open(anna.pet)
    np.testing.assert_array_equal(study.pet.array, before.pet.array)
    assert study.ct is not None
    assert again.annotations.open(anna.ct)[1].is_close(CT_GRID)
    with pytest.raises(ArchiveError, match="does not answer"):
        again.annotations.open(ben.ct)
    with pytest.raises(ArchiveError, match="does not answer"):
        again.annotations.submit(ben.pet, site.folder / "label.nii.gz")
    assert again.labels.versions(ben.pet) == ()
    site.archive.away = False
    again.watch(after_s=600)
    assert len(site.orthanc.segmentations(anna.study)) == 1


def test_started_again_it_looks_at_what_is_new_and_in_another_version_at_everything(site: Site) -> None:
    """A look takes long: each start would, where there are hundreds of PETs."""

    def looked_at(again: Site) -> int:
        site.archive.asked.clear()
        again.watch()
        paths = {request.partition("?")[0] for request in site.archive.asked}  # a list comes in pages
        return sum(path.endswith("/instances") for path in paths)

    for name in ("anna", "ben", "carl"):
        site.study(name)
    series = write_small_study(site.folder / "dicom", "dora", PatientWeight=None)
    site.orthanc.store(series.folder)
    assert looked_at(site) == 4
    offered, reasons = site.offered(), [case.problem for case in site.annotations.stores.cases.source.cases()]
    again = Site(site.folder, site.orthanc, site.archive)
    assert looked_at(again) == LOOKED_AT_AGAIN
    site.study("erna")
    assert looked_at(again) == LOOKED_AT_AGAIN + 1
    assert set(offered) < set(again.offered())
    assert set(reasons) == {case.problem for case in again.annotations.stores.cases.source.cases()}
    notes = site.folder / "cache" / "notes" / "pets.json"
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "version": "another"}))
    again = Site(site.folder, site.orthanc, site.archive)
    assert len(again.offered()) == 4
    assert looked_at(again) == 5


@pytest.mark.parametrize("what", ["image removed", "image added", "other revision", "server fails"])
def test_what_was_fetched_is_not_read_where_it_may_not_be_whole(site: Site, what: str) -> None:
    anna = site.study("anna")
    site.watch()
    site.annotations.open(anna.pet)
    site.archive.away = True
    again = Site(site.folder, site.orthanc, site.archive)
    first, *_ = sorted((site.folder / "cache" / anna.study / anna.pet).glob("*.dcm"))
    if what == "image removed":
        first.unlink()
    elif what == "image added":
        first.with_name("1.2.3.dcm").write_bytes(first.read_bytes())
    elif what == "other revision":
        note = site.folder / "cache" / "notes" / "fetched" / f"{anna.pet}.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "revision": "another"}))
    else:
        site.archive.away, site.archive.fails = False, lambda _: True
    with pytest.raises(ArchiveError):
        again.annotations.open(anna.pet)


def test_study_that_was_removed_from_the_disk_is_fetched_again(site: Site) -> None:
    anna, ben = site.study("anna"), site.study("ben")
    site.watch()
    before, _ = site.annotations.open(anna.pet)
    site.annotations.open(ben.pet)
    source = DicomWeb(site.archive.url, site.folder / "cache", limit_bytes=0)
    source.prune()
    assert (site.folder / "cache" / anna.study).is_dir(), "it was just used"
    for study in (anna, ben):
        os.utime(site.folder / "cache" / study.study, (0, 0))
    again = Site(site.folder, site.orthanc, site.archive)
    again.annotations.open(ben.pet)
    source = DicomWeb(site.archive.url, site.folder / "cache", limit_bytes=0)
    source.prune()
    assert [path.name for path in (site.folder / "cache").iterdir() if path.name != "notes"] == [ben.study]
    site.archive.away = True
    with pytest.raises(ArchiveError, match="does not answer"):
        Site(site.folder, site.orthanc, site.archive).annotations.open(anna.pet)
    site.archive.away = False
    study, _ = Site(site.folder, site.orthanc, site.archive).annotations.open(anna.pet)
    np.testing.assert_array_equal(study.pet.array, before.pet.array)


def test_ct_that_is_shown_is_not_asked_for_again(site: Site) -> None:
    anna = site.study("anna")
    site.watch()
    study, grid = site.annotations.open(anna.ct)
    assert not grid.is_close(study.pet.grid)
    site.archive.fails = lambda _: True
    site.archive.asked.clear()
    assert site.annotations.open(anna.ct) == (study, grid)
    assert site.archive.asked == []


def test_ct_of_a_study_without_pet_is_not_fetched(site: Site) -> None:
    anna = site.study("anna", stored=False)
    for path in anna.folder.glob("PT*"):
        path.unlink()
    site.orthanc.store(anna.folder)
    with pytest.raises(UnknownImageError, match=f"there is no PET {anna.ct}"):
        site.annotations.open(anna.ct)
    assert not any("/series/" in request for request in site.archive.asked)


def test_seg_of_a_killed_server_is_known_where_it_cannot_be_sent_again(site: Site) -> None:
    anna = site.study("anna")
    label = site.label(anna)
    (site.folder / "seg").mkdir()
    seg = segmentation_of(label, site.annotations.open(anna.pet)[0])
    seg.save_as(site.folder / "seg" / "ours.dcm", enforce_file_format=True)
    site.orthanc.store(site.folder / "seg")  # and the server was killed before it could note that
    site.archive.fails = lambda request: request.startswith("POST")  # as servers do that refuse what they have
    site.watch()
    assert [each.version for each in site.labels.versions(anna.pet)] == [1]
    assert site.labels.dicom_uid(label) == str(seg.SOPInstanceUID)
    site.archive.asked.clear()
    site.watch(after_s=600)
    assert not any(request.startswith("POST") for request in site.archive.asked)
