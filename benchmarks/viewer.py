"""OHIF's mode "PET lesions" in headless Chromium: how a study comes up, and what edits cost.

Run as `python benchmarks/viewer.py [STUDY] [--loads 30] [--edits 100] [--pictures docs/images]`; STUDY is a folder with
the DICOM series of one patient, by default a simulated one. `--fine-ct` gives that a CT of 512 × 512 × 300 voxels, as
scanners make them; the simulator's is coarser. `--pictures` takes the pictures of the documentation.
Chromium renders in software here, which takes most of the time; a graphics processor is far faster. Printed are

- how many loads show no uptake in white, in the slices and in the MIP, as inverted grey has it;
- seconds until OHIF shows the panel, until that can be used, and until all images are there;
- seconds from a key to the new list (delete, undo), and from a click to the lesion's row, the first and others;
- seconds from Run to the lesions of the network that ships;
- the JavaScript heap before and after the edits, garbage collected.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = REPOSITORY / "apps" / "petlesion" / "model" / "unet"
sys.path[:0] = [str(REPOSITORY / "tests" / "support")]

from annotation_server import running_orthanc, running_server  # noqa: E402
from lesions_panel import LesionsPanel  # noqa: E402
from ohif_panel import browser_page  # noqa: E402
from synthetic_dicom import plain, write_series  # noqa: E402

from petlesion.console import print_rows  # noqa: E402
from petlesion.networks.sampling import network_grid  # noqa: E402
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort  # noqa: E402
from petlesion.reader import read_study  # noqa: E402
from petlesion.resample import resample  # noqa: E402
from petlesion.segment.methods import segment  # noqa: E402
from petlesion.segment.options import MethodName, SegmentOptions  # noqa: E402
from petlesion.study import NO_CT_HU, PetCt  # noqa: E402
from petlesion.tracers import TracerName  # noqa: E402

MODEL, NETWORK = "percist", "unet"
SETTLE_MS = 2000
"""Until all viewports show what was done."""
FINE_CT = (300, 512, 512)
"""Voxels (z, y, x)."""
CLICKS = 5
CLICKED = 4
"""Lesion that is deleted and clicked again, by volume: neither an organ nor a speck that does not stand out."""


def simulated(folder: Path) -> Path:
    """A simulated FDG patient."""
    simulate_cohort(SimulateOptions(tracer=TracerName.F18_FDG, patients=1, dicom=True, seed=5), folder)
    return next(folder.glob("*/dicom"))


def make_ct_fine(study: Path) -> None:
    """Write the CT of a study anew, in the voxels of a scanner."""
    ct = read_study(study).ct
    assert ct is not None
    header = dcmread(next((study / "CT").iterdir()), stop_before_pixels=True)
    extent = np.array(ct.grid.shape) * ct.grid.spacing_mm
    z, y, x = extent / FINE_CT
    fine = resample(ct, network_grid(ct.grid, (z, y, x)), outside=NO_CT_HU)
    shutil.rmtree(study / "CT")
    write_series(study / "CT", fine, plain(header), name="CT")


@contextmanager
def annotators_page() -> Iterator[Any]:
    """A new page, as large as a small screen."""
    with browser_page() as page:
        page.set_viewport_size({"width": 1366, "height": 768})
        yield page


def shoot(page: Any, folder: Path | None, name: str) -> None:
    """Save a picture of the page, if pictures are wanted."""
    if folder is not None:
        page.wait_for_timeout(SETTLE_MS)
        with Image.open(io.BytesIO(page.screenshot())) as image:
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


def inverted(panel: LesionsPanel) -> bool:
    """Whether the border of PET and MIP, where nothing is taken up, is white."""
    return all(np.median(panel.picture(name)[5:-5, 5:15]) > 200 for name in ("pet-axial", "pet-coronal", "mip"))


def loads(url: str, study_uid: str, count: int) -> list[tuple[str, str]]:
    """Open the study again and again, in a new page each time."""
    right: int = 0
    times: dict[str, list[float]] = {"panel there": [], "panel usable": [], "all images there": []}
    for number in range(1, count + 1):
        with annotators_page() as page:
            panel = LesionsPanel(page, url, study_uid, watched=False)
            print(f"load {number} of {count}: {panel.opened_after[-1]:.1f} s", file=sys.stderr, flush=True)
            for seconds, found in zip(times.values(), panel.opened_after, strict=True):
                seconds.append(found)
            right += inverted(panel)
    return [
        ("loads inverted right", f"{right} of {count}"),
        *((f"{what}, median", f"{median(seconds):.1f} s") for what, seconds in times.items()),
    ]


def timed(action: Any, panel: LesionsPanel, lesions: int) -> float:
    """Seconds until so many lesions are listed."""
    began = time.perf_counter()
    action()
    panel.wait_for_lesions(lesions)
    return time.perf_counter() - began


def heap_mb(page: Any) -> float:
    """MB of the JavaScript heap after garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def hottest_place(study: PetCt, number: int) -> tuple[float, float, float]:
    """LPS point (x, y, z), mm, of the hottest voxel of a lesion that the model of the benchmark finds."""
    labels = segment(study, SegmentOptions(MethodName(MODEL))).labels
    voxel = np.unravel_index(np.argmax(np.where(labels == number, study.pet.array, -1)), labels.shape)
    x, y, z = (float(value) for value in study.pet.grid.to_world(voxel))
    return x, y, z


