"""Health check: a phantom with two spheres goes through the whole application."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from logs import Log
from paths import Paths
from petlesion.errors import ExitCode
from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.dicom_series import write_study
from petlesion.phantom.scanner import SCANNERS, ScannerName, Vendor
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume
from preflight import scratch_folder
from results import METADATA
from settings import CONFIG_PATH, OWN_CONFIG, PREFIX, Settings
from supervisor import supervise

SPHERE_RADII_MM: Final = (18.0, 12.0)
SPHERE_SUV: Final = 8.0
BODY_SUV: Final = 1.0
VOLUME_TOLERANCE: Final = 0.02
"""Of the total volume: the spheres are drawn voxel by voxel, so that a threshold finds them exactly."""
_SHAPE: Final = (28, 40, 40)
_SPACING_MM: Final = 4.0
_EXPECTED: Final = ("seg.dcm", "sr.dcm", "rtstruct.dcm", "report.pdf", "report.json", "lesions.csv")


def selftest(log: Log) -> int:
    """Run the application on a phantom and compare the result with the truth; return the exit code."""
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[variable]
    os.environ |= {f"{PREFIX}METHOD": "fixed", CONFIG_PATH: str(OWN_CONFIG)}
    with scratch_folder() as folder:
        study, out = Path(folder) / "study", Path(folder) / "out"
        truth_ml = write_phantom(study)
        code = supervise(Paths(study, out, Path(folder)), Settings(), log)
        problem = _problem(out, truth_ml) if code == ExitCode.DONE else "the run failed"
    if problem:
        log("self-test failed", "error", problem=problem)
        return code or ExitCode.SEGMENTATION
    log("self-test passed")
    return ExitCode.DONE


def write_phantom(folder: Path) -> float:
    """Write PET and CT of a body with two spheres as DICOM; return the volume of the spheres, mL."""
    grid = Grid.from_geometry(_SHAPE, (_SPACING_MM,) * 3, (-78.0, -78.0, -54.0))
    body, spheres = _body(), _spheres()
    suv = np.where(spheres, SPHERE_SUV, np.where(body, BODY_SUV, 0.0)).astype(np.float32)
    hu = np.where(body, 40.0, -1000.0).astype(np.float32)
    study = SimulatedStudy(
        patient_id="selftest",
        tracer=TracerName.F18_FDG,
        acquisition=Acquisition(TracerName.F18_FDG, 300.0, 70.0, 3600.0, 120.0),
        scanner=SCANNERS[ScannerName.SIEMENS_BIOGRAPH_MCT],
        pet=Volume(suv, grid),
        ct=Volume(hu, grid),
    )
    write_study(study, folder, Vendor.SIEMENS)
    return float(np.count_nonzero(spheres) * grid.voxel_ml)


def _problem(out: Path, truth_ml: float) -> str:
    missing = [name for name in _EXPECTED if not (out / name).is_file()]
    if missing:
        return f"{missing[0]} is missing"
    found = json.loads((out / METADATA).read_text(encoding="utf-8"))
    if found["n_lesions"] != len(SPHERE_RADII_MM):
        return f"{found['n_lesions']} lesions instead of {len(SPHERE_RADII_MM)}"
    if abs(found["total_tumor_volume_ml"] - truth_ml) > VOLUME_TOLERANCE * truth_ml:
        return f"{found['total_tumor_volume_ml']:.2f} mL instead of {truth_ml:.2f} mL"
    return ""


def _body() -> NDArray[np.bool_]:
    _, y, x = np.indices(_SHAPE)
    return np.asarray(((y - 19.5) / 17) ** 2 + ((x - 19.5) / 18) ** 2 < 1)


def _spheres() -> NDArray[np.bool_]:
    z, y, x = np.indices(_SHAPE)
    centers = ((13, 20, 12), (14, 20, 28))
    distances = [
        np.sqrt((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2) * _SPACING_MM for center in centers
    ]
    return np.asarray(
        np.any([distance <= radius for distance, radius in zip(distances, SPHERE_RADII_MM, strict=True)], axis=0)
    )
