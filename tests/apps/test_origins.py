"""Which web pages may use the annotation server."""

from __future__ import annotations

import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

import http.client
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from http_server import listening
from lib.origins import install_origins
from monailabel.config import Settings, settings

FOREIGN = "https://evil.example"


@asynccontextmanager
async def starts(app: FastAPI) -> AsyncIterator[None]:
    """As MONAI Label does: the app is opened when the server, with its middleware, has started."""
    install_origins(app)
    yield


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("MONAI_LABEL_CORS_ORIGINS", '["https://viewer.hospital.example"]')
    monkeypatch.setattr(settings, "MONAI_LABEL_CORS_ORIGINS", Settings().MONAI_LABEL_CORS_ORIGINS)
    any_page = Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"])
    app = FastAPI(lifespan=starts, middleware=[any_page])

    @app.get("/")
    @app.put("/")
    async def images() -> str:
        return "images"

    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


def ask(port: int, host: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_foreign_pages_read_and_write_nothing(client: TestClient) -> None:
    assert "access-control-allow-origin" not in client.get("/", headers={"origin": FOREIGN}).headers
    asked = client.options("/", headers={"origin": FOREIGN, "access-control-request-method": "PUT"})
    assert asked.status_code == 400
    for headers in (
        {"origin": FOREIGN},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
        {"origin": FOREIGN, "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:9000", "sec-fetch-site": "same-site"},
    ):
        answer = client.put("/", headers=headers)
        assert answer.status_code == 403
        assert "MONAI_LABEL_CORS_ORIGINS" in answer.json()["detail"]


def test_own_pages_listed_ones_and_programs_do(client: TestClient) -> None:
    for headers in (
        {},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "https://behind.a.proxy.example", "sec-fetch-site": "same-origin"},
        {"origin": "https://viewer.hospital.example", "sec-fetch-site": "cross-site"},
    ):
        assert client.put("/", headers=headers).status_code == 200
    listed = client.get("/", headers={"origin": "https://viewer.hospital.example"})
    assert listed.headers["access-control-allow-origin"] == "https://viewer.hospital.example"


def test_a_server_on_this_machine_alone_answers_to_its_own_names(app: FastAPI) -> None:
    own = ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", socket.gethostname(), "viewer.hospital.example")
    with listening(app, "127.0.0.1") as port:
        assert [ask(port, f"{name}:{port}")[0] for name in own] == [200] * len(own)
        for foreign in ("evil.example", "127.0.0.1.evil.example", "localhost.", "[::1", "localhost@evil.example"):
            status, text = ask(port, f"{foreign}:{port}")
            assert status == 403, foreign
            assert "is no name of this server; list its origin in MONAI_LABEL_CORS_ORIGINS" in text


def test_a_server_on_all_addresses_answers_to_any_name(app: FastAPI) -> None:
    with listening(app, "0.0.0.0") as port:
        assert ask(port, "annotation.hospital.example") == (200, '"images"')
