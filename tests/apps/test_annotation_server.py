"""The annotation server as its clients meet it: Orthanc, the server as a process, MONAI Label's client."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from annotation_server import CT_GRID, LESIONS, PET_GRID, Site, small_suv
from lib.datastore.labels import LabelStore
from pydicom import dcmread
from pydicom.uid import generate_uid

from petlesion.dicom.reader import SeriesChoice, read_dicom
from petlesion.dicom.scan import scan
from petlesion.masks import read_mask
from petlesion.nifti import read_labels, write_labels
from petlesion.nrrd import read_nrrd, write_nrrd
from petlesion.volume import Grid, Volume

WATCH_S = 30
"""Within this time the server has to notice what others store."""


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Any:
    from monailabel.client import MONAILabelClient

    results = tmp_path / "client"
    results.mkdir()
    return MONAILabelClient(site.url, str(results))


def hot() -> np.ndarray:
    return small_suv().array > 5


def submit(site: Site, image: str, path: Path, name: str = "", **query: str) -> requests.Response:
    with path.open("rb") as stream:
        files = {"label": (name or path.name, stream)}
        params = {"client_id": "ada", "label_info": [{"name": "lesion", "idx": 1}]}
        return requests.put(
            f"{site.url}/datastore/label",
            params={"image": image, **query},
            data={"params": json.dumps(params)},
            files=files,
            timeout=60,
        )


def nifti_label(tmp_path: Path, array: np.ndarray, grid: Grid = PET_GRID) -> Path:
    path = tmp_path / "label.nii.gz"
    write_labels(array, grid, path)
    return path


def test_models_offer_their_options(client: Any) -> None:
    models = client.info()["models"]
    assert list(models) == ["percist", "fixed", "relative", "gradient", "click"]
    assert models["fixed"]["config"]["suv"] == 3.0
    assert models["click"]["type"] == "deepgrow"
    assert models["click"]["config"]["boundary"][0] == "gradient"


@pytest.mark.parametrize("model", ["percist", "fixed", "relative", "gradient"])
def test_models_find_the_hot_balls(site: Site, client: Any, model: str) -> None:
    file, result = client.infer(model, site.studies["anna"].pet, {"suv": 5.0})
    found = read_nrrd(Path(file))
    assert found.grid.is_close(PET_GRID)
    assert set(np.unique(found.array)) == {0, 1}
    assert all(found.array[centre] == 1 for centre in LESIONS)
    assert [round(lesion["suv_max"], 1) for lesion in result["lesions"]] == [12.0, 9.0]
    assert result["label_names"] == {"lesion": 1}
    assert result["reference"]["organ"] in ("liver", "spleen", "none")
    assert result["warnings"]


def test_fixed_threshold_is_exact_and_instances_are_told_apart(site: Site, client: Any) -> None:
    file, result = client.infer("fixed", site.studies["anna"].pet, {"suv": 5.0, "instances": True})
    labels = read_nrrd(Path(file)).array
    np.testing.assert_array_equal(labels > 0, hot())
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert result["label_names"] == {"lesion 1": 1, "lesion 2": 2}
    assert [lesion["name"] for lesion in result["lesions"]] == ["lesion 1", "lesion 2"]


def test_who_asks_by_the_ct_is_answered_on_its_grid(site: Site, client: Any) -> None:
    file, result = client.infer("fixed", site.studies["anna"].ct, {"suv": 5.0})
    found = read_nrrd(Path(file))
    assert found.grid.is_close(CT_GRID)
    volume_ml = np.count_nonzero(found.array) * CT_GRID.voxel_ml
    assert volume_ml == pytest.approx(result["totals"]["ttv_ml"], rel=0.1)
    centre = np.rint(CT_GRID.to_index(PET_GRID.to_world(next(iter(LESIONS))))).astype(int)
    assert found.array[tuple(centre)] == 1


def test_clicks_grow_one_lesion_and_background_cuts(site: Site, client: Any) -> None:
    (z, y, x), *_ = LESIONS
    for boundary in ("gradient", "relative", "fixed", "percist"):
        file, result = client.infer(
            "click", site.studies["anna"].pet, {"foreground": [[x, y, z]], "background": [], "boundary": boundary}
        )
        found = read_nrrd(Path(file)).array > 0
        assert found[z, y, x]
        assert len(result["lesions"]) == 1
        assert np.count_nonzero(found & hot()) >= 0.8 * np.count_nonzero(hot()[:14])
    index = CT_GRID.to_index(PET_GRID.to_world((z, y, x)))
    file, _ = client.infer(
        "click", site.studies["anna"].ct, {"foreground": [np.rint(index)[::-1].tolist()], "boundary": "fixed"}
    )
    assert read_nrrd(Path(file)).array[tuple(np.rint(index).astype(int))] == 1


def test_segmentation_object_is_the_cores(site: Site, tmp_path: Path) -> None:
    answer = requests.post(
        f"{site.url}/infer/fixed",
        params={"image": site.studies["anna"].pet, "output": "dicom_seg"},
        data={"params": json.dumps({"suv": 5.0})},
        timeout=60,
    )
    assert answer.headers["content-type"] == "application/dicom"
    path = tmp_path / "seg.dcm"
    path.write_bytes(answer.content)
    assert len(dcmread(path).SegmentSequence) == len(LESIONS)
    assert_valid(path)


def assert_valid(path: Path) -> None:
    """No error in the eyes of dciodvfy; the last that a test looks at, which is skipped here without it."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: make system-tools")
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in said.stderr, said.stderr


