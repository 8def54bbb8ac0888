"""Cases and labels as the server was told to open them; training opens them in the same way, in its own process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.datastore.cases import CACHE_BYTES, CaseStore
from lib.datastore.dicomweb import DicomWeb
from lib.datastore.fetched_files import LIMIT_BYTES
from lib.datastore.labels import LabelStore
from lib.datastore.local import LocalFolder
from petlesion.errors import UsageError
from petlesion.server.archive_url import checked_url
from petlesion.tracers import TracerName

LABEL_FOLDER = "label-versions"
"""Sub-folder of labels in a local folder of images."""


@dataclass(frozen=True)
class Stores:
    """What a server or a training works with.

    Attributes
    ----------
    cases
        The images.
    labels
        What was submitted for them.
    archive
        The DICOMweb server, where images come from one.
    """

    cases: CaseStore
    labels: LabelStore
    archive: DicomWeb | None = None


def open_stores(studies: str, conf: Mapping[str, str] | None = None) -> Stores:
    """Open the images and labels of a server.

    Parameters
    ----------
    studies
        `MONAI_LABEL_STUDIES`: a folder, or the URL of a DICOMweb server.
    conf
        `MONAI_LABEL_APP_CONF`, the `--conf` options of `monailabel start_server`; all optional:

        - `labels`: folder of the label store. Default: `label-versions` in the folder of images; for a DICOMweb server
          `~/.local/share/petlesion/<hash of the URL>`.
        - `cache`: folder of fetched DICOM files. Default: `~/.cache/petlesion/<hash of the URL>`.
        - `fetched_gb`: how much of them is kept on the disk, GB.
        - `cache_gb`: loaded volumes that each process keeps, GB.
        - `tracer`: of NIfTI images that name none.

        User and password of a DICOMweb server are read from `MONAI_LABEL_DICOMWEB_USERNAME` and `..._PASSWORD`.

    Raises
    ------
    UsageError
        If an option has no such value, or the URL holds a password.
    """
    conf = conf or {}
    limit = bytes_of(conf, "cache_gb", CACHE_BYTES)
    if not studies.startswith(("http://", "https://")):
        folder = Path(studies)
        labels = Path(conf.get("labels") or folder / LABEL_FOLDER)
        own = (labels, labels.with_name(f"{labels.name}-work"))
        return Stores(CaseStore(LocalFolder(folder, _tracer(conf), own), limit), LabelStore(labels))
    url = checked_url(studies).rstrip("/").strip()
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    labels = Path(conf.get("labels") or _home("XDG_DATA_HOME", ".local/share") / name)
    cache = Path(conf.get("cache") or _home("XDG_CACHE_HOME", ".cache") / name)
    environment = os.environ.get
    user, password = environment("MONAI_LABEL_DICOMWEB_USERNAME"), environment("MONAI_LABEL_DICOMWEB_PASSWORD")
    prefixes = [environment(f"MONAI_LABEL_{service}_PREFIX") or None for service in ("QIDO", "WADO", "STOW")]
    archive = DicomWeb(
        url,
        cache,
        credentials=(user, password) if user and password else None,
        prefixes=(prefixes[0], prefixes[1], prefixes[2]),
        limit_bytes=bytes_of(conf, "fetched_gb", LIMIT_BYTES),
    )
    return Stores(CaseStore(archive, limit), LabelStore(labels), archive)


def _home(variable: str, default: str) -> Path:
    """Folder of the product below the user's data or cache folder (XDG Base Directory Specification)."""
    return Path(os.environ.get(variable) or Path.home() / default) / "petlesion"


def bytes_of(conf: Mapping[str, str], name: str, default: int) -> int:
    """Bytes that an option gives in GB.

    Raises
    ------
    UsageError
        If it is no such number.
    """
    text = conf.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise UsageError(f"{name} is {text!r}", remedy="give a number of gigabytes, such as 4")
    return int(value * 2**30)


def _tracer(conf: Mapping[str, str]) -> TracerName:
    name = conf.get("tracer", TracerName.UNKNOWN)
    try:
        return TracerName(name)
    except ValueError:
        raise UsageError(f"tracer is {name!r}", remedy=f"give one of {', '.join(TracerName)}") from None
