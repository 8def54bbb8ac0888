"""The stock annotation server starts as its documentation types it, without network or changes to the environment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

START_TIMEOUT = 180
"""Longest wait for the first answer, s: a busy host with cold files."""

MINIMAL_APP = """
from monailabel.interfaces.app import MONAILabelApp


class MinimalApp(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="minimal")
        self._download_dcmqi_tools()
"""
"""An app that does nothing but look for the DICOM SEG tools, as one on a DICOMweb server does when it starts."""

DEAD_PROXY = "http://127.0.0.1:9"
"""Port 9 (discard) is not served: whatever goes through this proxy fails at once."""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.py").write_text(MINIMAL_APP)
    return folder


@pytest.fixture
def info(app: Path, tmp_path: Path) -> Iterator[dict[str, object]]:
    """What a server started for the app says of itself; the server runs until the test ends."""
    pytest.importorskip("monailabel", reason="the annotation server is not installed here: run `make test`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MONAI"))}
    environment |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"http_proxy": DEAD_PROXY, "https_proxy": DEAD_PROXY, "no_proxy": "127.0.0.1"}
    command = [programs / "monailabel", "start_server", "--app", app, "--studies", tmp_path / "studies"]
    log = tmp_path / "server.log"
    with log.open("w") as output:
        server = psutil.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield first_answer(f"http://127.0.0.1:{port}/info/", server, log)
    finally:
        for process in [*server.children(recursive=True), server]:
            process.terminate()
        server.wait(timeout=30)


def first_answer(url: str, server: psutil.Popen, log: Path) -> dict[str, object]:
    """Ask until the server answers with a JSON document."""
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f"the server did not answer; it said:\n{log.read_text()}")


def test_server_answers_and_downloads_nothing(info: dict[str, object], app: Path) -> None:
    assert info["name"] == "minimal"
    assert not list((app / "bin").iterdir())