def edits(url: str, study: PetCt, count: int, pictures: Path | None) -> list[tuple[str, str]]:
    """Delete and undo, over and over; and one click."""
    with annotators_page() as page:
        panel = LesionsPanel(page, url, study.study_instance_uid)
        shoot(page, pictures, "lesions-open")
        panel.run(MODEL)
        lesions = len(panel.rows())
        before, seconds = heap_mb(page), []
        for _ in range(count // 2):
            panel.select(int(panel.rows()[-1][0]))
            seconds.append(timed(lambda: page.keyboard.press("Delete"), panel, lesions - 1))
            seconds.append(timed(lambda: page.keyboard.press("Control+z"), panel, lesions))
        after = heap_mb(page)
        chosen = min(CLICKED, lesions - 1)
        place = hottest_place(study, int(panel.rows()[chosen][0]))
        panel.select(int(panel.rows()[chosen][0]))
        shoot(page, pictures, "lesions-found")
        panel.key("c")
        clicks = []
        for _ in range(CLICKS):
            page.keyboard.press("Delete")
            panel.wait_for_lesions(lesions - 1)
            page.wait_for_timeout(SETTLE_MS)
            clicks.append(timed(lambda: panel.click(place), panel, lesions))
        shoot(page, pictures, "lesions-corrected")
        began = time.perf_counter()
        panel.run(NETWORK)
        network = time.perf_counter() - began
        shoot(page, pictures, "lesions-network")
        return [
            ("lesions", str(lesions)),
            ("key to list, median", f"{median(seconds):.2f} s"),
            ("click to lesion, first, median", f"{clicks[0]:.2f} s, {median(clicks):.2f} s"),
            (f"{NETWORK}: Run to its {len(panel.rows())} lesions", f"{network:.1f} s"),
            ("heap before, after", f"{before:.0f} MB, {after:.0f} MB after {2 * (count // 2)} edits"),
            ("console errors, failed or foreign requests", str(len(panel.trouble))),
        ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--loads", type=int, default=30)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--fine-ct", action="store_true", help="a CT of 512 x 512 x 300 voxels for the simulated one")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if given.fine_ct and given.study:
        parser.error("--fine-ct goes with the simulated patient alone")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = given.study or simulated(folder / "simulated")
        if given.fine_ct:
            make_ct_fine(study)
        record = read_study(study)
        with running_orthanc(folder / "orthanc") as orthanc:
            orthanc.store(study)
            with running_server(folder, orthanc.dicomweb, retrain_after="0") as server:
                shutil.copytree(SHIPPED, server.log.parent / "petlesion" / "model" / NETWORK)
                rows = [("PET voxels (x, y, z)", " × ".join(map(str, record.pet.array.shape[::-1])))]
                rows += loads(server.url, record.study_instance_uid, given.loads)
                rows += edits(server.url, record, given.edits, given.pictures)
    print_rows(("what", "value"), rows)


if __name__ == "__main__":
    main()
