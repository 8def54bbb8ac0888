"""Time and memory of simulating patients: steps of one patient on one core, and patients an hour by processes.

Run as `OMP_NUM_THREADS=1 python benchmarks/simulation.py [--patients N] [--scanner NAME]`. Memory is the peak of the
process (ru_maxrss). With torch and a GPU, OSEM is timed on both.
"""

from __future__ import annotations

import argparse
import resource
import time
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


def one_patient(options: SimulateOptions) -> None:
    """Print the time of each step of one patient, and the peak of memory."""
    print(f"one patient, body of {options.spacing_mm:g} mm, {options.tracer}")
    start = time.perf_counter()
    patient = simulate_patient(options.tracer, SEED, options.cohort_options())
    print(f"{'anatomy, uptake, disease, CT':>40} {time.perf_counter() - start:>7.1f} s")
    names = [options.scanner] if options.scanner else list(SCANNERS)
    for name in names:
        for method in Reconstruction:
            start = time.perf_counter()
            scan_patient(patient, replace(options, scanner=name, reconstruction=method))
            device = (compute_device() if method is Reconstruction.OSEM else None) or "cpu"
            print(f"{f'{name} {method} {device}':>40} {time.perf_counter() - start:>7.1f} s")
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        simulate_seed(options, SEED, Path(folder))
        print(f"{'all, written as NIfTI':>40} {time.perf_counter() - start:>7.1f} s")
        start = time.perf_counter()
        simulate_seed(replace(options, dicom=True), SEED + 1, Path(folder))
        print(f"{'all, written as DICOM too':>40} {time.perf_counter() - start:>7.1f} s")
    print(f"{'peak memory':>40} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:>7.2f} GiB")


def many_patients(options: SimulateOptions) -> None:
    """Print patients an hour by number of processes."""
    for jobs in (1, 2):
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            simulate_cohort(replace(options, jobs=jobs), Path(folder) / "cohort")
            seconds = time.perf_counter() - start
        print(f"{options.patients} patients, {jobs} processes: {3600 * options.patients / seconds:.0f} an hour")


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