@pytest.mark.parametrize("kind", ["nifti", "nrrd", "bin", "seg", "nifti-flipped"])
def test_label_of_any_client_is_stored_and_reaches_orthanc(site: Site, tmp_path: Path, kind: str) -> None:
    study = site.studies["ben"]
    label = np.zeros(PET_GRID.shape, dtype=np.uint8)
    label[8:11, 20:25, 12 : 17 + len(kind)] = 1
    before = site.orthanc.segmentations(study.study)
    name = ""
    if kind == "nifti":
        path = nifti_label(tmp_path, label)
    elif kind == "nifti-flipped":
        path, flipped = tmp_path / "flipped.nii.gz", PET_GRID.affine.copy()
        flipped[:3, 0] *= -1
        flipped[:3, 3] = PET_GRID.to_world((PET_GRID.shape[0] - 1, 0, 0))
        write_labels(label[::-1], Grid(PET_GRID.shape, flipped), path)
    elif kind == "nrrd":
        path = tmp_path / "label.nrrd"
        write_nrrd(Volume(label, PET_GRID), path, compress=True)
    elif kind == "bin":
        path, name = tmp_path / "anything", "label.bin"
        path.write_bytes(label.tobytes())
    else:
        path = tmp_path / "own.dcm"
        pet = read_dicom(scan(study.folder), choice=SeriesChoice(pet_uid=study.pet))
        write_labels(label, PET_GRID, tmp_path / "mask.nii.gz")
        from petlesion.dicom.segmentation import build_segmentation
        from petlesion.measure.biomarkers import measure

        lesions = read_mask(tmp_path / "mask.nii.gz", pet)
        build_segmentation(pet, lesions, measure(pet, lesions)).save_as(path, enforce_file_format=True)

    answer = submit(site, study.pet, path, name)
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == study.pet

    stored = LabelStore(site.server.labels).current(study.pet)
    assert (stored.annotator, stored.source) == ("ada", "client")
    np.testing.assert_array_equal(stored.read().array > 0, label > 0)
    downloaded = requests.get(f"{site.url}/datastore/label", params={"label": study.pet, "tag": "final"}, timeout=60)
    (tmp_path / "back.nii.gz").write_bytes(downloaded.content)
    np.testing.assert_array_equal(read_labels(tmp_path / "back.nii.gz").array > 0, label > 0)

    (added,) = set(site.orthanc.segmentations(study.study)) - set(before)
    seg = tmp_path / "from-orthanc.dcm"
    seg.write_bytes(site.orthanc.file(added))
    dataset = dcmread(seg)
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == study.pet
    pet = read_dicom(scan(study.folder), choice=SeriesChoice(pet_uid=study.pet))
    np.testing.assert_array_equal(read_mask(seg, pet).labels > 0, label > 0)
    assert_valid(seg)


