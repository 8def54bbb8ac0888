"""How many studies an hour: `petlesion batch` with one process and with two, by the network and by a threshold.

Run as `python benchmarks/batch.py [--studies 8] [--method unet percist]` on an idle machine: two processes share its
cores, and each study uses as many threads as are left to it. Simulated 68Ga-DOTATATE patients, as DICOM; reading, all
results and the start of the processes are part of the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from petlesion.console import print_rows
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.tracers import TracerName

JOBS = (1, 2)


def seconds(studies: Path, out: Path, method: str, jobs: int) -> float:
    """Time of the command."""
    command = [sys.executable, "-m", "petlesion", "batch", studies, "-o", out, "--method", method, "--jobs", str(jobs)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=8)
    parser.add_argument("--method", nargs="+", default=["unet", "percist"])
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = SimulateOptions(TracerName.GA68_DOTATATE, given.studies, 700_000, dicom=True, jobs=JOBS[-1])
        simulate_cohort(options, folder / "cohort")
        studies = folder / "studies"
        studies.mkdir()
        for patient in (folder / "cohort").glob("*/dicom"):
            (studies / patient.parent.name).symlink_to(patient)
        for method in given.method:
            took = [seconds(studies, folder / f"{method}{jobs}", method, jobs) for jobs in JOBS]
            for jobs, each in zip(JOBS, took, strict=True):
                hourly = given.studies / each * 3600
                rows.append((method, str(jobs), f"{each:.1f}", f"{hourly:.0f}", f"{took[0] / each:.2f}"))
    print_rows(("method", "processes", "s", "studies an hour", "throughput / one process"), rows)


if __name__ == "__main__":
    main()
