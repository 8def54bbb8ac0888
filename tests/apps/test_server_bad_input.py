"""What the annotation server refuses: with one sentence, storing nothing, and staying alive."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
import requests
from annotation_server import PET_GRID, Site, write_small_study

from petlesion.errors import UsageError
from petlesion.nifti import write_image, write_labels
from petlesion.volume import Grid, Volume

TRAVERSALS = ["../../x", "/etc/passwd", "%2e%2e%2f%2e%2e%2fx", "..\\..\\x", "a/../../x", "file:///etc/passwd", "x\0y"]


def files_of(site: Site) -> set[Path]:
    """All files of the server but its log and what it has fetched."""
    folder = site.server.log.parent
    found = (path for path in folder.rglob("*") if not path.is_relative_to(folder / "cache"))
    return {path for path in found if path.is_file() and path.suffix not in (".log", ".lock", ".dcm")}


def assert_refused(site: Site, answer: requests.Response, *, says: str) -> None:
    """A 4xx with one sentence of ours; the server answers."""
    assert 400 <= answer.status_code < 500, answer.text
    detail = answer.json()["detail"]
    assert says in detail
    assert "\n" not in detail
    assert "Traceback" not in detail
    assert requests.get(f"{site.url}/info/", timeout=30).ok


def infer(site: Site, model: str, image: str, **options: object) -> requests.Response:
    return requests.post(
        f"{site.url}/infer/{model}",
        params={"image": image, "output": "json"},
        data={"params": json.dumps(options)},
        timeout=60,
    )


def submit(site: Site, image: str, path: Path, tag: str = "final", params: str = "{}") -> requests.Response:
    with path.open("rb") as stream:
        return requests.put(
            f"{site.url}/datastore/label",
            params={"image": image, "tag": tag},
            data={"params": params},
            files={"label": stream},
            timeout=60,
        )


def test_upload_of_a_refused_request_is_removed(tmp_path: Path) -> None:
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    from fastapi import BackgroundTasks, HTTPException
    from lib.endpoints import in_thread

    async def refuse(background_tasks: BackgroundTasks, error: Exception) -> None:
        upload = tmp_path / "upload"
        upload.write_bytes(b"image")
        background_tasks.add_task(upload.unlink)
        raise error

    for error, status in ((UsageError("label of 3 bytes", remedy="send more"), 400), (HTTPException(404), 404)):
        with pytest.raises(HTTPException) as answer:
            asyncio.run(in_thread(refuse)(background_tasks=BackgroundTasks(), error=error))
        assert answer.value.status_code == status
        assert list(tmp_path.iterdir()) == []


def test_unknown_image(site: Site) -> None:
    assert_refused(site, infer(site, "fixed", "1.2.3.4"), says="there is no PET 1.2.3.4")


def test_no_image(site: Site) -> None:
    assert_refused(site, infer(site, "fixed", ""), says="no image is named; give image=ID")


def test_unknown_model(site: Site) -> None:
    answer = infer(site, "deepedit", site.studies["anna"].pet)
    assert answer.status_code == 404
    assert_refused(site, answer, says="there is no model 'deepedit'; use one of percist")


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("fixed", {"suv": -1}, "suv is '-1'; give a number from 0.1 to 100"),
        ("fixed", {"suv": "hot"}, "suv is 'hot'"),
        ("fixed", {"instances": "perhaps"}, "instances is 'perhaps'"),
        ("relative", {"fraction": 41}, "fraction is '41'"),
        ("percist", {"tracer": "water"}, "tracer is 'water'"),
        ("fixed", {"result_extension": ".exe"}, "result_extension is '.exe'"),
        ("click", {}, "no foreground point"),
        ("click", {"foreground": [[1, 2]]}, "foreground is no list of voxels"),
        ("click", {"foreground": [[900, 1, 1]]}, "outside the field of view"),
        ("click", {"foreground": [[1, 1, 1]]}, "does not stand out"),
        ("click", {"foreground": [[14, 22, 8]], "boundary": "unet"}, "there is no network yet"),
    ],
)
def test_options_out_of_range(site: Site, model: str, options: dict[str, object], says: str) -> None:
    assert_refused(site, infer(site, model, site.studies["anna"].pet, **options), says=says)


def test_parameters_that_are_no_json(site: Site) -> None:
    query = {"image": site.studies["anna"].pet}
    answer = requests.post(f"{site.url}/infer/fixed", params=query, data={"params": "{"}, timeout=30)
    assert_refused(site, answer, says="params is no JSON")


@pytest.mark.parametrize("path", ["/etc/passwd", f"{tempfile.gettempdir()}/none.nii.gz", tempfile.gettempdir()])
def test_files_of_the_server_are_no_images(site: Site, path: str) -> None:
    query, form = {"image": site.studies["anna"].pet}, {"params": json.dumps({"image": path})}
    answer = requests.post(f"{site.url}/infer/fixed", params=query, data=form, timeout=60)
    assert answer.status_code == 404
    assert_refused(site, answer, says="the image is no uploaded file")


@pytest.mark.parametrize("params", ["[]", "5", '"suv"', '{"note": NaN}', '{"note": -Infinity}'])
def test_parameters_that_are_no_json_object(site: Site, tmp_path: Path, params: str) -> None:
    write_labels(np.zeros(PET_GRID.shape, np.uint8), PET_GRID, tmp_path / "label.nii.gz")
    image, before = site.studies["anna"].pet, files_of(site)
    assert_refused(site, submit(site, image, tmp_path / "label.nii.gz", params=params), says="params is ")
    for path, key in (("infer/fixed", "params"), ("infer/fixed?output=dicom_seg", "params")):
        answer = requests.post(f"{site.url}/{path}", params={"image": image}, data={key: params}, timeout=30)
        assert_refused(site, answer, says="send a JSON object" if "{" in params else "but no object")
    info = requests.put(f"{site.url}/datastore/image/info", params={"image": image}, data={"info": params}, timeout=30)
    assert_refused(site, info, says="info is ")
    assert files_of(site) == before


@pytest.mark.parametrize("path", ["reload", "infer/wsi/fixed", "infer/wsi_v2/fixed?image=x"])
def test_what_would_disturb_the_server_is_not_offered(site: Site, path: str) -> None:
    assert_refused(site, requests.post(f"{site.url}/{path}", json={}, timeout=30), says="does not offer that")


@pytest.mark.parametrize("name", TRAVERSALS)
def test_names_are_no_paths(site: Site, tmp_path: Path, name: str) -> None:
    label = tmp_path / "label.nii.gz"
    write_labels(np.zeros(PET_GRID.shape, np.uint8), PET_GRID, label)
    before = files_of(site)
    assert_refused(site, infer(site, "fixed", name), says="no name of image")
    assert_refused(site, submit(site, name, label), says="no name of image")
    assert_refused(site, submit(site, site.studies["anna"].pet, label, tag=name), says="no name of tag")
    for path in ("image", "image/info"):
        answer = requests.get(f"{site.url}/datastore/{path}", params={"image": name}, timeout=30)
        assert_refused(site, answer, says="no name of image")
    answer = requests.get(f"{site.url}/datastore/label", params={"label": name, "tag": "final"}, timeout=30)
    assert_refused(site, answer, says="no name of label")
    with label.open("rb") as stream:
        answer = requests.put(f"{site.url}/datastore/image", params={"image": name}, files={"file": stream}, timeout=30)
    assert_refused(site, answer, says="no name of image")
    assert files_of(site) == before
    assert not (site.server.log.parent.parent / "x").exists()


def test_paths_do_not_lead_out_of_the_proxy(site: Site) -> None:
    assert requests.get(f"{site.url}/proxy/dicom/wado/studies", timeout=30).json()
    for path in ("wado/..%2f..%2fsystem", "%2e%2e/system", "wado/%2e%2e/%2e%2e/system", "%252e%252e/system"):
        answer = requests.get(f"{site.url}/proxy/dicom/{path}", timeout=30)
        assert answer.status_code == 404
        assert "Orthanc" not in answer.text


def test_archives_are_not_unpacked(site: Site) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../petlesion-leads-out"))
    before = files_of(site)
    answer = requests.put(
        f"{site.url}/session/",
        params={"uncompress": "true"},
        files={"files": ("x.tar", content.getvalue())},
        timeout=30,
    )
    assert_refused(site, answer, says="archives are not unpacked here")
    assert files_of(site) == before
    assert not (Path(tempfile.gettempdir()) / "petlesion-leads-out").exists()


@pytest.mark.parametrize("path", ["train/unet", "scoring/dice", "batch/infer/fixed", "train/", "scoring/"])
def test_code_that_a_client_has_sent_is_not_run(site: Site, tmp_path: Path, path: str) -> None:
    code = f"open({str(tmp_path / 'ran')!r}, 'w')"
    sent = requests.put(f"{site.url}/session/", files={"files": ("sitecustomize.py", code)}, timeout=30)
    asked = {"bundle_path": sent.json()["session_info"]["path"]}
    for model in ("unet", "dice"):
        params = {model: asked} if path.endswith("/") else asked
        answer = requests.post(f"{site.url}/{path}", json=params, timeout=30)
        assert_refused(site, answer, says="bundle_path names code")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("gpus", [1, [0], "0\0", "\ud800"])
def test_gpus_are_text(site: Site, gpus: object) -> None:
    answer = requests.post(f"{site.url}/train/unet", json={"gpus": gpus}, timeout=30)
    assert_refused(site, answer, says="gpus is ")


@pytest.mark.parametrize("path", ["scoring/dice", "scoring/"])
@pytest.mark.parametrize(("name", "value"), [("predict", "nnunet"), ("max_cases", "all"), ("max_cases", -1)])
def test_options_of_scoring(site: Site, path: str, name: str, value: object) -> None:
    params = {name: value} if path == "scoring/dice" else {"dice": {name: value}}
    answer = requests.post(f"{site.url}/{path}", json=params, timeout=30)
    assert_refused(site, answer, says=f"{name} is '{value}'; give ")


def test_half_of_a_character(site: Site) -> None:
    """No answer could quote it: one note made the list of all images an error for everybody."""
    image = {"image": site.studies["anna"].pet}
    half = {"info": r'{"remark": "\ud800"}'}
    answer = requests.put(f"{site.url}/datastore/image/info", params=image, data=half, timeout=30)
    assert_refused(site, answer, says="info holds half of a character")
    answer = requests.post(f"{site.url}/activelearning/first", json={"client_id": "\ud800"}, timeout=30)
    assert_refused(site, answer, says="params holds half of a character")
    assert requests.get(f"{site.url}/datastore/?output=all", timeout=60).ok


def test_large_requests(site: Site) -> None:
    options = {"images": ["x" * 100] * 1000}
    answer = requests.post(f"{site.url}/batch/infer/fixed", json=options, timeout=30)
    assert_refused(site, answer, says="options of 104012 characters; send at most 100000")
    options = {"images": ["x" * 100] * 11000}
    answer = requests.post(f"{site.url}/batch/infer/fixed", json=options, timeout=30)
    assert_refused(site, answer, says="request of more than 1 MB; send less")


def test_pages_of_other_origins_are_refused(site: Site) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert "Access-Control-Allow-Origin" not in requests.get(f"{site.url}/info/", headers=foreign, timeout=30).headers
    query = {"image": site.studies["anna"].pet, "output": "json"}
    answer = requests.post(f"{site.url}/infer/fixed", params=query, headers=foreign, timeout=30)
    assert_refused(site, answer, says="a page of another origin may not use this server")


def test_label_of_another_grid(site: Site, tmp_path: Path) -> None:
    for grid in (
        Grid.from_geometry((30, 44, 41), (4.0, 5.0, 5.0)),
        Grid.from_geometry(PET_GRID.shape, (4.0, 5.0, 5.0)),
    ):
        path = tmp_path / "label.nii.gz"
        write_labels(np.ones(grid.shape, np.uint8), grid, path)
        assert_refused(site, submit(site, site.studies["anna"].pet, path), says="on another grid than the image")


def test_label_of_another_patient(site: Site, tmp_path: Path) -> None:
    from petlesion.dicom.reader import read_dicom
    from petlesion.dicom.scan import scan
    from petlesion.dicom.segmentation import build_segmentation
    from petlesion.masks import read_mask
    from petlesion.measure.biomarkers import measure

    other = read_dicom(scan(write_small_study(tmp_path / "study", "somebody-else").folder))
    mask = np.zeros(PET_GRID.shape, np.uint8)
    mask[5:8, 20:24, 20:24] = 1
    write_labels(mask, PET_GRID, tmp_path / "mask.nii.gz")
    lesions = read_mask(tmp_path / "mask.nii.gz", other)
    path = tmp_path / "seg.dcm"
    build_segmentation(other, lesions, measure(other, lesions)).save_as(path, enforce_file_format=True)
    assert_refused(site, submit(site, site.studies["anna"].pet, path), says="FrameOfReferenceUID")


def test_labels_that_are_none(site: Site, tmp_path: Path) -> None:
    image, path = site.studies["dora"].pet, tmp_path / "label.nii.gz"
    before = files_of(site)
    write_image(Volume(np.full(PET_GRID.shape, 0.5, np.float32), PET_GRID), path)
    assert_refused(site, submit(site, image, path), says="not whole numbers")
    many = np.arange(np.prod(PET_GRID.shape)).reshape(PET_GRID.shape) % 301
    write_labels(many.astype(np.uint16), PET_GRID, path)
    assert_refused(site, submit(site, image, path), says="300 different values")
    write_labels(np.full(PET_GRID.shape, -1, np.int16), PET_GRID, path)
    assert_refused(site, submit(site, image, path), says="from -1 to")
    path.write_bytes(b"this is no image")
    assert_refused(site, submit(site, image, path), says="no readable NIfTI file")
    (tmp_path / "label.nrrd").write_bytes(b"NRRD0004\ntype: float\n")
    assert_refused(site, submit(site, image, tmp_path / "label.nrrd"), says="no readable NRRD file")
    (tmp_path / "label.bin").write_bytes(b"\1" * 17)
    assert_refused(site, submit(site, image, tmp_path / "label.bin"), says="label of 17 bytes")
    (tmp_path / "label.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 400)
    assert_refused(site, submit(site, image, tmp_path / "label.dcm"), says="mask is a DICOM object")
    write_labels(np.ones(PET_GRID.shape, np.uint8), PET_GRID, path)
    assert_refused(site, submit(site, image, path, params="{"), says="params is no JSON")
    assert files_of(site) == before


def test_study_without_pet(site: Site, tmp_path: Path) -> None:
    study = write_small_study(tmp_path, "ct-alone")
    for path in study.folder.glob("PT*"):
        path.unlink()
    site.orthanc.store(study.folder)
    assert_refused(site, infer(site, "percist", study.ct), says=f"there is no PET {study.ct}")


def test_study_without_weight(site: Site) -> None:
    answer = infer(site, "percist", site.studies["no-weight"].pet)
    assert_refused(site, answer, says="PatientWeight")


def test_images_are_not_added_to_or_removed_from_the_archive(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "new.nii.gz"
    write_image(Volume(np.zeros(PET_GRID.shape, np.float32), PET_GRID), path)
    with path.open("rb") as stream:
        answer = requests.put(f"{site.url}/datastore/image", files={"file": stream}, timeout=30)
    assert_refused(site, answer, says="images come from the DICOMweb server")
    answer = requests.delete(f"{site.url}/datastore/image", params={"id": site.studies["anna"].pet}, timeout=30)
    assert_refused(site, answer, says="DICOM images are not removed from here")
