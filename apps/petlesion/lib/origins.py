"""Which web pages may use the server: its own, and those of the origins that `MONAI_LABEL_CORS_ORIGINS` lists.

Without that setting MONAI Label 0.8.5 lets every page that an annotator opens read and write, with credentials, even
where the server listens on this machine alone; with it none, because it compares origins with a slash at their end.

There, a page could also come from a name of its author's that has begun to mean this machine (DNS rebinding): to the
browser, page and server are then of one origin, and only the name in `Host` tells.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from functools import cache
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped,unused-ignore]
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

    Where the server listens on this machine alone, it also refuses whatever was asked of a name that is not known.

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
        # Browsers always send a name; programs of HTTP/1.0 may send none.
        self._names = {"", "localhost", socket.gethostname().lower(), *(urlsplit(each).hostname for each in allowed)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        detail = self._why_not(scope) if scope["type"] == "http" else ""
        answer = JSONResponse({"detail": detail}, 403) if detail else self._app
        await answer(scope, receive, send)

    def _why_not(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = _host_of(headers.get("host", ""))
        if not self._is_ours(host) and _on_this_machine_alone(scope.get("server")):
            return f"{host[:80]!r} is no name of this server; list its origin in MONAI_LABEL_CORS_ORIGINS"
        if scope["method"] not in SAFE_METHODS and not self._knows(headers):
            return "a page of another origin may not use this server; list its origin in MONAI_LABEL_CORS_ORIGINS"
        return ""

    def _is_ours(self, host: str) -> bool:
        """Whether a name cannot be that of a foreign page; addresses cannot, since nobody makes them mean another."""
        if host in self._names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _knows(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin in self._allowed:
            return True
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        return origin is None or origin.partition("://")[2] == headers.get("host")


def _host_of(header: str) -> str:
    """Name or address of a `Host` header in lower case; the header itself where it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname or header
    except ValueError:
        return header


def _on_this_machine_alone(server: tuple[str, int | None] | None) -> bool:
    """Whether a server (ASGI: address and port, or path) listens on loopback addresses only.

    The address of a connection does not tell: it is a loopback address, too, where a published port of a container or
    this machine's own name leads to a server that listens on all addresses.
    """
    return server is not None and server[1] is not None and _port_of_this_machine_alone(server[1])


@cache
def _port_of_this_machine_alone(port: int) -> bool:
    sockets = psutil.Process().net_connections("tcp")
    ours = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr.port == port]
    return bool(ours) and all(ipaddress.ip_address(ip).is_loopback for ip in ours)
