"""The annotation server with the settings that PET/CT needs, and what it needs beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from petlesion.console import Display
from petlesion.data_files import places
from petlesion.durable import write_durably
from petlesion.errors import OutputError, UsageError, reason
from petlesion.networks.installed import models_folder
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.server.archive_url import checked_url
from petlesion.server.orthanc import is_installed, orthanc, store
from petlesion.server.processes import Child, is_free, running
from petlesion.tracers import TracerName
from petlesion.training.retrain_config import read_server_options

_CHECK_S = 0.5
SOURCE_FILE = "studies.txt"
"""Of which images the labels in a data folder are."""
_OWN = "an Orthanc of its own"


@dataclass(frozen=True)
class ServeOptions:
    """What to serve, and how.

    Attributes
    ----------
    data
        Folder for everything that is kept of these studies: labels, fetched images, logs; and Orthanc's storage.
    studies
        Folder or URL of a DICOMweb server; None: an Orthanc in `data`, with simulated patients.
    host, port
        Where clients find the server.
    patients, tracer
        Simulated patients to begin with, where `studies` is None.
    models
        Folder of the models' versions; None: `petlesion.networks.installed.models_folder`.
    conf
        Further options of the app.
    """

    data: Path
    studies: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    patients: int = 2
    tracer: TracerName = TracerName.F18_FDG
    models: Path | None = None
    conf: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes
    ----------
    url
        Of the server.
    studies
        Where the images come from.
    viewable
        Patient and date by StudyInstanceUID, of studies that OHIF can open.
    labels, log
        Where labels are kept, and what the server writes.
    children
        The programs that run.
    """

    url: str
    studies: str
    viewable: dict[str, str]
    labels: Path
    log: Path
    children: tuple[Child, ...]

    def wait(self) -> None:
        """Wait until one of the programs ends.

        Raises
        ------
        UsageError
            Then.
        """
        while True:
            for child in self.children:
                child.check()
            time.sleep(_CHECK_S)


def app_folder() -> Path:
    """The MONAI Label app: in the working tree, or where the installed package put it.

    Raises
    ------
    UsageError
        If it is in neither.
    """
    tree, installed = places("apps/petlesion", "app")
    for folder in (tree, installed):
        if (folder / "main.py").is_file():
            return folder
    raise UsageError("the annotation app is not installed", where=installed, remedy="install petlesion again")


@contextlib.contextmanager
def serve(options: ServeOptions, display: Display) -> Iterator[Served]:
    """Run the annotation server until the block ends; all that was started ends with it.

    Parameters
    ----------
    options
        What to serve, and how.
    display
        Told what happens until the server answers.

    Yields
    ------
    Served
        Where it is.

    Raises
    ------
    UsageError
        If it cannot be started, the data folder is of other studies, or the options of retraining make no sense.
    OutputError
        If nothing can be written into the data folder.
    """
    if importlib.util.find_spec("monailabel") is None:
        raise UsageError("monailabel is not installed", remedy="install petlesion with the extra: server")
    if "retrain_config" in options.conf:
        read_server_options(Path(options.conf["retrain_config"]), options.models or models_folder())
    _check_address(options.host, options.port)
    _make_writable(options.data)
    with ExitStack() as stack:
        others: tuple[Child, ...] = ()
        if options.studies is None:
            _keep_to(options.data, _OWN)
            studies, others = stack.enter_context(_own_studies(options, display))
        else:
            studies = _located(options.studies)
            _keep_to(options.data, studies)
        display.step("start the annotation server, which looks at all images first")
        labels = options.data / "labels"
        log = options.data / "server.log"
        child = stack.enter_context(
            running("the annotation server", _command(options, studies, labels), log, _environment(options))
        )
        url = f"http://{_reached_by(options.host)}:{options.port}"
        child.wait_until_it_answers(f"{url}/info/")
        yield Served(url, studies, _viewable(url, studies), labels, log, (child, *others))


