"""SIGKILL of annotation server, training and Orthanc at random moments, in rounds of submit, infer and train.

Run as `python benchmarks/faults.py [--rounds 30]`. Two clients submit labels all the time while one process is killed;
then it is started again, and checked: every label that was acknowledged is there as it was submitted, every record can
be read, and the version of the network in service is whole. At the end two clients submit 200 labels at once: 200
versions are stored.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "apps" / "petlesion")]

from annotation_server import (  # noqa: E402
    PET_GRID,
    Orthanc,
    Server,
    SmallStudy,
    free_port,
    running_orthanc,
    running_server,
    write_small_study,
)
from lib.datastore.labels import LabelStore  # noqa: E402
from training_cases import write_case, write_config  # noqa: E402

from petlesion.console import print_rows  # noqa: E402
from petlesion.networks.registry import Registry  # noqa: E402
from petlesion.nifti import write_labels  # noqa: E402
from petlesion.training.loop import train  # noqa: E402

PATIENTS = 6
BUSY_S = 6.0
"""A round's process is killed at a random moment of this time."""


@dataclass
class Submissions:
    """What clients sent, and which of it the server acknowledged."""

    sent: int = 0
    acknowledged: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_voxel(self) -> tuple[int, int, int]:
        """A voxel that no other label marks: the label of submission n is voxel n."""
        with self.lock:
            self.sent += 1
            z, y, x = np.unravel_index(self.sent, PET_GRID.shape)
        return int(z), int(y), int(x)


@dataclass
class Site:
    """The processes, which can be killed and started again in place."""

    folder: Path
    studies: list[SmallStudy]
    stack: ExitStack
    orthanc_port: int
    server_port: int
    orthanc: Orthanc
    server: Server

    @classmethod
    def start(cls, folder: Path, stack: ExitStack) -> Site:
        """Start all with studies, and a network that was hardly trained."""
        studies = [write_small_study(folder / "dicom", f"patient-{n}") for n in range(PATIENTS)]
        write_case(folder / "base" / "cases" / "base-0", 100)
        run = {"steps": 1, "validate_every": 1, "batch": 1, "device": "cpu"}
        model = train(write_config(folder / "base", run=run, split={"validation": 0}))
        shutil.copytree(model, folder / "models" / "unet")
        options = {"min_patients": 2, "held_out": 0.5, "run": {"steps": 60, "validate_every": 10, "device": "cpu"}}
        (folder / "retrain.yaml").write_text(json.dumps(options))
        ports = free_port(), free_port()
        orthanc = stack.enter_context(running_orthanc(folder / "orthanc", ports[0]))
        orthanc.store(folder / "dicom")
        server = stack.enter_context(_server(folder, orthanc, ports[1]))
        return cls(folder, studies, stack, *ports, orthanc, server)

    def kill(self, what: str) -> bool:
        """SIGKILL, and start again; whether there was something to kill."""
        if what == "training":
            trainings = [one for one in self.server.process.children(recursive=True) if "train" in one.cmdline()]
            _kill(trainings)
            return bool(trainings)
        if what == "orthanc":
            _kill([self.orthanc.process])
            self.orthanc = self.stack.enter_context(running_orthanc(self.folder / "orthanc", self.orthanc_port))
            return True
        _kill([self.server.process, *self.server.process.children(recursive=True)])
        self.server = self.stack.enter_context(_server(self.folder, self.orthanc, self.server_port))
        return True

    @property
    def registry(self) -> Registry:
        """Versions of the network."""
        return Registry(self.folder / "models" / "unet")


def submit(site: Site, submissions: Submissions, stop: threading.Event, image: str, limit: int = 10**9) -> None:
    """Submit labels of one voxel each until told to stop."""
    for _ in range(limit):
        if stop.is_set():
            return
        voxel = submissions.next_voxel()
        label = np.zeros(PET_GRID.shape, dtype=np.uint8)
        label[voxel] = 1
        with tempfile.NamedTemporaryFile(suffix=".nii.gz") as file:
            write_labels(label, PET_GRID, Path(file.name))
            try:
                answer = requests.put(
                    f"{site.server.url}/datastore/label",
                    params={"image": image},
                    data={"params": json.dumps({"client_id": "script"})},
                    files={"label": ("label.nii.gz", file)},
                    timeout=60,
                )
            except requests.RequestException:
                time.sleep(0.2)  # the server is dead; the client may send it again
                continue
        if answer.ok:
            with submissions.lock:
                submissions.acknowledged.append((image, voxel))


