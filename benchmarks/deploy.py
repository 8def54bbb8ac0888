"""Time of the deployed application: 200 x 200 x 300 PET with 512 x 512 x 300 CT, from start to all outputs.

    python benchmarks/deploy.py [--image localhost/petlesion-map:VERSION] [--models FOLDER] [--method percist] [--stock]

Writes a simulated study as DICOM, runs the container on it (without podman or the image: `python deploy_app`), and
prints seconds of each operator, the share that is not segmentation, and the peak memory. `--stock` runs the App SDK's
own operators on the same study for the part that they can do: loader, selector, volume of one series, one segment.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from segmentation import patient

from petlesion import __version__
from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.dicom_series import write_study
from petlesion.phantom.scanner import SCANNERS, ScannerName, Vendor
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

REPOSITORY = Path(__file__).resolve().parents[1]
PET_SHAPE, PET_SPACING_MM = (300, 200, 200), 3.3
CT_SHAPE = (300, 512, 512)
IMAGE = f"localhost/petlesion-map:{__version__}"
PODMAN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
RUN = ["run", "--rm", "--network", "none", "--read-only"]
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--no-healthcheck"]
BODY_SUV = 0.3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Time the deployed application.")
    parser.add_argument("--image", default=IMAGE, help="default: %(default)s")
    parser.add_argument("--models", type=Path, help="folder of models, for the network")
    parser.add_argument("--method", help="default: as the application chooses")
    parser.add_argument("--stock", action="store_true", help="the App SDK's own operators too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deploy-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder / "study")
        files = sum(path.is_file() for path in (folder / "study").rglob("*"))
        print(f"{files} DICOM files; {len(os.sched_getaffinity(0))} CPUs")
        run(folder, given.image, given.models, given.method)
        if given.stock:
            run_stock(folder)


def write(folder: Path) -> None:
    """Write the study: a body with organs and lesions, and a CT of it."""
    whole = patient((2 * PET_SHAPE[0], *PET_SHAPE[1:]), PET_SPACING_MM).pet
    first = PET_SHAPE[0] // 2
    origin = whole.grid.to_world((first, 0, 0))
    trunk = whole.array[first : first + PET_SHAPE[0]]
    pet = Volume(trunk, Grid.from_geometry(PET_SHAPE, whole.grid.spacing_mm, origin))
    spacing = PET_SHAPE[2] * PET_SPACING_MM / CT_SHAPE[2]
    grid = Grid.from_geometry(CT_SHAPE, (3.0, spacing, spacing), pet.grid.origin_mm)
    rows = np.arange(CT_SHAPE[1]) * PET_SHAPE[1] // CT_SHAPE[1]
    body = pet.array > BODY_SUV
    hu = np.where(body[:, rows][:, :, rows], 40, -1000).astype(np.float32)
    hu += np.random.default_rng(0).normal(0, 20, hu.shape).astype(np.float32)
    study = SimulatedStudy(
        patient_id="benchmark",
        tracer=TracerName.GA68_DOTATATE,
        acquisition=Acquisition(TracerName.GA68_DOTATATE, 150.0, 70.0, 3600.0, 120.0),
        scanner=SCANNERS[ScannerName.SIEMENS_BIOGRAPH_MCT],
        pet=pet,
        ct=Volume(hu, grid),
    )
    write_study(study, folder, Vendor.SIEMENS)


def run(folder: Path, image: str, models: Path | None, method: str | None) -> None:
    """Run the application and print its times."""
    out = folder / "out"
    out.mkdir()
    variables = {"PETLESION_METHOD": method} if method else {}
    contained = bool(shutil.which("podman"))
    contained = contained and subprocess.run([*PODMAN, "image", "exists", image], check=False).returncode == 0
    if contained:
        options = [f"--env={name}={value}" for name, value in variables.items()]
        mounts = ["-v", f"{folder / 'study'}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]
        mounts += ["-v", f"{models.resolve()}:/opt/holoscan/models:ro"] if models else []
        command = [*PODMAN, *RUN, *LIMITS, "--user", f"{os.getuid()}:{os.getgid()}", *options, *mounts, image]
    else:
        command = [sys.executable, str(REPOSITORY / "deploy_app"), "-i", str(folder / "study"), "-o", str(out)]
        command += ["-m", str(models or folder / "none")]
    started = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    log = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    size = sum(path.stat().st_size for path in out.iterdir())
    chosen = next(line["method"] for line in log if line["event"] == "graph starts")
    lesions = json.loads((out / "metadata.json").read_text(encoding="utf-8"))["n_lesions"]
    print(f"\n{'container' if contained else 'process'}, {chosen}, {lesions} lesions, {size / 1e6:.1f} MB of results")
    operators = {line["operator"]: line["seconds"] for line in log if line["event"] == "operator done"}
    for name, value in operators.items():
        print(f"{name:24}{value:8.2f} s")
    print(f"{'start, imports, end':24}{seconds - sum(operators.values()):8.2f} s")
    print(f"{'start to all outputs':24}{seconds:8.2f} s")
    print(f"share beyond segmentation {1 - operators['segment'] / seconds:.0%}; peak {log[-1]['peak_memory_mb']} MB")


def run_stock(folder: Path) -> None:
    """Run the App SDK's operators in a process of their own, and print its times."""
    script = Path(__file__).with_name("deploy_stock.py")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, script, folder / "study", folder / "stock"], capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"the App SDK's operators ended with code {done.returncode}: {done.stderr[-2000:]}")
    print("\nstock operators of the App SDK, PET only: no SUV, no CT, no lesions told apart, no SR, RTSTRUCT, PDF")
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("|")).replace("|", ""))
    print(f"{'start to SEG':24}{seconds:8.2f} s")


if __name__ == "__main__":
    main()
