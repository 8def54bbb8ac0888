"""A DICOMweb server that fails where a test wants it to: passes requests on to a real one, and refuses others."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

KEPT = ("content-type", "accept")


class FaultyArchive:
    """Between a client and a DICOMweb server.

    Attributes
    ----------
    url
        Of the services.
    asked
        `METHOD /path?query` of all requests.
    fails
        Whether a request is answered with 500; a test may change it, or do something before it is passed on.
    away
        Whether connections are closed without an answer.
    instead
        Path and query that is asked for with GET in the place of a request, so that its answer is another; or None.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.fails: Callable[[str], bool] = lambda _: False
        self.away = False
        self.instead: Callable[[str], str | None] = lambda _: None


@contextlib.contextmanager
def faulty(dicomweb: str) -> Iterator[FaultyArchive]:
    """Stand before the services at `dicomweb`."""
    session = requests.Session()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = f"{self.command} {self.path}"
            archive.asked.append(request)
            if archive.away:
                self.close_connection = True
                return
            if archive.fails(request):
                self.answer(500, b"", "text/plain")
                return
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: self.headers[name] for name in KEPT if name in self.headers}
            instead = archive.instead(request)
            method, path = (self.command, self.path) if instead is None else ("GET", instead)
            found = session.request(method, f"{dicomweb}{path}", data=content, headers=headers, timeout=30)
            self.answer(found.status_code, found.content, found.headers.get("content-type", "text/plain"))

        do_POST = do_GET  # noqa: N815

        def answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests read `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    archive = FaultyArchive(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