def _make_writable(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        raise OutputError(
            f"nothing can be written ({reason(error)})",
            where=data,
            remedy="give another --data, or free space or permissions",
        ) from error


def _located(studies: str) -> str:
    """The same source always by the same words: a URL without slash at its end, or the path of a folder."""
    if studies.startswith(("http://", "https://")):
        return checked_url(studies).rstrip("/")
    folder = Path(studies).resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", remedy="give a folder or a URL with --studies")
    return str(folder)


def _keep_to(data: Path, source: str) -> None:
    """Refuse a data folder of other images: labels go by image ids, and two folders may both hold a `p01.nii.gz`."""
    file = data / SOURCE_FILE
    known = file.read_text(encoding="utf-8").strip() if file.is_file() else source
    if known != source and [*data.glob("labels/*"), *data.glob("cache/*")]:
        raise UsageError(
            f"{data} is of the images of {known}, not of {source}",
            remedy=f"give another --data; or, where the images have only moved, write their new place into {file.name}",
        )
    write_durably(file, f"{source}\n".encode())


def _check_address(host: str, port: int) -> None:
    """Complain before another server, which answers in the place of this one, is taken for it."""
    try:
        free = is_free(host, port)
    except OSError as error:
        raise UsageError(f"no server can listen on {host} ({reason(error)})", remedy="give another --host") from error
    if not free:
        raise UsageError(f"port {port} of {host} is in use", remedy="end what listens there, or give another --port")


def _reached_by(host: str) -> str:
    """How this machine finds a server that listens on an address; on all of them, by loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{name}]" if ":" in name else name


def _command(options: ServeOptions, studies: str, labels: Path) -> list[str]:
    app = app_folder()
    if not os.access(app, os.W_OK):
        # MONAI Label writes beside the app.
        app = Path(shutil.copytree(app, options.data / "app", dirs_exist_ok=True))
    conf = {
        "labels": str(labels),
        "cache": str(options.data / "cache"),
        "models": str(options.models or models_folder()),
        **options.conf,
    }
    pairs = [word for key, value in conf.items() for word in ("--conf", key, value)]
    start = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", studies]
    return [*start, "--host", options.host, "--port", str(options.port), *pairs]


def _environment(options: ServeOptions) -> dict[str, str]:
    """Settings of MONAI Label that PET/CT needs; what the user has set stays."""
    settings = {
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": "PT"}),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "False",
        "MONAI_LABEL_SESSION_PATH": str(options.data / "sessions"),
        "PYTHONPATH": "",
    }
    programs = str(Path(sys.executable).parent)
    return settings | dict(os.environ) | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}


@contextlib.contextmanager
def _own_studies(options: ServeOptions, display: Display) -> Iterator[tuple[str, tuple[Child, ...]]]:
    """Simulated patients: in an Orthanc of our own, which comes with its URL, or in a folder where there is none."""
    simulated = options.data / "simulated"
    if options.patients:
        display.step(f"simulate {options.patients} patients, once")
        simulate_cohort(
            SimulateOptions(tracer=options.tracer, patients=options.patients, dicom=True, resume=True),
            simulated,
            display.count,
        )
    if not is_installed():
        yield str(_as_folder(simulated, options.data / "images")), ()
        return
    display.step("start Orthanc")
    with orthanc(options.data / "orthanc") as (child, url):
        if options.patients:
            display.step("store the simulated patients")
            store(url, simulated, display.count)
        yield f"{url}/dicom-web", (child,)


def _as_folder(simulated: Path, images: Path) -> Path:
    """A folder of DICOM studies, links to the simulated images without their truth, which would count as a label."""
    images.mkdir(exist_ok=True)
    for study in sorted(simulated.glob("*/dicom")):
        for modality in ("PT", "CT"):
            link = images / study.parent.name / modality
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(study / modality)
    return images


def _viewable(url: str, studies: str) -> dict[str, str]:
    """What studies show; none where the server does not list them in time, which is no reason to end it."""
    if not studies.startswith("http"):
        return {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/datastore/?output=all", timeout=60) as answer:
            objects = json.load(answer)["objects"].values()
    except OSError:
        return {}
    infos = [each["image"]["info"] for each in objects]
    return {info["study_uid"]: f"{info['patient_id']} {info['study_date']}".strip() for info in infos}
