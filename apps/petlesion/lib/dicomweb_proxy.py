"""Requests of viewers that are passed on to the DICOMweb server, and its answers back, neither held in memory.

MONAI Label's own proxy holds whole answers in memory, and waits for ever for a server that hangs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from monailabel.config import settings
from starlette.responses import Response

PASSED_ON = ("accept", "accept-encoding", "content-type", "content-length", "if-none-match", "range")
"""Headers of a request that matter to a DICOMweb server."""
PASSED_BACK = ("content-type", "content-length", "content-encoding", "content-range", "etag", "last-modified")
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request: one a slice
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class DicomWebProxy:
    """Passes requests on to a DICOMweb server.

    Parameters
    ----------
    studies
        Base of its services; of a server of local images a folder, and then there is nothing to pass on to.
    """

    def __init__(self, studies: str) -> None:
        self._studies = studies.rstrip("/")
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, auth=_credentials(), follow_redirects=False)

    async def pass_on(self, request: Request, path: str) -> Response:
        """Answer with what the DICOMweb server answers.

        Parameters
        ----------
        request
            GET or POST.
        path
            Below the services, decoded.

        Raises
        ------
        HTTPException
            404 if the path leads out of the DICOMweb services or there are none, 502 if the server does not answer, or
            refuses the user or password that this one sends.
        """
        if not self._studies.startswith(("http://", "https://")):
            raise HTTPException(404, "images come from a folder; there is no DICOMweb server")
        if any(part in (".", "..") for part in path.replace("\\", "/").split("/")) or "%" in path or "//" in path:
            raise HTTPException(404, "the path leads out of the DICOMweb services")
        url = httpx.URL(f"{self._studies}/{quote(path, safe='/,')}", query=request.url.query.encode() or None)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        content = request.stream() if request.method == "POST" else None
        try:
            answer = await self._send(self._client.build_request(request.method, url, headers=headers, content=content))
        except httpx.HTTPError as error:
            name = type(error).__name__
            raise HTTPException(502, f"the DICOMweb server does not answer ({name}); start it") from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # of this server: no browser can mend that
            await answer.aclose()
            raise HTTPException(502, "the DICOMweb server answers 401; correct its user and password")
        back = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        return StreamingResponse(_raw(answer), status_code=answer.status_code, headers=back)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # The server closed a kept connection just as it was used again: nothing was answered yet.
            if request.method == "POST":
                raise
            return await self._client.send(request, stream=True)


async def _raw(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _credentials() -> httpx.BasicAuth | None:
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return httpx.BasicAuth(user, password) if user and password else None
