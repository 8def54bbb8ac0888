"""A web application that answers on a port of this machine while a test asks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotation_server import free_port

if TYPE_CHECKING:
    from fastapi import FastAPI


@contextmanager
def listening(app: FastAPI, host: str = "127.0.0.1") -> Iterator[int]:
    """Port of a server on an address of this machine, or on all."""
    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=30)
