"""Which web pages may use the annotation server."""

from __future__ import annotations

import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from lib.origins import install_origins
from monailabel.config import Settings, settings

FOREIGN = "https://evil.example"


@asynccontextmanager
async def starts(app: FastAPI) -> AsyncIterator[None]:
    """As MONAI Label does: the app is opened when the server, with its middleware, has started."""
    install_origins(app)
    yield


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("MONAI_LABEL_CORS_ORIGINS", '["https://viewer.hospital.example"]')
    monkeypatch.setattr(settings, "MONAI_LABEL_CORS_ORIGINS", Settings().MONAI_LABEL_CORS_ORIGINS)
    any_page = Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"])
    app = FastAPI(lifespan=starts, middleware=[any_page])

    @app.get("/")
    @app.put("/")
    async def images() -> str:
        return "images"

    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


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
