"""Time and memory of reading a PET from a folder to SUVbw, against SimpleITK reading its stored values.

Run as `python benchmarks/reading.py` beside `../shared/data`. Two series: the whole-body PET of `sts_raw` (267 slices
of 128 x 128), and 600 slices of 400 x 400 with its headers, written to a temporary folder. Both readers see warm files
and take turns; each figure is the shortest of several runs. Ours is `read_study`: look at every file, choose, check,
decode, convert to SUVbw. SimpleITK's is `GetGDCMSeriesFileNames` and `ImageSeriesReader` to float32, which knows no
SUV. Memory is the peak of a process beyond what it holds after its imports, divided by the float32 volume.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

SMALL = Path(__file__).resolve().parents[2] / "shared" / "data" / "sts_raw" / "STS_001" / "FDG_PET" / "image"
SLICES, MATRIX = 600, 400
RUNS = 7
TARGET_TIME, TARGET_MEMORY = 1.3, 3.0


def ours(folder: Path) -> int:
    """Read with this library; size of the volume in bytes."""
    from petlesion.reader import read_study

    return read_study(folder, ct=False).pet.array.nbytes


def simpleitk(folder: Path) -> int:
    """Read with SimpleITK; size of the volume in bytes."""
    import SimpleITK as sitk

    sitk.ProcessObject_SetGlobalWarningDisplay(False)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    return 4 * reader.Execute().GetNumberOfPixels()


def write_large(folder: Path) -> None:
    """600 slices of 400 x 400 with the headers of a real series, noise as pixels."""
    template = dcmread(sorted(SMALL.iterdir())[0])
    rng = np.random.default_rng(0)
    template.Rows = template.Columns = MATRIX
    template.PixelSpacing = [600 / MATRIX, 600 / MATRIX]
    template.NumberOfSlices = SLICES
    for k in range(SLICES):
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        template.ImagePositionPatient = [-300.0, -300.0, 3.0 * k]
        template.InstanceNumber = template.ImageIndex = k + 1
        template.RescaleSlope = f"{rng.uniform(0.2, 5):.6f}"
        template.PixelData = rng.integers(0, 32767, (MATRIX, MATRIX), dtype=np.int16).tobytes()
        template.save_as(folder / f"{k:04d}.dcm")


def compare(folder: Path) -> None:
    """Print one line: times, their ratio, memory."""
    times: dict[Callable[[Path], int], list[float]] = {ours: [], simpleitk: []}
    for _ in range(RUNS):
        for read, taken in times.items():
            start = time.perf_counter()
            size = read(folder)
            taken.append(time.perf_counter() - start)
    best = {read: min(taken) for read, taken in times.items()}
    memory = {read: peak_memory(read, folder) / size for read in times}
    files = sum(1 for _ in folder.iterdir())
    ratio = best[ours] / best[simpleitk]
    print(
        f"{files:>6} {size / 2**20:>10.0f} {best[ours]:>8.3f} {best[simpleitk]:>12.3f} {ratio:>7.2f}"
        f" {memory[ours]:>12.2f} {memory[simpleitk]:>16.2f}"
    )


def peak_memory(read: Callable[[Path], int], folder: Path) -> int:
    """Bytes that a process of its own needs beyond its imports."""
    command = [sys.executable, __file__, read.__name__, str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(name: str, folder: Path) -> None:
    """Print the growth of this process while reading; for `peak_memory`."""
    import SimpleITK  # noqa: F401

    import petlesion.reader  # noqa: F401

    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is forgotten
    before = _peak_kib()
    {"ours": ours, "simpleitk": simpleitk}[name](folder)
    print(1024 * (_peak_kib() - before))


def _peak_kib() -> int:
    """Peak resident memory of this process since it began (Linux; ru_maxrss would begin with its parent's)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def main() -> None:
    """Print the table."""
    print(f"time at most {TARGET_TIME} of SimpleITK's, memory below {TARGET_MEMORY} times the volume")
    print(
        f"{'files':>6} {'volume MiB':>10} {'ours s':>8} {'SimpleITK s':>12} {'ratio':>7} {'memory ours':>12}"
        f" {'memory SimpleITK':>16}"
    )
    compare(SMALL)
    with tempfile.TemporaryDirectory() as temporary:
        write_large(Path(temporary))
        compare(Path(temporary))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure_memory(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
