"""Debian's Orthanc as a DICOMweb server on the loopback interface, and simulated patients in it."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from petlesion.durable import write_durably
from petlesion.progress import Progress, silent
from petlesion.server.processes import Child, free_port, running

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
"""Where Debian's package orthanc-dicomweb puts the plugin."""
PORT = 8042
"""Orthanc's own default; another free one is taken where it is in use."""
_START_S = 60.0


def is_installed() -> bool:
    """Whether Debian's packages orthanc and orthanc-dicomweb are there."""
    return shutil.which("Orthanc") is not None and PLUGIN.is_file()


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[tuple[Child, str]]:
    """Run Orthanc until the block ends.

    It answers on the loopback interface alone, without a password, and speaks no DICOM protocol but DICOMweb; see
    `orthanc.json` beside this file.

    Parameters
    ----------
    folder
        Its storage; what is in there stays.

    Yields
    ------
    Child, str
        Orthanc, and its URL; its DICOMweb services are below `/dicom-web`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port(PORT)
    settings = json.loads(files("petlesion.server").joinpath("orthanc.json").read_text(encoding="utf-8"))
    storage = str(folder / "storage")
    settings |= {"HttpPort": port, "StorageDirectory": storage, "IndexDirectory": storage, "Plugins": [str(PLUGIN)]}
    write_durably(folder / "orthanc.json", json.dumps(settings, indent=2).encode())
    url = f"http://127.0.0.1:{port}"
    with running("Orthanc", ["Orthanc", str(folder / "orthanc.json")], folder / "orthanc.log") as child:
        child.wait_until_it_answers(f"{url}/system", _START_S)
        yield child, url


def store(url: str, folder: Path, progress: Progress = silent) -> int:
    """Store the PET and CT images of a folder in Orthanc; images that it has already are left as they are.

    Returns
    -------
    int
        How many files were sent.
    """
    paths = sorted(path for series in ("PT", "CT") for path in folder.glob(f"*/dicom/{series}/**/*") if path.is_file())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for done, path in enumerate(paths, start=1):
        request = urllib.request.Request(f"{url}/instances", data=path.read_bytes(), method="POST")  # noqa: S310
        with opener.open(request, timeout=60) as answer:
            answer.read()
        progress(done, len(paths))
    return len(paths)
