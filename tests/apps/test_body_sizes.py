"""Requests that would fill the disk or the memory of the annotation server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from fastapi import FastAPI, Request, UploadFile
from http_server import listening
from lib.body_sizes import LABEL_BYTES, OTHER_BYTES, UPLOAD_BYTES, install_body_sizes

FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = FastAPI()

    @app.put("/datastore/image")
    @app.put("/datastore/label")
    async def upload(file: UploadFile) -> int:
        return len(await file.read())

    @app.post("/train/unet")
    async def options(params: dict[str, str]) -> int:
        return len(params)

    @app.post("/proxy/dicom/stow/studies")
    async def passed_on(request: Request) -> int:
        return len(await request.body())

    install_body_sizes(app)
    with listening(app) as port:
        yield port


def ask(port: int, method: str, path: str, kind: str, body: bytes = b"", stated: int | None = None) -> tuple[int, str]:
    """Send a request; without `stated` in pieces, whose number the server cannot know."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": kind}
    if stated is None:
        pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        connection.request(method, path, pieces, {**headers, "Transfer-Encoding": "chunked"}, encode_chunked=True)
    else:
        connection.request(method, path, body, {**headers, "Content-Length": str(stated)})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize(
    ("method", "path", "kind", "limit"),
    [
        ("PUT", "/datastore/image", FORM, UPLOAD_BYTES),
        ("PUT", "/datastore/label", FORM, LABEL_BYTES),
        ("PUT", "/datastore/image", "application/x-www-form-urlencoded", OTHER_BYTES),
        ("POST", "/train/unet", "application/json", OTHER_BYTES),
        ("POST", "/train/unet", FORM, OTHER_BYTES),
    ],
)
def test_who_states_too_much_is_refused_at_once(port: int, method: str, path: str, kind: str, limit: int) -> None:
    status, text = ask(port, method, path, kind, stated=limit + 1)
    assert status == 413
    assert json.loads(text)["detail"].startswith(f"request of more than {limit >> 20} MB; send less")


def test_who_sends_too_much_is_refused(port: int) -> None:
    options = json.dumps({"key": "x" * OTHER_BYTES}).encode()
    assert ask(port, "POST", "/train/unet", "application/json", options)[0] == 413
    assert ask(port, "POST", "/train/unet", "application/json", options[:100] + b'"}') == (200, "1")


def test_files_may_be_larger_than_options_and_what_is_passed_on_larger_still(port: int) -> None:
    file = bytes(2 * OTHER_BYTES)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n--x--\r\n"
    for path in ("/datastore/image", "/datastore/label"):
        assert ask(port, "PUT", path, FORM, form, len(form)) == (200, str(len(file)))
    path = "/proxy/dicom/stow/studies"
    assert ask(port, "POST", path, "application/dicom", file, len(file)) == (200, str(len(file)))
