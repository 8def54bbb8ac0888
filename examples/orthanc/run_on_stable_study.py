"""Watch an Orthanc; run the container on every PET study that has become stable, and store its results in that study.

    python examples/orthanc/run_on_stable_study.py --orthanc http://127.0.0.1:8042

Needs Python alone. Outside of Orthanc rather than in a Lua or Python callback, because one that waits for minutes holds
up the server, and what it had not done is lost when the server is restarted. This one asks for Orthanc's list of
changes, and writes into each study which images it has processed: started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROCESSED = 4711
"""Metadata of a study in which its processed images and the exit code are kept (numbers 1024 to 65535 are free)."""
ROOTLESS = "" if os.getuid() == 0 else "--userns=keep-id "
"""Without it, podman takes a user who is not root for root of the container."""
RUN = (
    f"podman run --rm {ROOTLESS}--network none --read-only --cap-drop ALL "
    "--user {uid}:{gid} "
    "-v {study}:/var/holoscan/input:ro -v {results}:/var/holoscan/output localhost/petlesion-map:0.1.0"
)
"""Command that is run; {study}, {results}, {uid}, {gid} are filled in."""
READ = ("PT", "CT")
"""Modalities that the application reads."""
ABOUT_THE_STUDY = frozenset({0, 10, 11, 12, 13, 14})
"""Exit codes that stand for these images. All others may be over at the next try: options, model, memory, time, disk,
and those of the engine or a signal."""
TRIES = 5
"""Of a study whose container or results failed; after a restart as many again."""
PAUSE_S = 60.0
"""After the first failure of a study; twice as long after each further one."""


class ContainerError(Exception):
    """The container ended with a code that says nothing about the study."""


FAILURES = (OSError, ValueError, http.client.HTTPException, zipfile.BadZipFile, ContainerError)
"""What may be over at the next try: Orthanc, the network, the disk, the engine (URLError is an OSError)."""


class Orthanc:
    """REST interface of a server."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def get(self, path: str) -> Any:
        """A JSON document."""
        return json.loads(self.raw(path))

    def raw(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        """The bytes of an answer."""
        request = urllib.request.Request(self._url + path, data=body, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return bytes(answer.read())


def modality(series: dict[str, Any]) -> str:
    """Modality of a series; empty where its images name none."""
    return str(series["MainDicomTags"].get("Modality", ""))


def images_to_read(orthanc: Orthanc, study: str) -> str:
    """Fingerprint of the PET and CT images of a study; empty where there is no PET."""
    series = [each for each in orthanc.get(f"/studies/{study}/series") if modality(each) in READ]
    if not any(modality(each) == "PT" for each in series):
        return ""
    instances = sorted(instance for each in series for instance in each["Instances"])
    return hashlib.sha256(" ".join(instances).encode()).hexdigest()


def process(orthanc: Orthanc, study: str, command: str) -> int:
    """Run the container on a study, store the DICOM results, and return the exit code.

    Raises
    ------
    ContainerError
        If that code says nothing about the study.
    """
    with tempfile.TemporaryDirectory(prefix="petlesion-") as folder:
        images, results = Path(folder) / "study", Path(folder) / "results"
        results.mkdir()
        with zipfile.ZipFile(io.BytesIO(orthanc.raw(f"/studies/{study}/archive"))) as archive:
            archive.extractall(images)
        words = [
            word.format(study=images, results=results, uid=os.getuid(), gid=os.getgid())
            for word in shlex.split(command)
        ]
        code = run_to_its_end(words)
        if code not in ABOUT_THE_STUDY:
            raise ContainerError(f"the container ended with code {code}")
        if code == 0:
            for path in sorted(results.rglob("*.dcm")):
                orthanc.raw("/instances", path.read_bytes())
    return code


def run_to_its_end(words: list[str]) -> int:
    """Run a command; return its exit code. It ends with this program, and before the folder of its study is removed."""
    with subprocess.Popen(words, stdout=sys.stderr) as command:
        try:
            return command.wait()
        except BaseException:
            command.terminate()  # which engines pass on to the container
            raise


def look_at(orthanc: Orthanc, study: str, command: str) -> None:
    """Process a study unless it has no PET, or these images have been processed before."""
    try:
        wanted = images_to_read(orthanc, study)
        known = orthanc.get(f"/studies/{study}/metadata")
        name = str(PROCESSED)
        before = orthanc.raw(f"/studies/{study}/metadata/{name}").decode() if name in known else ""
    except urllib.error.HTTPError as error:
        if error.code == 404:  # deleted since
            return
        raise
    if not wanted or before.split(" ")[0] == wanted:
        return
    code = process(orthanc, study, command)
    orthanc.raw(f"/studies/{study}/metadata/{PROCESSED}", f"{wanted} {code}".encode(), "PUT")
    print(json.dumps({"orthanc_study": study, "exit_code": code}), flush=True)


@dataclass(frozen=True)
class Retry:
    """A study that failed."""

    tries: int
    due: float
    """When it is tried again (`time.monotonic`)."""


def attempt(orthanc: Orthanc, study: str, command: str, waiting: dict[str, Retry]) -> None:
    """Look at a study; one that fails waits, ever longer, and holds up no other."""
    tries = waiting[study].tries + 1 if study in waiting else 1
    waiting.pop(study, None)
    try:
        look_at(orthanc, study, command)
    except FAILURES as error:
        pause_s = PAUSE_S * 2 ** (tries - 1) if tries < TRIES else None
        if pause_s is not None:
            waiting[study] = Retry(tries, time.monotonic() + pause_s)
        report(error, orthanc_study=study, tries=tries, again_in_s=pause_s)


def report(error: Exception, **more: Any) -> None:
    """Write a line to stderr."""
    print(json.dumps({"error": str(error), **more}), file=sys.stderr, flush=True)


def watch(orthanc: Orthanc, command: str, every_s: float, *, once: bool) -> None:
    """Follow the changes from the first on; those that have been dealt with cost one request each."""
    since = 0
    waiting: dict[str, Retry] = {}
    while True:
        try:
            changes = orthanc.get(f"/changes?since={since}&limit=100")
        except FAILURES as error:
            report(error)
            if once:
                raise SystemExit(1) from error
            time.sleep(every_s)
            continue
        stable = [change["ID"] for change in changes["Changes"] if change["ChangeType"] == "StableStudy"]
        due = [study for study, retry in waiting.items() if retry.due <= time.monotonic()]
        for study in dict.fromkeys([*stable, *due]):
            attempt(orthanc, study, command, waiting)
        since = changes["Last"]
        if changes["Done"]:
            if once:
                raise SystemExit(1 if waiting else 0)
            time.sleep(every_s)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--orthanc", default="http://127.0.0.1:8042", metavar="URL", help="default: %(default)s")
    parser.add_argument("--run", default=RUN, metavar="COMMAND", help="default: %(default)s")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument(
        "--once", action="store_true", help="deal with what there is, and end; 1 where something failed"
    )
    given = parser.parse_args()
    # As systemd ends a service: images of the study under way would stay on the disk.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    watch(Orthanc(given.orthanc), given.run, given.every, once=given.once)
