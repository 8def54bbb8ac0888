"""How large a request may be: files are spooled to the disk and all else is held in memory before a handler sees it."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException
from fastapi.middleware import Middleware
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.viewer import DICOMWEB

UPLOAD_BYTES = 1 << 32
"""Of images: one of float32 and of as many voxels as are taken has half as many."""
LABEL_BYTES = 1 << 28
"""Of labels: compressed, one of a whole body has less than a megabyte."""
OTHER_BYTES = 1 << 20
"""Of requests without files."""
FILES = {
    "/infer/": UPLOAD_BYTES,
    "/session/": UPLOAD_BYTES,
    "/datastore/image": UPLOAD_BYTES,
    "/datastore/label": LABEL_BYTES,
}
"""Beginnings of the paths to which files are sent."""
STREAMED = ("/proxy/dicom/", f"{DICOMWEB}/", "/lesions/")
"""Paths of endpoints that pass a body on piece by piece, or count its bytes themselves."""


def install_body_sizes(app: FastAPI) -> None:
    """Refuse larger requests; the server may have started."""
    app.user_middleware.append(Middleware(BodySizes))
    app.middleware_stack = None  # is built anew at the next request


class BodySizes:
    """Refuses a request that is too large: by what it states, or once it has sent as much.

    Parameters
    ----------
    app
        What answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = _limit(scope["path"], headers)
        detail = f"request of more than {limit >> 20} MB; send less, and images and labels as compressed files"
        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            await JSONResponse({"detail": detail}, 413)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, counted, send)


def _limit(path: str, headers: Headers) -> int:
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):  # other forms hold no files
        return OTHER_BYTES
    return next((limit for beginning, limit in FILES.items() if path.startswith(beginning)), OTHER_BYTES)
