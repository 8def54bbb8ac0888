"""How long annotators wait: first load of a study from Orthanc, models once it is loaded, and others meanwhile.

Run as `python benchmarks/server.py`. A synthetic whole-body PET of 200 × 200 × 300 voxels with 100 lesions and a CT of
256 × 256 × 300 lie in Orthanc; the stock server runs as a process, and OHIF's request is made (uncompressed NRRD). In
the same run, MONAI Label's own DICOMweb datastore loads the same PET series. Limits: first load 10 s, `percist` 3 s,
`click` 1 s, `GET /info/` and the image proxy 0.5 s while eight inferences are waited for.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "benchmarks")]

from annotation_server import Server, running_orthanc, running_server  # noqa: E402
from percist import synthetic_study  # noqa: E402
from synthetic_dicom import ct_header, pet_header, write_series  # noqa: E402

from petlesion.console import print_rows  # noqa: E402
from petlesion.identifiers import derived_uid  # noqa: E402
from petlesion.volume import Grid, Volume  # noqa: E402

SHAPE, CT_SHAPE = (300, 200, 200), (300, 256, 256)
REPEATS, PARALLEL = 5, 8
PET, CT = derived_uid("series", "PT"), derived_uid("series", "CT")


def write_study(folder: Path) -> tuple[int, int, int]:
    """Write PT and CT; returns the voxel (x, y, z) of the hottest place."""
    pet = synthetic_study(SHAPE).pet  # type: ignore[attr-defined]
    write_series(folder, pet, pet_header(), name="PT")
    extent = np.array(pet.grid.spacing_mm) * SHAPE / CT_SHAPE
    grid = Grid.from_geometry(CT_SHAPE, extent, pet.grid.origin_mm)
    hu = np.random.default_rng(0).normal(40, 20, CT_SHAPE).astype(np.float32)
    write_series(folder, Volume(hu, grid), ct_header(), name="CT")
    z, y, x = np.unravel_index(int(np.argmax(pet.array)), SHAPE)
    return int(x), int(y), int(z)


def infer(server: Server, model: str, **options: object) -> float:
    """Seconds until OHIF has its label."""
    params = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, **options}
    began = time.perf_counter()
    answer = requests.post(
        f"{server.url}/infer/{model}",
        params={"image": PET, "output": "image"},
        data={"params": json.dumps(params)},
        timeout=300,
    )
    answer.raise_for_status()
    return time.perf_counter() - began


def spread(measure: Callable[[], float]) -> str:
    """Median and range of several runs."""
    seconds = [measure() for _ in range(REPEATS)]
    return f"{np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def stock_load(url: str) -> float:
    """Seconds that MONAI Label's own datastore takes from the server to a NIfTI file."""
    from monailabel.datastore.dicom import DICOMwebClientX, DICOMWebDatastore

    with tempfile.TemporaryDirectory() as cache:
        store = DICOMWebDatastore(DICOMwebClientX(url=url), {"Modality": "PT"}, cache_path=cache)
        began = time.perf_counter()
        store.get_image_uri(PET)
        return time.perf_counter() - began


def others_wait(server: Server) -> dict[str, list[float]]:
    """Seconds for other requests while inferences are waited for."""
    waits: dict[str, list[float]] = {"info/": [], "proxy/dicom/qido/studies": []}
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            for path, seconds in waits.items():
                began = time.perf_counter()
                requests.get(f"{server.url}/{path}", timeout=60).raise_for_status()
                seconds.append(time.perf_counter() - began)
            time.sleep(0.05)

    with ThreadPoolExecutor(PARALLEL + 1) as clients:
        asking = clients.submit(ask)
        try:
            list(clients.map(lambda _: infer(server, "gradient"), range(PARALLEL)))
        finally:
            ended.set()
        asking.result()  # an answer that failed ends the benchmark
    return waits


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hottest = write_study(folder / "dicom")
        with running_orthanc(folder / "orthanc") as orthanc:
            orthanc.store(folder / "dicom")
            with running_server(folder, orthanc.dicomweb) as server:
                first = infer(server, "fixed")
                rows = [
                    ("first request: PET and CT from Orthanc, and fixed", f"{first:.2f} s", "10 s"),
                    ("percist", spread(lambda: infer(server, "percist")), "3 s"),
                    ("gradient", spread(lambda: infer(server, "gradient")), ""),
                ]
                for boundary in ("gradient", "relative", "fixed", "percist"):
                    points = {"foreground": [hottest], "boundary": boundary}
                    rows.append((f"click, {boundary}", spread(lambda p=points: infer(server, "click", **p)), "1 s"))
                for path, seconds in others_wait(server).items():
                    text = f"{np.median(seconds):.2f} s, longest {max(seconds):.2f} s ({len(seconds)} times)"
                    rows.append((f"GET /{path} during {PARALLEL} gradient", text, "0.5 s"))
            stock = stock_load(orthanc.dicomweb)
            rows.append(("MONAI Label's own datastore: the same PET alone", f"{stock:.2f} s", ""))
    print_rows(("wait for", "median (range)", "limit"), rows)


if __name__ == "__main__":
    main()
