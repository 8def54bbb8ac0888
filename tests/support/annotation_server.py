"""Orthanc and the annotation server as processes, and PET/CT series to store in them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from pydicom import Dataset
from requests.auth import HTTPBasicAuth
from synthetic_dicom import ct_header, pet_header, write_series

from petlesion.identifiers import derived_uid
from petlesion.volume import Grid, Volume

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 180
PET_GRID = Grid.from_geometry((30, 44, 40), (4.0, 5.0, 5.0), origin_mm=(-100.0, -90.0, 10.0))
CT_GRID = Grid.from_geometry((48, 60, 56), (2.5, 4.0, 4.0), origin_mm=(-110.0, -100.0, 10.0))
LESIONS = {(8, 22, 14): 12.0, (20, 15, 26): 9.0}
"""SUV of hot balls by their centre (z, y, x) on the grid of the PET; their radius is 12 mm, the body has SUV 1."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class SmallStudy:
    """Series of a written study, by SeriesInstanceUID."""

    pet: str
    ct: str
    study: str
    folder: Path


def small_suv() -> Volume:
    """A body of SUV 1 with two hot balls."""
    z, y, x = np.indices(PET_GRID.shape)
    body = ((y - 22) / 18) ** 2 + ((x - 20) / 16) ** 2 < 1
    suv = np.where(body, 1.0, 0.02)
    for centre, value in LESIONS.items():
        offset = (np.stack([z, y, x], axis=-1) - centre) * PET_GRID.spacing_mm
        suv[np.linalg.norm(offset, axis=-1) <= 12.0] = value
    return Volume(suv.astype(np.float32), PET_GRID)


def write_small_study(
    folder: Path, name: str, images: tuple[Volume, Volume] | None = None, **changes: str | None
) -> SmallStudy:
    """Write PT and CT of one patient; `changes` set attributes of the PET header, or delete them (None)."""
    suv, hu = images or (small_suv(), Volume(np.full(CT_GRID.shape, 40.0), CT_GRID))
    pet, ct = pet_header(), ct_header()
    for header in (pet, ct):
        header.PatientID = header.PatientName = name
        header.StudyInstanceUID = derived_uid("study", name)
        header.FrameOfReferenceUID = derived_uid("frame", name)
    for keyword, value in changes.items():
        if value is None:
            delattr(pet, keyword)
        else:
            setattr(pet, keyword, value)

    def of_study(header: Dataset, _: int) -> None:
        header.SeriesInstanceUID = derived_uid("series", name, header.Modality)
        header.SOPInstanceUID = derived_uid("instance", header.SOPInstanceUID, name)

    write_series(folder / name, suv, pet, name="PT", change=of_study)
    write_series(folder / name, hu, ct, name="CT", change=of_study)
    uids = [derived_uid("series", name, modality) for modality in ("PT", "CT")]
    return SmallStudy(uids[0], uids[1], derived_uid("study", name), folder / name)


def write_network(folder: Path) -> None:
    """A model folder with a small network that takes the whole body for lesion."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
    from petlesion.networks.model_folder import write_model
    from petlesion.networks.unet import build_unet

    config = ModelConfig(name="everything", architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(16, 16, 16))
    torch.manual_seed(0)
    state = build_unet(config).state_dict()
    for name, value in state.items():
        if name.endswith("bias") and len(value) == len(config.classes):
            value[config.classes.index("lesion")] = 100.0
    write_model(folder, state, config, {})


@contextlib.contextmanager
def stopped(process: psutil.Popen) -> Iterator[None]:
    """End a process and what it started when the block ends."""
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in [*process.children(recursive=True), process]:
                each.terminate()
        process.wait(timeout=30)


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc; `auth` is what it is asked with."""

    port: int
    process: psutil.Popen
    auth: HTTPBasicAuth | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def store(self, folder: Path) -> None:
        """Store all files of a folder."""
        for path in sorted(folder.rglob("*.dcm")):
            self._ask("POST", "/instances", data=path.read_bytes()).raise_for_status()

    def segmentations(self, study_uid: str) -> list[str]:
        """SOPInstanceUIDs of the SEGs of a study."""
        answer = self._ask("GET", f"/dicom-web/studies/{study_uid}/instances?Modality=SEG")
        rows = answer.json() if answer.content else []
        return sorted(row["00080018"]["Value"][0] for row in rows)

    def file(self, sop_uid: str) -> bytes:
        """An object as a DICOM file."""
        (found,) = self._ask("POST", "/tools/lookup", data=sop_uid).json()
        return self._ask("GET", f"/instances/{found['ID']}/file").content

    def _ask(self, method: str, path: str, **more: str | bytes) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", auth=self.auth, timeout=30, **more)


@contextlib.contextmanager
def running_orthanc(
    folder: Path, port: int | None = None, user: tuple[str, str] | None = None, **more: object
) -> Iterator[Orthanc]:
    """Debian's Orthanc with DICOMweb on a port of its own; skips the test without Orthanc.

    With `user`, a name and a password, it answers to nobody else; `more` are settings.
    """
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    program = shutil.which("Orthanc")
    if program is None or not plugin.is_file():
        pytest.skip("Orthanc with DICOMweb is not installed: make system-tools")
    port = port or free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user] if user else []),
        "RemoteAccessAllowed": False,
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("w") as log:
        process = psutil.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT)
    orthanc = Orthanc(port, process, user and HTTPBasicAuth(*(part.encode() for part in user)))
    with stopped(process):
        wait_for(f"{orthanc.url}/system", process, folder / "orthanc.log", orthanc.auth)
        yield orthanc


@dataclass(frozen=True)
class Server:
    """A running annotation server."""

    url: str
    labels: Path
    log: Path
    process: psutil.Popen


@contextlib.contextmanager
def running_server(folder: Path, studies: str, port: int | None = None, **conf: str) -> Iterator[Server]:
    """The stock server with a copy of the app, so that nothing is written into the repository."""
    pytest.importorskip("monailabel", reason="the annotation server is not installed here")
    app = folder / "petlesion"
    if not app.is_dir():
        shutil.copytree(REPOSITORY / "apps" / "petlesion", app, ignore=shutil.ignore_patterns("bin", "logs", "model"))
    port = port or free_port()
    conf = {"labels": str(folder / "labels"), "cache": str(folder / "cache"), **conf}
    options = [word for key, value in conf.items() for word in ("--conf", key, value)]
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MONAI")}
    environment |= {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
    }
    command = [programs / "monailabel", "start_server", "--app", app, "--studies", studies]
    log = folder / "server.log"
    with log.open("a") as output:
        process = psutil.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), *options],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with stopped(process):
        wait_for(f"http://127.0.0.1:{port}/info/", process, log)
        yield Server(f"http://127.0.0.1:{port}", folder / "labels", log, process)


@dataclass(frozen=True)
class Site:
    """What tests talk to: the servers, and the studies stored in Orthanc."""

    orthanc: Orthanc
    server: Server
    studies: dict[str, SmallStudy]

    @property
    def url(self) -> str:
        """Of the annotation server."""
        return self.server.url


def wait_for(url: str, process: psutil.Popen, log: Path, auth: HTTPBasicAuth | None = None) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, auth=auth, timeout=30).ok:
                return
        time.sleep(0.1)
    pytest.fail(f"{url} does not answer; the log says:\n{log.read_text()[-4000:]}")