def infer(site: Site, stop: threading.Event, rng: random.Random) -> None:
    """Run models until told to stop; a dead server or archive is no reason to end."""
    while not stop.is_set():
        image, model = rng.choice(site.studies).pet, rng.choice(("fixed", "unet"))
        try:
            requests.post(f"{site.server.url}/infer/{model}", params={"image": image, "output": "json"}, timeout=60)
        except requests.RequestException:
            time.sleep(0.2)


def check(site: Site, submissions: Submissions) -> str:
    """What was lost; nothing, or the benchmark ends with an error."""
    site.registry.current().verify()
    for version in site.registry.versions():
        version.verify()
    stored: dict[str, set[tuple[int, ...]]] = {}
    store, count = LabelStore(site.server.labels), 0
    for label in store.everything():
        marked = np.argwhere(label.read().array)  # checks the hash
        stored.setdefault(label.image_id, set()).update(tuple(int(n) for n in voxel) for voxel in marked)
        count += 1
    lost = [one for one in submissions.acknowledged if one[1] not in stored.get(one[0], ())]
    if lost:
        raise AssertionError(f"{len(lost)} acknowledged labels are lost: {lost[:3]}")
    return f"{len(submissions.acknowledged)} acknowledged, {count} stored, 0 lost"


def run_round(site: Site, number: int, rng: random.Random, submissions: Submissions) -> tuple[str, ...]:
    """Keep the site busy, kill something, start it again, check."""
    what = ("server", "training", "orthanc")[number % 3]
    stop = threading.Event()
    workers = [
        threading.Thread(target=submit, args=(site, submissions, stop, rng.choice(site.studies).pet)) for _ in range(2)
    ]
    workers.append(threading.Thread(target=infer, args=(site, stop, random.Random(number))))
    for worker in workers:
        worker.start()
    if what == "training":
        _wait_for_training(site)
    time.sleep(rng.uniform(0, BUSY_S))
    killed = site.kill(what)
    stop.set()
    for worker in workers:
        worker.join()
    return (
        str(number + 1),
        what,
        "yes" if killed else "none ran",
        check(site, submissions),
        site.registry.current().name,
    )


def _from_clients(store: LabelStore, image: str) -> int:
    """Versions that clients submitted: a SEG that an Orthanc took in as it died may come back as one more."""
    return sum(label.source == "client" for label in store.versions(image))


def _wait_for_training(site: Site) -> None:
    """Have a training to kill."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("train" in one.cmdline() for one in site.server.process.children(recursive=True)):
            return
        requests.post(f"{site.server.url}/train/unet", json={}, timeout=60)
        time.sleep(1)


def _server(folder: Path, orthanc: Orthanc, port: int) -> Any:
    conf = {"models": str(folder / "models"), "retrain_config": str(folder / "retrain.yaml")}
    return running_server(folder, orthanc.dicomweb, port, **conf)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=30)


def main() -> None:
    """Parse options, run the rounds, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, submissions, rows = random.Random(options.seed), Submissions(), []
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        site = Site.start(Path(temporary), stack)
        for number in range(options.rounds):
            rows.append(run_round(site, number, rng, submissions))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
        store, image = LabelStore(site.server.labels), site.studies[0].pet
        before, stop = _from_clients(store, image), threading.Event()
        pair = [threading.Thread(target=submit, args=(site, submissions, stop, image, 100)) for _ in range(2)]
        for client in pair:
            client.start()
        for client in pair:
            client.join()
        stored = _from_clients(store, image) - before
        rows.append(("", "none", "", f"200 labels of two clients at once: {stored} versions", ""))
        check(site, submissions)
        if stored != 200:
            raise AssertionError(f"{stored} of 200 versions were stored")
    print_rows(("round", "killed", "was there", "labels", "in service"), rows)


if __name__ == "__main__":
    main()
