"""The annotation server under load: inferences queue, and nothing else waits for them."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from annotation_server import PET_GRID, Site, running_orthanc, running_server, write_small_study
from lib.datastore.labels import LabelStore

from petlesion.nifti import write_labels

INFERENCES = 24


def test_parallel_inferences_queue_and_info_answers(site: Site) -> None:
    image = site.studies["anna"].pet
    done = threading.Event()

    def ask() -> list[float]:
        delays = []
        while not done.is_set():
            for path in ("info/", "ohif/", "proxy/dicom/qido/studies"):
                began = time.monotonic()
                assert requests.get(f"{site.url}/{path}", timeout=120).ok, path
                delays.append(time.monotonic() - began)
            time.sleep(0.02)
        return delays

    def run(_: int) -> int:
        data = {"params": json.dumps({"split_touching": True})}
        query = {"image": image, "output": "json"}
        return requests.post(f"{site.url}/infer/gradient", params=query, data=data, timeout=300).status_code

    with ThreadPoolExecutor(1 + INFERENCES) as clients:
        asking = clients.submit(ask)
        began = time.monotonic()
        try:
            statuses = list(clients.map(run, range(INFERENCES)))
        finally:
            done.set()
        seconds, delays = time.monotonic() - began, asking.result()
    assert statuses == [200] * INFERENCES
    assert len(delays) > 10
    assert max(delays) < seconds / 4, "who waits for an inference waits for nearly all, which were asked for at once"


def test_label_reaches_an_archive_that_was_away(site: Site, tmp_path: Path) -> None:
    """Orthanc is killed, a label submitted, the server killed too; both come back, and the label is there."""
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        study = write_small_study(tmp_path / "dicom", "eve")
        orthanc.store(study.folder)
        mask = np.zeros(PET_GRID.shape, np.uint8)
        mask[3:6, 20:24, 20:24] = 1
        write_labels(mask, PET_GRID, tmp_path / "label.nii.gz")
        with running_server(tmp_path, orthanc.dicomweb) as server:
            query = {"image": study.pet, "output": "json"}
            assert requests.post(f"{server.url}/infer/fixed", params=query, timeout=60).ok
            orthanc.process.kill()
            orthanc.process.wait()
            with (tmp_path / "label.nii.gz").open("rb") as stream:
                query = {"image": study.pet}
                answer = requests.put(
                    f"{server.url}/datastore/label", params=query, files={"label": stream}, timeout=60
                )
            assert answer.status_code == 200, answer.text
            server.process.kill()
        assert LabelStore(server.labels).current(study.pet).lesions == 1
        with running_orthanc(tmp_path / "orthanc", orthanc.port) as back, running_server(tmp_path, back.dicomweb):
            deadline = time.monotonic() + 30
            while not back.segmentations(study.study) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert len(back.segmentations(study.study)) == 1
