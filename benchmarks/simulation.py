"""Time and memory of simulating patients: steps of one patient on one core, and patients an hour by processes.

Run as `OMP_NUM_THREADS=1 python benchmarks/simulation.py [--patients N] [--scanner NAME]`. Each line has seconds that
passed and seconds of CPU: one thread does the work, so that the second is the time on a free core even where others use
the machine. Memory is the peak of the process (ru_maxrss). With torch and a GPU, OSEM runs there.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from petlesion.phantom.imaging import Reconstruction
from petlesion.phantom.patient import simulate_patient
from petlesion.phantom.reconstruction import compute_device
from petlesion.phantom.scanner import SCANNERS, ScannerName
from petlesion.phantom.simulate import SimulateOptions, scan_patient, simulate_cohort, simulate_seed
from petlesion.tracers import TracerName

SEED = 11


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Print seconds that a step took, and seconds of CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{name:>40} {time.perf_counter() - start:>7.1f} s {time.process_time() - cpu:>7.1f} s of CPU", flush=True)


def one_patient(options: SimulateOptions) -> None:
    """Print the time of each step of one patient, and the peak of memory."""
    print(f"one patient, body of {options.spacing_mm:g} mm, {options.tracer}")
    with timed("anatomy, uptake, disease, CT"):
        patient = simulate_patient(options.tracer, SEED, options.cohort_options())
    names = [options.scanner] if options.scanner else list(SCANNERS)
    for method in Reconstruction:
        device = (compute_device() if method is Reconstruction.OSEM else None) or "cpu"
        for name in names:
            with timed(f"{name} {method} {device}"):
                scan_patient(patient, replace(options, scanner=name, reconstruction=method))
    with TemporaryDirectory() as folder:
        with timed("all, written as NIfTI"):
            simulate_seed(options, SEED, Path(folder))
        with timed("all, written as DICOM too"):
            simulate_seed(replace(options, dicom=True), SEED + 1, Path(folder))
    print(f"{'peak memory':>40} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:>7.2f} GiB")


def children_cpu_s() -> float:
    """CPU time of ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def many_patients(options: SimulateOptions) -> None:
    """Print patients an hour by number of processes, and what a patient costs with their start shared out."""
    for jobs in (1, 2):
        with TemporaryDirectory() as folder:
            start, cpu = time.perf_counter(), children_cpu_s()
            simulate_cohort(replace(options, jobs=jobs), Path(folder) / "cohort")
            hours, cost = (time.perf_counter() - start) / 3600, (children_cpu_s() - cpu) / options.patients
        print(
            f"{options.patients} patients, {jobs} processes: {options.patients / hours:.0f} an hour, "
            f"{cost:.1f} s of CPU each"
        )


def main() -> None:
    """Parse options and run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--spacing", type=float, default=4.0)
    parser.add_argument("--tracer", type=TracerName, default=TracerName.F18_FDG)
    parser.add_argument("--scanner", type=ScannerName, default=None)
    given = parser.parse_args()
    options = SimulateOptions(
        given.tracer, patients=given.patients, seed=SEED, spacing_mm=given.spacing, scanner=given.scanner
    )
    one_patient(options)
    many_patients(options)


if __name__ == "__main__":
    main()