def test_no_lesion_is_a_label_and_counts_at_once(site: Site, client: Any, tmp_path: Path) -> None:
    study = site.studies["carl"]
    completed = client.info()["datastore"]["completed"]
    image = client.next_sample("random", {})
    assert image["id"]
    assert submit(site, study.pet, nifti_label(tmp_path, np.zeros(PET_GRID.shape, np.uint8))).status_code == 200
    assert client.info()["datastore"]["completed"] == completed + 1
    assert LabelStore(site.server.labels).current(study.pet).lesions == 0
    assert site.orthanc.segmentations(study.study) == []
    info = requests.get(f"{site.url}/datastore/label/info", params={"label": study.pet, "tag": "final"}, timeout=60)
    assert (info.json()["annotator"], info.json()["lesions"]) == ("ada", 0)


def test_label_drawn_on_the_ct_is_brought_to_the_pet(site: Site, tmp_path: Path) -> None:
    label = np.zeros(CT_GRID.shape, dtype=np.uint8)
    label[8:40, 10:50, 10:50] = 1
    assert submit(site, site.studies["dora"].ct, nifti_label(tmp_path, label, CT_GRID)).status_code == 200
    stored = LabelStore(site.server.labels).current(site.studies["dora"].pet).read()
    assert stored.grid.is_close(PET_GRID)
    volume_ml = np.count_nonzero(stored.array) * PET_GRID.voxel_ml
    assert volume_ml == pytest.approx(np.count_nonzero(label) * CT_GRID.voxel_ml, rel=0.1)


def test_segmentation_that_others_store_becomes_a_label(site: Site, tmp_path: Path) -> None:
    study = site.studies["anna"]
    store = LabelStore(site.server.labels)
    pet = read_dicom(scan(study.folder), choice=SeriesChoice(pet_uid=study.pet))
    label = np.zeros(PET_GRID.shape, dtype=np.uint8)
    label[18:22, 13:17, 24:28] = 1
    drawn = label.copy()
    drawn[2:3, 20:22, 20:22] = 2
    lesions = read_mask(nifti_label(tmp_path, drawn), pet)
    from petlesion.dicom.segmentation import build_segmentation
    from petlesion.measure.biomarkers import measure

    seg = build_segmentation(pet, lesions, measure(pet, lesions))
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    seg.SeriesInstanceUID, seg.ContentCreatorName = generate_uid(), "Grace^Hopper"
    seg.SegmentSequence[1].SegmentLabel = "background"
    seg.save_as(tmp_path / "theirs.dcm", enforce_file_format=True)
    before = len(store.versions(study.pet))
    site.orthanc.store(tmp_path)
    deadline = time.monotonic() + WATCH_S
    while len(store.versions(study.pet)) == before and time.monotonic() < deadline:
        time.sleep(0.2)
    found = store.current(study.pet)
    assert (found.source, found.annotator) == ("dicom", "Grace^Hopper")
    np.testing.assert_array_equal(found.read().array > 0, label > 0)
    assert site.orthanc.segmentations(study.study) == [seg.SOPInstanceUID]


def test_real_study_comes_back_voxel_identical(site: Site, client: Any, tmp_path: Path, real_patient: Path) -> None:
    pet = read_dicom(scan(real_patient))
    image = pet.pet_series_instance_uid
    file, result = client.infer("relative", image, {"fraction": 0.41})
    assert result["study"]["tracer"] == "f18-fdg"
    label = read_nrrd(Path(file))
    assert label.array.any()
    before = site.orthanc.segmentations(pet.study_instance_uid)
    client.save_label(image, file, "final", {"client_id": "bob"})
    (added,) = set(site.orthanc.segmentations(pet.study_instance_uid)) - set(before)
    (tmp_path / "seg.dcm").write_bytes(site.orthanc.file(added))
    np.testing.assert_array_equal(read_mask(tmp_path / "seg.dcm", pet).labels > 0, label.array > 0)
    assert_valid(tmp_path / "seg.dcm")


def test_many_images_without_a_gpu(site: Site) -> None:
    image, other = site.studies["erna"].pet, site.studies["no-weight"].pet
    asked = {"multi_gpu": True, "device": "cuda", "max_workers": 1, "images": [image, other]}  # as MONAI Label asks
    answer = requests.post(f"{site.url}/batch/infer/fixed", params={"run_sync": "true"}, json=asked, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()[other] == {}
    assert LabelStore(site.server.labels).current(image, "original").source == "fixed"
