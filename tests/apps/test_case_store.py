"""Images of a folder as studies: SUV and CT on one grid, by id, from a bounded cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotation_server import write_small_study
from lib.datastore import local
from lib.datastore.annotations import Annotations
from lib.datastore.cases import CaseStore
from lib.datastore.image_ids import UnknownImageError
from lib.datastore.local import LocalFolder
from lib.datastore.stores import open_stores
from synthetic_dicom import axial_grid, ct_header, pattern, pet_header, write_series

from petlesion.dicom.header import Skipped
from petlesion.dicom.segmentation import build_segmentation
from petlesion.errors import SuvError, UsageError
from petlesion.identifiers import derived_uid
from petlesion.masks import read_mask
from petlesion.measure.biomarkers import measure
from petlesion.nifti import write_image, write_labels
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((6, 10, 12), (3.0, 4.0, 4.0))


def write_nifti_case(folder: Path, name: str, *, ct: bool = True, about: dict[str, str] | None = None) -> None:
    suv = np.random.default_rng(0).uniform(0, 9, GRID.shape).astype(np.float32)
    write_image(Volume(suv, GRID), folder / f"{name}.nii.gz")
    if ct:
        fine = Grid.from_geometry((18, 40, 48), (1.0, 1.0, 1.0))
        (folder / "ct").mkdir(exist_ok=True)
        write_image(Volume(np.full(fine.shape, 40, dtype=np.int16), fine), folder / "ct" / f"{name}.nii.gz")
    if about is not None:
        (folder / f"{name}.json").write_text(json.dumps(about))


def test_nifti_files_are_cases_with_their_ct(tmp_path: Path) -> None:
    write_nifti_case(tmp_path, "one", about={"patient_id": "P7", "tracer": "f18-fdg"})
    write_nifti_case(tmp_path, "two", ct=False)
    store = CaseStore(LocalFolder(tmp_path, TracerName.GA68_PSMA11))
    one, two = store.cases()
    assert (one.image_id, one.patient_id, one.tracer) == ("one", "P7", "f18-fdg")
    assert (two.image_id, two.patient_id, two.tracer) == ("two", "two", "ga68-psma11")
    study = store.load("one")
    assert study.tracer.name == "f18-fdg"
    assert study.ct is not None
    assert study.ct.array.shape == GRID.shape
    assert np.median(study.ct.array) == 40
    assert store.load("two").ct is None


def test_studies_of_an_id_with_a_backslash_are_of_one_patient(tmp_path: Path) -> None:
    """Else training and validation could share the patient."""
    for name in ("first", "second"):
        write_small_study(tmp_path, name, PatientID="12\\7")
    assert [case.patient_id for case in CaseStore(LocalFolder(tmp_path)).cases()] == ["12/7", "12/7"]


def test_linked_studies_are_cases_and_loops_and_dangling_links_are_passed_over(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path / "archive" / "PT", Volume(pattern(grid), grid), pet_header(), name="pet")
    images = tmp_path / "images"
    images.mkdir()
    (images / "loop").symlink_to(images)
    (images / "gone").symlink_to(tmp_path / "nowhere")
    folder = LocalFolder(images)
    assert folder.cases() == ()
    (images / "study").symlink_to(tmp_path / "archive")
    folder.refresh()
    assert [case.image_id for case in folder.cases()] == [derived_uid("series", "pet")]


def test_dicom_studies_are_cases_by_series_uid(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path / "anything" / "PT", Volume(pattern(grid), grid), pet_header(), name="pet")
    write_series(tmp_path / "anything" / "CT", Volume(np.full(grid.shape, 40.0), grid), ct_header(), name="ct")
    pet, ct = derived_uid("series", "pet"), derived_uid("series", "ct")
    write_nifti_case(tmp_path, "nifti")
    store = CaseStore(LocalFolder(tmp_path))
    assert {case.image_id for case in store.cases()} == {"nifti", pet}
    study = store.load(pet)
    assert study.pet_series_instance_uid == pet
    assert study.ct is not None
    view = store.ct_view(ct)
    assert view is not None
    assert view.image_id == pet
    assert store.ct_view(pet) is None


def test_folder_of_one_study_is_a_case(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path, Volume(pattern(grid), grid), pet_header(), name="pet")
    assert [case.image_id for case in CaseStore(LocalFolder(tmp_path)).cases()] == [derived_uid("series", "pet")]


def test_image_without_suv_is_not_offered_but_says_why(tmp_path: Path) -> None:
    grid, header = axial_grid(), pet_header()
    del header.PatientWeight
    write_series(tmp_path / "study", Volume(pattern(grid), grid), header, name="pet")
    store = CaseStore(LocalFolder(tmp_path))
    assert store.cases() == ()
    with pytest.raises(SuvError, match="PatientWeight"):
        store.load(derived_uid("series", "pet"))


def test_uncorrected_image_is_no_case_and_asked_for_says_why(tmp_path: Path) -> None:
    grid, header = axial_grid(), pet_header()
    header.CorrectedImage = ["DECY"]
    write_series(tmp_path / "study", Volume(pattern(grid), grid), header, name="pet")
    store = CaseStore(LocalFolder(tmp_path))
    assert store.cases() == ()
    with pytest.raises(UnknownImageError, match="is not offered: it is not attenuation-corrected"):
        store.load(derived_uid("series", "pet"))


@pytest.mark.parametrize(
    ("kind", "keyword", "count"),
    [("DYNAMIC", "NumberOfTimeSlices", 6), ("GATED", "NumberOfTimeSlots", 8), ("GATED", "NumberOfRRIntervals", 2)],
)
def test_series_of_several_volumes_is_no_case(tmp_path: Path, kind: str, keyword: str, count: int) -> None:
    grid, header = axial_grid(), pet_header()
    header.SeriesType = [kind, "IMAGE"]
    slices = grid.shape[0]
    for name, volumes, of_each in (("one", 1, slices), ("part", count, slices), ("several", count, slices // count)):
        setattr(header, keyword, volumes)
        header.NumberOfSlices = of_each
        write_series(tmp_path / name, Volume(pattern(grid), grid), header, name=name)
    store = CaseStore(LocalFolder(tmp_path))
    assert {case.image_id for case in store.cases()} == {derived_uid("series", name) for name in ("one", "part")}
    with pytest.raises(UnknownImageError, match=f"is not offered: it is {kind.lower()}, of several volumes"):
        store.load(derived_uid("series", "several"))


def test_new_file_is_found_when_asked_for(tmp_path: Path) -> None:
    store = CaseStore(LocalFolder(tmp_path))
    with pytest.raises(UnknownImageError, match="there is no PET later"):
        store.load("later")
    write_nifti_case(tmp_path, "later", ct=False)
    assert store.load("later").pet.grid.is_close(GRID)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "%2e%2e/x", "ct/one", ".."])
def test_ids_are_no_paths(tmp_path: Path, name: str) -> None:
    write_nifti_case(tmp_path, "one")
    with pytest.raises(UnknownImageError, match="is no image id"):
        CaseStore(LocalFolder(tmp_path)).load(name)


def test_cache_is_bounded_and_sees_changes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_nifti_case(tmp_path, name, ct=False)
    volume_bytes = 4 * int(np.prod(GRID.shape))
    store = CaseStore(LocalFolder(tmp_path), cache_bytes=2 * volume_bytes)
    first = store.load("a")
    assert store.load("a") is first
    store.load("b"), store.load("c")
    assert store.cached_bytes == 2 * volume_bytes
    assert store.load("a") is not first
    write_nifti_case(tmp_path, "a", ct=False, about={"tracer": "f18-fdg"})
    store.refresh()
    assert store.load("a").tracer.name == "f18-fdg"


def test_ct_that_arrives_later_is_seen(tmp_path: Path) -> None:
    grid = axial_grid()
    write_nifti_case(tmp_path, "nifti", ct=False)
    write_series(tmp_path / "study" / "PT", Volume(pattern(grid), grid), pet_header(), name="pet")
    store, pet = CaseStore(LocalFolder(tmp_path)), derived_uid("series", "pet")
    before = {case.image_id: case.revision for case in store.cases()}
    assert store.load("nifti").ct is store.load(pet).ct is None
    write_nifti_case(tmp_path, "nifti")
    write_series(tmp_path / "study" / "CT", Volume(np.full(grid.shape, 40.0), grid), ct_header(), name="ct")
    store.refresh()
    assert all(case.revision != before[case.image_id] for case in store.cases())
    assert store.load("nifti").ct is not None
    assert store.load(pet).ct is not None
    again = CaseStore(LocalFolder(tmp_path))
    assert again.cases() == store.cases(), "copies of images are kept by revision, over restarts"


def test_images_that_are_replaced_are_seen(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path / "PT", Volume(pattern(grid), grid), pet_header(), name="pet")
    write_series(tmp_path / "CT", Volume(np.full(grid.shape, 40.0), grid), ct_header(), name="ct")
    store, pet = CaseStore(LocalFolder(tmp_path)), derived_uid("series", "pet")
    before, view = store.load(pet), store.ct_view(derived_uid("series", "ct"))
    assert store.ct_view(derived_uid("series", "ct")) is view
    moved = Grid.from_geometry(grid.shape, tuple(grid.spacing_mm), origin_mm=(1.0, 2.0, 3.0))
    write_series(tmp_path / "PT", Volume(2 * pattern(grid), grid), pet_header(), name="pet")
    write_series(tmp_path / "CT", Volume(np.full(grid.shape, 40.0), moved), ct_header(), name="ct")
    store.refresh()
    np.testing.assert_allclose(store.load(pet).pet.array, 2 * before.pet.array, rtol=1e-3, atol=1e-3)
    after = store.ct_view(derived_uid("series", "ct"))
    assert view is not None
    assert after is not None
    assert not after.grid.is_close(view.grid)


def test_label_files_are_told_apart_by_image_and_drafts_are_no_labels_of_others(tmp_path: Path) -> None:
    write_series(tmp_path / "PT", Volume(pattern(axial_grid()), axial_grid()), pet_header(), name="pet")
    (tmp_path / "labels" / "final").mkdir(parents=True)
    pet = derived_uid("series", "pet")
    for name in ("a.b", "c"):
        write_nifti_case(tmp_path, name, ct=False)
    empty = tmp_path / "labels" / "final" / "a.b.nii.gz"
    write_labels(np.zeros(GRID.shape, np.uint8), GRID, empty)
    shutil.copyfile(empty, empty.with_name("c.nii.gz"))
    annotations = Annotations(open_stores(str(tmp_path)))
    annotations.watch()
    study = annotations.stores.cases.load(pet)
    drawn = np.zeros(study.pet.grid.shape, np.uint8)
    drawn[2:4, 2:4, 2:4] = 1
    write_labels(drawn, study.pet.grid, tmp_path.parent / f"{tmp_path.name}.nii.gz")
    lesions = read_mask(tmp_path.parent / f"{tmp_path.name}.nii.gz", study)
    seg = tmp_path.parent / f"{tmp_path.name}.dcm"
    build_segmentation(study, lesions, measure(study, lesions)).save_as(seg, enforce_file_format=True)
    annotations.submit(pet, seg, tag="draft")
    assert list((tmp_path / "label-versions" / pet / "draft").glob("*.as-submitted.dcm"))
    for _ in range(2):
        annotations.watch()
    labels = annotations.stores.labels
    assert [(label.image_id, label.version) for label in labels.snapshot().labels] == [("a.b", 1), ("c", 1)]
    assert list(labels.current_by_tag(pet)) == ["draft"]
    again = Annotations(open_stores(str(tmp_path)))
    again.watch()
    assert [label.version for label in again.stores.labels.everything()] == [1, 1, 1]


def test_options_are_checked(tmp_path: Path) -> None:
    stores = open_stores(str(tmp_path), {"labels": str(tmp_path / "kept"), "cache_gb": "0.5", "tracer": "f18-fdg"})
    assert stores.labels.folder == tmp_path / "kept"
    assert open_stores(str(tmp_path)).labels.folder == tmp_path / "label-versions"
    for conf in ({"cache_gb": "-1"}, {"cache_gb": "lots"}, {"tracer": "water"}):
        with pytest.raises(UsageError, match=next(iter(conf))):
            open_stores(str(tmp_path), conf)


def test_label_that_cannot_be_read_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_nifti_case(tmp_path, "two", ct=False)
    seg = ct_header()
    seg.Modality, seg.SeriesInstanceUID, seg.SOPInstanceUID = "SEG", "1.2.3", "1.2.4"
    seg.save_as(tmp_path / "bare.dcm", implicit_vr=False, little_endian=True)  # no preamble, as old exports have none
    labels = tmp_path / "labels" / "final"
    labels.mkdir(parents=True)
    write_labels(np.zeros(GRID.shape, np.uint8), GRID, labels / "two.nii.gz")
    folder = LocalFolder(tmp_path)
    assert folder._found.index is not None
    assert "SEG" in {skipped.modality for skipped in folder._found.index.skipped}
    for _ in range(2):
        assert [found.image_id for found in folder.segmentations(())] == ["two"]
    (said,) = [message for message in caplog.messages if "cannot be read as a label" in message]
    assert "bare.dcm" in said


def test_files_that_vanish_while_they_are_looked_at_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti_case(tmp_path, "one", ct=False)
    (tmp_path / ".rsync-temporary").write_text("")
    folder = LocalFolder(tmp_path)
    found = local.files_below

    def vanishing(below: Path, skipped: list[Skipped]) -> Iterator[Path]:
        for path in found(below, skipped):
            if path.name == ".rsync-temporary":
                path.unlink()
            yield path

    monkeypatch.setattr(local, "files_below", vanishing)
    folder.refresh()
    assert [case.image_id for case in folder.cases()] == ["one"]
