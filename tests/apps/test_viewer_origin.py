"""Viewer, images and annotation server on one origin: what is served, and what is refused."""

from __future__ import annotations

import errno
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from annotation_server import Orthanc, SmallStudy, free_port, running_orthanc, write_small_study
from http_server import listening

SECRET = "not for browsers"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, SmallStudy]]:
    folder = tmp_path_factory.mktemp("archive")
    study = write_small_study(folder / "dicom", "anna")
    with running_orthanc(folder / "orthanc") as orthanc:
        orthanc.store(folder / "dicom")
        yield orthanc, study


@pytest.fixture(scope="module")
def origin(archive: tuple[Orthanc, SmallStudy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a server with the viewer's routes alone, its images from a real Orthanc."""
    pytest.importorskip("uvicorn", reason="the annotation server is not installed here")
    from fastapi import FastAPI
    from lib.viewer import install_viewer

    folder = tmp_path_factory.mktemp("viewer")
    ohif = folder / "ohif"
    (ohif / "assets").mkdir(parents=True)
    (ohif / "index.html").write_text("<title>OHIF</title>")
    (ohif / "assets" / "app.0123456789abcdef.js").write_text("run()")
    (folder / "secret.txt").write_text(SECRET)
    app = FastAPI()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETLESION_OHIF", str(ohif))
        install_viewer(app, archive[0].dicomweb)
    with listening(app) as port:
        yield port


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask for a path as it is written: clients that tidy it up would hide what a server does with it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize("path", ["/", "/pet-lesions", "/pet-lesions?StudyInstanceUIDs=1.2.3"])
def test_pages_of_ohif(origin: int, path: str) -> None:
    assert get(origin, path) == (200, b"<title>OHIF</title>")


def test_files_are_cached_as_long_as_their_names_say(origin: int) -> None:
    url = f"http://127.0.0.1:{origin}"
    hashed = requests.get(f"{url}/assets/app.0123456789abcdef.js", timeout=30)
    assert "immutable" in hashed.headers["cache-control"]
    for name in ("extension.mjs", "mode.mjs"):
        own = requests.get(f"{url}/petlesion-viewer/{name}", timeout=30)
        assert own.ok
        assert own.headers["cache-control"] == "no-cache"
        assert own.headers["content-type"].startswith("text/javascript"), "else no browser imports it"
    assert "petlesion-viewer/mode.mjs" in requests.get(f"{url}/app-config.js", timeout=30).text


def test_images_are_those_of_the_archive(archive: tuple[Orthanc, SmallStudy], origin: int) -> None:
    orthanc, study = archive
    path = f"/studies/{study.study}/series/{study.pet}"
    own, direct = f"http://127.0.0.1:{origin}/dicom-web", orthanc.dicomweb
    first, second = (requests.get(f"{root}{path}/metadata", timeout=60) for root in (own, direct))
    keyword = "00080018"
    assert [row[keyword] for row in first.json()] == [row[keyword] for row in second.json()]
    instance = first.json()[0][keyword]["Value"][0]
    headers = {"Accept": "multipart/related; type=application/octet-stream"}
    frame, expected = (
        requests.get(f"{root}{path}/instances/{instance}/frames/1", headers=headers, timeout=60)
        for root in (own, direct)
    )
    boundary = (answer.headers["content-type"].rpartition("boundary=")[2].encode() for answer in (frame, expected))
    assert frame.content.replace(next(boundary), b"") == expected.content.replace(next(boundary), b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/index.html%00.js",
        "/petlesion-viewer/..%2fserve.py",
        "/petlesion-viewer/%2e%2e",
        "/dicom-web/../system",
        "/dicom-web/%2e%2e/system",
        "/dicom-web/studies/%2e%2e%2f%2e%2e/system",
        "/dicom-web/%252e%252e/system",
        "/dicom-web/..%5csystem",
        "/no-such-page",
        "/" + 300 * "x",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(origin: int, path: str) -> None:
    status, body = get(origin, path)
    assert status == 404
    assert SECRET.encode() not in body
    assert b"DicomAet" not in body


def test_archive_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="the annotation server is not installed here")
    from fastapi import FastAPI
    from lib.viewer import install_viewer

    (tmp_path / "index.html").write_text("")
    monkeypatch.setenv("PETLESION_OHIF", str(tmp_path))
    app = FastAPI()
    install_viewer(app, f"http://127.0.0.1:{free_port()}/dicom-web")
    answer = testclient.TestClient(app).get("/dicom-web/studies")
    assert answer.status_code == 502
    assert "does not answer" in answer.json()["detail"]


def test_server_of_a_folder_has_nothing_to_pass_on_to(tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="the annotation server is not installed here")
    from fastapi import FastAPI
    from lib.endpoints import install

    app = FastAPI()
    install(app, str(tmp_path))
    answer = testclient.TestClient(app).get("/proxy/dicom/qido/studies")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "images come from a folder; there is no DICOMweb server"


def test_without_ohif_there_is_no_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fastapi = pytest.importorskip("fastapi", reason="the annotation server is not installed here")
    from lib.viewer import install_viewer

    monkeypatch.setenv("PETLESION_OHIF", str(tmp_path / "none"))
    app = fastapi.FastAPI()
    before = list(app.router.routes)
    install_viewer(app, "http://127.0.0.1:1/dicom-web")
    assert app.router.routes == before


def test_disk_that_refuses_is_a_sentence() -> None:
    pytest.importorskip("monailabel", reason="the annotation server is not installed here")
    from lib.endpoints import as_http

    for error, said in (
        (OSError(errno.ENOSPC, "No space left on device"), "(No space left on device); free space or permissions"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/x"),
            "(Permission denied) in /data/x; free space or ",
        ),
    ):
        answer = as_http(error)
        assert (answer.status_code, said in answer.detail) == (507, True)
