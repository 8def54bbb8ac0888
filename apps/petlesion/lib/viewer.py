"""The viewer and the images on the origin of the annotation server: OHIF with our mode, and DICOMweb.

A browser then talks to one address only, and needs no CORS. MONAI Label's own DICOMweb proxy holds whole answers in
memory and cannot be used for a study of many images; this one passes them on as they come.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from monailabel.config import settings
from monailabel.utils.others.generic import get_mime_type
from starlette.responses import Response

from petlesion.server.viewer import PAGE, extension_folder, ohif_folder

DICOMWEB = "/dicom-web"
"""Path of the DICOMweb services."""
PASSED_ON = ("accept", "accept-encoding", "content-type", "content-length", "if-none-match", "range")
"""Headers of a request that matter to a DICOMweb server."""
PASSED_BACK = ("content-type", "content-length", "content-encoding", "content-range", "etag", "last-modified")
PAGES = ("", PAGE)
"""Paths that OHIF answers itself: list of studies, mode."""
_HASHED = re.compile(r"\.[0-9a-f]{16}\.")
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_MIME_TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}

logger = logging.getLogger(__name__)


def install_viewer(app: FastAPI, studies: str) -> None:
    """Serve OHIF with our mode, if `make viewer` has fetched it and the images come from a DICOMweb server.

    Parameters
    ----------
    app
        The server's.
    studies
        Folder, or URL of a DICOMweb server.
    """
    folder = ohif_folder()
    if folder is None:
        logger.info("OHIF with the mode PET lesions is not there (make viewer); MONAI Label's own is, at /ohif/")
        return
    if not studies.startswith(("http://", "https://")):
        logger.info("images come from a folder, which browsers cannot read: no viewer, use 3D Slicer")
        return
    app.router.routes[:0] = _first(studies.rstrip("/"), folder).routes
    app.router.routes.extend(_last(folder).routes)


def _first(studies: str, folder: Path) -> APIRouter:
    """Routes before those of MONAI Label."""
    router = APIRouter()
    extension = extension_folder()
    client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, auth=_credentials(), follow_redirects=False)

    async def images(request: Request, path: str) -> Response:
        return await forward(client, studies, request, path)

    async def first_page() -> Response:
        return _index(folder)

    async def own(name: str) -> Response:
        return _file(extension, name)

    async def config() -> Response:
        return _file(extension, "app-config.js")

    router.add_api_route(f"{DICOMWEB}/{{path:path}}", images, methods=["GET", "POST"], include_in_schema=False)
    router.add_api_route("/petlesion-viewer/{name}", own, methods=["GET"], include_in_schema=False)
    router.add_api_route("/app-config.js", config, methods=["GET"], include_in_schema=False)
    router.add_api_route("/", first_page, methods=["GET"], include_in_schema=False)
    return router


def _last(folder: Path) -> APIRouter:
    """Routes for what nothing else answers."""
    router = APIRouter()

    async def page_or_file(path: str) -> Response:
        if path.strip("/") in PAGES:
            return _index(folder)
        return _file(folder, path)

    async def list_of_studies() -> Response:
        return RedirectResponse("/")

    router.add_api_route("/viewer", list_of_studies, methods=["GET"], include_in_schema=False)
    router.add_api_route("/{path:path}", page_or_file, methods=["GET"], include_in_schema=False)
    return router


def _index(folder: Path) -> FileResponse:
    return FileResponse(folder / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


def _file(folder: Path, path: str) -> FileResponse:
    """A file of a folder, and of nothing else.

    Raises
    ------
    HTTPException
        404 if there is none, or the path leads out of the folder.
    """
    if "\0" in path:
        raise HTTPException(404, "there is no such file")
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise HTTPException(404, "there is no such file")
    kept = "max-age=31536000, immutable" if _HASHED.search(file.name) else "no-cache"
    kind = _MIME_TYPES.get(file.suffix) or get_mime_type(str(file))
    return FileResponse(file, media_type=kind, headers={"Cache-Control": kept})


async def forward(client: httpx.AsyncClient, studies: str, request: Request, path: str) -> Response:
    """Pass a request on to the DICOMweb server and its answer back, neither held in memory.

    Raises
    ------
    HTTPException
        404 if the path leads out of the DICOMweb services, 502 if the server does not answer.
    """
    # The path as it was sent, so that what the server decodes is what was checked.
    raw = request.scope.get("raw_path", b"").decode("ascii", "replace").partition(f"{DICOMWEB}/")[2].partition("?")[0]
    if any(part in (".", "..") for part in path.replace("\\", "/").split("/")) or "%" in path or "//" in path:
        raise HTTPException(404, "the path leads out of the DICOMweb services")
    url = httpx.URL(f"{studies}/{raw or path}", query=request.url.query.encode() or None)
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    content = request.stream() if request.method == "POST" else None
    passed_on = client.build_request(request.method, url, headers=headers, content=content)
    try:
        try:
            answer = await client.send(passed_on, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # The server closed a kept connection just as it was used again: nothing was answered yet.
            if content is not None:
                raise
            answer = await client.send(passed_on, stream=True)
    except httpx.HTTPError as error:
        name = type(error).__name__
        raise HTTPException(502, f"the DICOMweb server does not answer ({name}); start it") from error
    back = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
    return StreamingResponse(_raw(answer), status_code=answer.status_code, headers=back)


async def _raw(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _credentials() -> httpx.BasicAuth | None:
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return httpx.BasicAuth(user, password) if user and password else None
