"""The viewer and the images on the origin of the annotation server: OHIF with our mode, and DICOMweb.

A browser then talks to one address only, and needs no CORS.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import FileResponse, RedirectResponse
from monailabel.utils.others.generic import get_mime_type
from starlette.responses import Response

from lib.dicomweb_proxy import DicomWebProxy
from petlesion.server.viewer import PAGE, extension_folder, ohif_folder

DICOMWEB = "/dicom-web"
"""Path of the DICOMweb services."""
PAGES = ("", PAGE)
"""Paths that OHIF answers itself: list of studies, mode."""
_HASHED = re.compile(r"\.[0-9a-f]{16}\.")
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
    app.router.routes[:0] = _first(studies, folder).routes
    app.router.routes.extend(_last(folder).routes)


def _first(studies: str, folder: Path) -> APIRouter:
    """Routes before those of MONAI Label."""
    router = APIRouter()
    extension = extension_folder()
    proxy = DicomWebProxy(studies)

    async def first_page() -> Response:
        return _index(folder)

    async def own(name: str) -> Response:
        return file_in(extension, name)

    async def config() -> Response:
        return file_in(extension, "app-config.js")

    router.add_api_route(f"{DICOMWEB}/{{path:path}}", proxy.pass_on, methods=["GET", "POST"], include_in_schema=False)
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
        return file_in(folder, path)

    async def list_of_studies() -> Response:
        return RedirectResponse("/")

    router.add_api_route("/viewer", list_of_studies, methods=["GET"], include_in_schema=False)
    router.add_api_route("/{path:path}", page_or_file, methods=["GET"], include_in_schema=False)
    return router


def _index(folder: Path) -> FileResponse:
    return FileResponse(folder / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


def file_in(folder: Path, path: str) -> FileResponse:
    """A file of a folder, and of nothing else.

    Raises
    ------
    HTTPException
        404 if there is none, or the path leads out of the folder.
    """
    try:
        file = (folder / path).resolve()
        found = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError):  # a name that is too long, or with a null byte
        found = False
    if not found:
        raise HTTPException(404, "there is no such file")
    kept = "max-age=31536000, immutable" if _HASHED.search(file.name) else "no-cache"
    kind = _MIME_TYPES.get(file.suffix) or get_mime_type(str(file))
    return FileResponse(file, media_type=kind, headers={"Cache-Control": kept})
