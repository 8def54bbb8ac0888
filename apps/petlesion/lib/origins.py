"""Which web pages may use the server: its own, and those of the origins that `MONAI_LABEL_CORS_ORIGINS` lists.

Without that setting MONAI Label 0.8.5 lets every page that an annotator opens read and write, with credentials, even
where the server listens on this machine alone; with it none, because it compares origins with a slash at their end.
"""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from monailabel.config import settings
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""They change nothing (RFC 9110, 9.2.1), and browsers show their answers to no page of another origin."""


def install_origins(app: FastAPI) -> None:
    """Put these rules in the place of MONAI Label's, once; the server may have started."""
    allowed = [str(origin).rstrip("/") for origin in settings.MONAI_LABEL_CORS_ORIGINS]
    others = [each for each in app.user_middleware if "allow_origins" not in each.kwargs]
    sharing = Middleware(
        CORSMiddleware, allow_origins=allowed, allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    app.user_middleware[:] = [sharing, Middleware(KnownPages, allowed=allowed), *others]
    app.middleware_stack = None  # is built anew at the next request


class KnownPages:
    """Refuses requests of pages of other origins that could change something: browsers send simple ones unasked.

    Programs that are no browsers send neither `Sec-Fetch-Site` nor `Origin` and are not affected. The rules are those
    of Go's `net/http.CrossOriginProtection`: by `Sec-Fetch-Site` they hold behind any reverse proxy with TLS.

    Parameters
    ----------
    app
        What answers the others.
    allowed
        Further origins.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        answer = self._app
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not self._knows(Headers(scope=scope)):
            detail = "a page of another origin may not use this server; list its origin in MONAI_LABEL_CORS_ORIGINS"
            answer = JSONResponse({"detail": detail}, 403)
        await answer(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin in self._allowed:
            return True
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        return origin is None or origin.partition("://")[2] == headers.get("host")
