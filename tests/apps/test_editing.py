"""What the panel of the viewer asks while lesions are drawn: numbers, stored labels, who has the case."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import open_folder
from annotation_server import PET_GRID, Site, small_suv, write_small_study
from lib.datastore.annotations import Annotations
from lib.datastore.image_ids import UnknownLabelError
from lib.editing import referred, reported, stored
from lib.infers.tasks import Job, all_tasks

from petlesion.nifti import write_labels
from petlesion.nrrd import read_nrrd, write_nrrd
from petlesion.volume import Volume

NOTICED_S = 60
"""Time in which the server notices a new study."""


def drawn() -> np.ndarray:
    """Two lesions, with a gap in their values, the smaller one with the lower value."""
    labels = np.zeros(PET_GRID.shape, dtype=np.uint8)
    hot = small_suv().array > 5
    labels[hot] = 7
    labels[:14][hot[:14]] = 2
    labels[20, 22, 20] = 2
    return labels


def nrrd(labels: np.ndarray, folder: Path) -> bytes:
    write_nrrd(Volume(labels, PET_GRID), folder / "drawn.nrrd", compress=True)
    return (folder / "drawn.nrrd").read_bytes()


def test_numbers_are_those_of_petlesion_measure(site: Site, tmp_path: Path) -> None:
    study = site.studies["dora"]
    url = f"{site.url}/lesions/measure"
    answer = requests.post(url, params={"image": study.pet}, data=nrrd(drawn(), tmp_path), timeout=60)
    assert answer.ok, answer.text
    by_value = {lesion["value"]: lesion for lesion in answer.json()["lesions"]}
    write_labels(drawn(), PET_GRID, tmp_path / "drawn.nii.gz")
    measure = ["measure", study.folder, "--seg", tmp_path / "drawn.nii.gz", "-o", tmp_path / "out"]
    subprocess.run([sys.executable, "-m", "petlesion", *measure], check=True, capture_output=True, timeout=120)
    expected = json.loads((tmp_path / "out" / "report.json").read_text())["lesions"]
    assert len(expected) == len(by_value) == 2
    for lesion in expected:
        value = next(n for n, own in by_value.items() if own["centroid_mm"] == pytest.approx(lesion["centroid_mm"]))
        for key in ("volume_ml", "suv_max", "suv_mean", "suv_peak", "tlu"):
            assert by_value[value][key] == pytest.approx(lesion[key], rel=1e-6)
    assert answer.json()["grid"]["shape"] == list(PET_GRID.shape)


def test_reference_that_a_person_places_is_that_of_the_models(site: Site) -> None:
    pet = site.studies["dora"].pet
    x, y, z = map(float, PET_GRID.to_world(np.array([20.0, 30.0, 20.0])))
    params = {"image": pet, "x": x, "y": y, "z": z}
    reference = requests.get(f"{site.url}/lesions/reference", params=params, timeout=60).json()
    assert (reference["organ"], reference["mean"]) == ("liver", pytest.approx(1.0, abs=0.01))
    form = {"params": json.dumps({"liver_sphere_mm": [x, y, z]})}
    answer = requests.post(f"{site.url}/infer/percist?image={pet}&output=json", data=form, timeout=60)
    assert answer.json()["reference"] | {"warnings": []} == reference
    wrong = {"params": json.dumps({"liver_sphere_mm": [x, "left"]})}
    answer = requests.post(f"{site.url}/infer/percist?image={pet}&output=json", data=wrong, timeout=60)
    assert (answer.status_code, "liver_sphere_mm" in answer.json()["detail"]) == (400, True)


def test_sphere_and_click_warn_of_a_liver_that_excretes_the_tracer(tmp_path: Path) -> None:
    """The sphere, and each click that ends at the threshold of the reference, whether it was placed or not."""
    study = write_small_study(tmp_path / "dicom", "anna")
    annotations = Annotations(open_folder(tmp_path / "dicom"))
    point = tuple(map(float, PET_GRID.to_world(np.array([20.0, 30.0, 20.0]))))
    assert referred(annotations, study.pet, point)["warnings"] == []
    (warning,) = referred(annotations, study.pet, point, "f18-psma1007")["warnings"]
    assert "SUV 3 would be used without it" in warning

    click = all_tasks(tmp_path)["click"]
    pet, grid = annotations.open(study.pet)
    hottest = np.unravel_index(np.argmax(pet.pet.array), grid.shape)
    request = {"boundary": "percist", "tracer": "f18-psma1007", "foreground": [[int(i) for i in hottest[::-1]]]}
    for more, expected in (({"liver_sphere_mm": point}, warning), ({}, "the fixed threshold SUV 3 is used")):
        for _ in range(2):
            _, result = click({"job": Job(pet, grid, request | more, tmp_path / "results")})
            assert expected in result["warnings"][-1]


def test_empty_map_has_no_lesion(site: Site, tmp_path: Path) -> None:
    empty = nrrd(np.zeros(PET_GRID.shape, dtype=np.uint8), tmp_path)
    answer = requests.post(f"{site.url}/lesions/measure?image={site.studies['dora'].pet}", data=empty, timeout=60)
    assert answer.json()["totals"]["n_lesions"] == 0


def test_stored_label_comes_back_on_the_grid_of_the_pet(site: Site, tmp_path: Path) -> None:
    study = site.studies["dora"]
    before = site.orthanc.segmentations(study.study)
    query = {"image": study.pet, "tag": "draft"}
    files = {"label": ("drawn.nrrd", nrrd(drawn(), tmp_path))}
    assert requests.put(f"{site.url}/datastore/label", params=query, files=files, timeout=60).ok
    answer = requests.get(f"{site.url}/lesions/label", params=query, timeout=60)
    (tmp_path / "back.nrrd").write_bytes(answer.content)
    back = read_nrrd(tmp_path / "back.nrrd")
    assert back.grid.is_close(PET_GRID)
    np.testing.assert_array_equal(back.array, drawn())
    assert site.orthanc.segmentations(study.study) == before, "a draft is nobody else's business"


def test_stored_values_that_the_viewer_cannot_hold_are_renumbered(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    annotations = Annotations(open_folder(tmp_path / "dicom"))
    labels = np.where(drawn() == 7, 65535, drawn()).astype(np.uint16)
    annotations.stores.labels.save(study.pet, labels, PET_GRID)
    (tmp_path / "back.nrrd").write_bytes(stored(annotations, study.pet, "final"))
    np.testing.assert_array_equal(read_nrrd(tmp_path / "back.nrrd").array, np.searchsorted([2, 7], drawn(), "right"))


def test_parts_of_a_single_value_open_as_lesions_unless_the_client_tells_lesions_apart(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    annotations = Annotations(open_folder(tmp_path / "dicom"))
    labels = np.where(drawn() == 7, 3, 0).astype(np.uint16)
    labels[:3, 0, 0] = 3

    def opened(info: dict[str, object]) -> np.ndarray:
        annotations.stores.labels.save(study.pet, labels, PET_GRID, tag="draft", info=info)
        (tmp_path / "back.nrrd").write_bytes(stored(annotations, study.pet, "draft"))
        return read_nrrd(tmp_path / "back.nrrd").array

    expected = np.where(drawn() == 7, 1, 0)
    expected[:3, 0, 0] = 2
    for info in ({}, {"instances": False}):
        np.testing.assert_array_equal(opened(info), expected)
    np.testing.assert_array_equal(opened({"instances": True}), labels)


def test_label_drawn_before_all_images_were_there_opens_on_the_pet_as_it_is(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    annotations = Annotations(open_folder(tmp_path / "dicom"))
    upper = (slice(5, 30), slice(0, 44), slice(0, 40))
    annotations.stores.labels.save(study.pet, drawn()[upper], PET_GRID.part(upper))
    (tmp_path / "back.nrrd").write_bytes(stored(annotations, study.pet, "final"))
    back = read_nrrd(tmp_path / "back.nrrd")
    assert back.grid.is_close(PET_GRID)
    np.testing.assert_array_equal(back.array[upper], drawn()[upper])
    assert not back.array[:5].any()


def text_of(pdf: bytes) -> str:
    """Text of a PDF, white space as single blanks; skips the test without poppler."""
    if shutil.which("pdftotext") is None:
        pytest.skip("poppler-utils is not installed: make system-tools")
    command = ["pdftotext", "-layout", "-", "-"]
    return " ".join(subprocess.run(command, input=pdf, check=True, capture_output=True).stdout.decode().split())


def test_report_of_a_draft_says_whose_it_is_and_that_it_is_not_final(site: Site, tmp_path: Path) -> None:
    study = site.studies["dora"]
    query = {"image": study.pet, "tag": "draft"}
    form = {"params": json.dumps({"client_id": "Dr. <Ada>", "instances": True})}
    files = {"label": ("drawn.nrrd", nrrd(drawn(), tmp_path))}
    assert requests.put(f"{site.url}/datastore/label", params=query, data=form, files=files, timeout=60).ok
    info = requests.get(f"{site.url}/datastore/image/info", params=query, timeout=60).json()
    answer = requests.get(f"{site.url}/lesions/report", params=query, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    text = text_of(answer.content)
    assert f"draft label, version {info['labels']['draft']['version']} of Dr. <Ada>, stored 20" in text
    assert "the label is not final: this is the draft" in text
    assert "Research use only. Not a medical device." in text
    write_labels(drawn(), PET_GRID, tmp_path / "drawn.nii.gz")
    (tmp_path / "out").mkdir()
    measure = ["measure", study.folder, "--seg", tmp_path / "drawn.nii.gz", "-o", tmp_path / "out" / "dora"]
    subprocess.run([sys.executable, "-m", "petlesion", *measure], check=True, capture_output=True, timeout=120)
    totals = json.loads((tmp_path / "out" / "dora" / "report.json").read_text())["totals"]
    assert f"{totals['n_lesions']} {totals['ttv_ml']:.1f} {totals['tlu']:.1f} {totals['suv_max']:.2f}" in text


def test_report_is_of_what_was_stored_last(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    annotations = Annotations(open_folder(tmp_path / "dicom"))
    save = annotations.stores.labels.save
    save(study.pet, drawn(), PET_GRID, annotator="ada")
    save(study.pet, np.zeros_like(drawn()), PET_GRID, annotator="ben")
    save(study.pet, drawn(), PET_GRID, tag="original", source="unet")
    text = text_of(reported(annotations, study.pet, "final"))
    assert "final label, version 2 of ben, stored" in text
    assert "not final" not in text
    assert ("None was found" in text, "TLG" in text) == (True, True)
    assert "TLU" in text_of(reported(annotations, study.pet, "final", "ga68-dotatate"))
    assert "Candidates of an algorithm, not lesions" in text_of(reported(annotations, study.pet, "original"))
    for path in annotations.stores.labels.folder.rglob("final/v000002.nii.gz"):
        path.write_bytes(b"damaged")
    with pytest.raises(UnknownLabelError, match="not the file that was stored"):
        reported(annotations, study.pet, "final")


def test_second_annotator_is_told_who_has_the_case(site: Site, tmp_path: Path) -> None:
    pet = write_small_study(tmp_path, "fritz").pet  # of this test alone: nobody has it, or has labelled it
    site.orthanc.store(tmp_path)

    def reserve(client: str, **more: str) -> dict[str, object]:
        query = {"image": pet, "client_id": client, **more}
        return dict(requests.put(f"{site.url}/lesions/reservation", params=query, timeout=60).json())

    deadline = time.monotonic() + NOTICED_S
    while "own" not in (first := reserve("browser-1")):
        assert time.monotonic() < deadline, first
        time.sleep(0.5)
    assert first["own"] is True
    assert reserve("ada", instead_of="browser-2")["client"] == "browser-1"
    assert reserve("ada", instead_of="browser-1")["client"] == "ada"  # who entered a name after opening the case
    assert reserve("ada")["own"] is True
    second = reserve("ben")
    assert (second["client"], second["own"]) == ("ada", False)
    assert reserve("ada")["own"] is True
    offered = requests.post(f"{site.url}/activelearning/first", json={"client_id": "eve"}, timeout=60).json()
    assert offered.get("id") != pet


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "measure?image=1.2.3", b"NRRD", 404),
        ("POST", "measure?image=..%2F..%2Fetc", b"NRRD", 404),
        ("POST", "measure?image={pet}", b"NRRD0004\nno", 422),
        ("POST", "measure?image={pet}", b"", 422),
        ("GET", "label?image={pet}&tag=none", b"", 404),
        ("GET", "label?image={pet}&tag=..%2Ffinal", b"", 404),
        ("GET", "report?image=1.2.3", b"", 404),
        ("GET", "report?image={pet}&tag=none", b"", 404),
        ("GET", "report?image={pet}&tag=..%2Ffinal", b"", 404),
        ("GET", "reference?image={pet}&x=nan&y=0&z=0", b"", 400),
        ("GET", "reference?image={pet}&x=5000&y=0&z=0", b"", 400),
        ("PUT", "reservation?image=1.2.3&client_id=ada", b"", 404),
        ("POST", "measure?image={weightless}", b"NRRD", 422),
    ],
)
def test_bad_requests_are_answered_with_a_sentence(
    site: Site, method: str, path: str, body: bytes, status: int
) -> None:
    path = path.format(pet=site.studies["anna"].pet, weightless=site.studies["no-weight"].pet)
    answer = requests.request(method, f"{site.url}/lesions/{path}", data=body, timeout=60)
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert "unexpected" not in answer.json()["detail"]
