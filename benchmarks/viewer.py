"""OHIF's mode "PET lesions" in headless Chromium: how a study comes up, and what edits cost.

Run as `python benchmarks/viewer.py [STUDY] [--loads 30] [--edits 100] [--pictures docs/images]`; STUDY is a folder with
the DICOM series of one patient, by default a simulated one. `--pictures` takes the pictures of the documentation.
Chromium renders in software here, which takes most of the time; a graphics processor is far faster. Printed are

- how many loads show no uptake in white, in the slices and in the MIP, as inverted grey has it;
- seconds until the panel can be used and until all images are there;
- seconds from a key to the new list (delete, undo), and from a click to the lesion's row, the first and others;
- the JavaScript heap before and after the edits, garbage collected.
"""

from __future__ import annotations

import argparse
import io
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

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "support")]

from annotation_server import running_orthanc, running_server  # noqa: E402
from lesions_panel import LesionsPanel  # noqa: E402
from ohif_panel import browser_page  # noqa: E402

from petlesion.console import print_rows  # noqa: E402
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort  # noqa: E402
from petlesion.reader import read_study  # noqa: E402
from petlesion.segment.methods import segment  # noqa: E402
from petlesion.segment.options import MethodName, SegmentOptions  # noqa: E402
from petlesion.study import PetCt  # noqa: E402
from petlesion.tracers import TracerName  # noqa: E402

MODEL = "percist"
SETTLE_MS = 2000
"""Until all viewports show what was done."""
CLICKS = 5
CLICKED = 4
"""Lesion that is deleted and clicked again, by volume: neither an organ nor a speck that does not stand out."""


def simulated(folder: Path) -> Path:
    """A simulated FDG patient."""
    simulate_cohort(SimulateOptions(tracer=TracerName.F18_FDG, patients=1, dicom=True, seed=5), folder)
    return next(folder.glob("*/dicom"))


@contextmanager
def annotators_page() -> Iterator[Any]:
    """A new page of one and the same annotator, as large as a small screen."""
    with browser_page() as page:
        page.set_viewport_size({"width": 1366, "height": 768})
        page.add_init_script("localStorage.setItem('petlesion.name', 'Ada')")
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
    right, usable = 0, []
    for _ in range(count):
        with annotators_page() as page:
            began = time.perf_counter()
            panel = LesionsPanel(page, url, study_uid)
            usable.append(time.perf_counter() - began)
            right += inverted(panel)
    return [("loads inverted right", f"{right} of {count}"), ("all images there, median", f"{median(usable):.1f} s")]


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
        return [
            ("lesions", str(lesions)),
            ("key to list, median", f"{median(seconds):.2f} s"),
            ("click to lesion, first, median", f"{clicks[0]:.2f} s, {median(clicks):.2f} s"),
            ("heap before, after", f"{before:.0f} MB, {after:.0f} MB after {2 * (count // 2)} edits"),
            ("console errors, failed or foreign requests", str(len(panel.trouble))),
        ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--loads", type=int, default=30)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = given.study or simulated(folder / "simulated")
        record = read_study(study)
        with running_orthanc(folder / "orthanc") as orthanc:
            orthanc.store(study)
            with running_server(folder, orthanc.dicomweb, retrain_after="0") as server:
                rows = [("PET voxels (x, y, z)", " × ".join(map(str, record.pet.array.shape[::-1])))]
                rows += loads(server.url, record.study_instance_uid, given.loads)
                rows += edits(server.url, record, given.edits, given.pictures)
    print_rows(("what", "value"), rows)


if __name__ == "__main__":
    main()
