"""What the viewer's images cost on the way to the browser: bytes, and seconds, by how Orthanc sends them.

Run as `python benchmarks/transfer.py [STUDY]`; STUDY is a folder with the DICOM series of one patient, by default a
simulated one. All images of PET and CT are asked for as OHIF does, 25 at a time, through the annotation server:

- plain: by a client that accepts no compression;
- gzip: as every browser asks, and Orthanc answers by itself;
- JPEG-LS lossless: stored so (Orthanc's `IngestTranscoding`), and gzip; OHIF decodes it, which is not timed here.

Seconds are those of the servers on this machine, compression included; the last column says how long the bytes take on
a line of 100 Mbit/s. High-throughput JPEG 2000 is beyond Debian's Orthanc (1.10.1) and was not measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "benchmarks")]

from annotation_server import running_orthanc, running_server  # noqa: E402
from pydicom.uid import JPEGLSLossless  # noqa: E402

from petlesion.console import print_rows  # noqa: E402
from viewer import simulated  # noqa: E402

AT_A_TIME = 25
"""Requests, as `viewer/app-config.js` has them."""
LINE_BYTES_S = 100e6 / 8
ACCEPT = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
WAYS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "plain": ({}, "identity"),
    "gzip": ({}, "gzip"),
    "JPEG-LS lossless": ({"IngestTranscoding": str(JPEGLSLossless)}, "gzip"),
}
"""Settings of Orthanc, and what the client accepts."""


def frames(client: httpx.Client, modality: str) -> Iterator[str]:
    """Addresses of all frames of a modality."""
    for found in client.get("/dicom-web/series", params={"Modality": modality}).json():
        study, series = (found[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
        address = f"/dicom-web/studies/{study}/series/{series}/instances"
        for instance in client.get(address).json():
            yield f"{address}/{instance['00080018']['Value'][0]}/frames/1"


def fetch(client: httpx.Client, address: str, accepted: str) -> int:
    """Bytes of an answer as they were sent."""
    with client.stream("GET", address, headers={"Accept": ACCEPT, "Accept-Encoding": accepted}) as answer:
        answer.raise_for_status()
        return sum(len(chunk) for chunk in answer.iter_raw())


def transferred(url: str, modality: str, accepted: str) -> tuple[int, int, float]:
    """Number and bytes of all frames, and seconds until they were there."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        addresses = list(frames(client, modality))
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            sizes = list(pool.map(lambda address: fetch(client, address, accepted), addresses))
        return len(sizes), sum(sizes), time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = given.study or simulated(folder / "simulated")
        for number, (way, (settings, accepted)) in enumerate(WAYS.items()):
            with running_orthanc(folder / f"orthanc{number}", **settings) as orthanc:
                orthanc.store(study)
                with running_server(folder / f"server{number}", orthanc.dicomweb, retrain_after="0") as server:
                    for modality in ("PT", "CT"):
                        count, size, seconds = transferred(server.url, modality, accepted)
                        if not count:
                            continue
                        line = size / LINE_BYTES_S
                        numbers = (str(count), f"{size / 1e6:.1f}", f"{seconds:.1f}", f"{line:.1f}")
                        rows.append((way, modality, *numbers))
    print_rows(("way", "series", "images", "MB", "s here", "s on 100 Mbit/s"), rows)


if __name__ == "__main__":
    main()
