"""Cohorts of simulated patients as folders: drawn, scanned, written; in parallel, each patient complete or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from petlesion.case_files import SIMULATED_TRUTH
from petlesion.child_processes import threads_of_children, worker_pool
from petlesion.errors import OutputError, UsageError, reason
from petlesion.phantom.acquisition import PROTOCOLS, Acquisition, draw_acquisition
from petlesion.phantom.cohort import Cohort, CohortOptions
from petlesion.phantom.draws import stream
from petlesion.phantom.imaging import Reconstruction, Scene, acquire
from petlesion.phantom.motion import draw_breathing, draw_misregistration, moving_tissue
from petlesion.phantom.patient import SimulatedPatient, simulate_patient
from petlesion.phantom.scanner import SCANNERS, Scanner, ScannerName, Vendor
from petlesion.progress import Progress, silent
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

MANIFEST = "manifest.jsonl"
"""One line of JSON a scan: everything that was drawn."""
SIMULATOR = 1
"""Raised with each change of the code that gives other patients for the same options, so that `resume` mixes none."""
FOLLOW_UP_AFTER = timedelta(days=90)
"""Between the scans of a patient."""

_FIRST_DAY = datetime(2000, 1, 1, 9)
_PARTIAL = ".partial-"
_COHORT_SCANNER = {
    Cohort.S1_LIVER: ScannerName.GE_DISCOVERY_STE_256,
    Cohort.S2: ScannerName.SIEMENS_BIOGRAPH_FINE,
    Cohort.S3: ScannerName.SIEMENS_BIOGRAPH_MCT,
}
_VENDOR_SCANNER = {
    Vendor.GE: ScannerName.GE_DISCOVERY_STE,
    Vendor.SIEMENS: ScannerName.SIEMENS_BIOGRAPH_MCT,
    Vendor.PHILIPS: ScannerName.PHILIPS_GEMINI_TF,
}


@dataclass(frozen=True)
class SimulateOptions:
    """Which patients, how scanned, how written.

    Attributes
    ----------
    tracer
        One of the simulated tracers.
    patients
        How many.
    seed
        Of the first patient; the next ones take the following numbers.
    cohort
        Preset of the disease.
    spacing_mm
        Voxel edge of the simulated body.
    diseased_fraction
        Of the patients; None leaves it to the preset.
    confluent
        Whether confluent disease may occur.
    scanner
        Preset; None takes that of the vendor, else that of the published cohort.
    reconstruction
        Noise model or OSEM.
    dicom
        Also write PT and CT series and the truth as DICOM SEG.
    vendor
        Whose way of writing headers; None takes the scanner's.
    extra_series
        With `dicom`, also write the series that a reader must pass over.
    followup
        Scan every patient a second time, months later.
    attenuation_artefact
        Correct attenuation with the shifted CT.
    jobs
        Processes.
    resume
        Keep patients that are complete already.
    """

    tracer: TracerName
    patients: int = 1
    seed: int = 0
    cohort: Cohort = Cohort.DEFAULT
    spacing_mm: float = 4.0
    diseased_fraction: float | None = None
    confluent: bool = False
    scanner: ScannerName | None = None
    reconstruction: Reconstruction = Reconstruction.FAST
    dicom: bool = False
    vendor: Vendor | None = None
    extra_series: bool = False
    followup: bool = False
    attenuation_artefact: bool = False
    jobs: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        if self.tracer not in PROTOCOLS:
            raise UsageError(
                f"tracer {self.tracer} cannot be simulated", remedy=f"choose one of {', '.join(PROTOCOLS)}"
            )
        for name, value, least in (("patients", self.patients, 1), ("seed", self.seed, 0), ("jobs", self.jobs, 1)):
            if value < least:
                raise UsageError(f"--{name} {value} is too small", remedy=f"give at least {least}")
        try:
            self.cohort_options()
        except ValueError as error:
            raise UsageError(str(error), remedy="give a value inside") from error

    def cohort_options(self) -> CohortOptions:
        """How patients are drawn."""
        return CohortOptions(
            cohort=self.cohort,
            spacing_mm=self.spacing_mm,
            diseased_fraction=self.diseased_fraction,
            confluent=self.confluent,
        )

    def chosen_scanner(self) -> Scanner:
        """Scanner of all patients."""
        name = self.scanner
        if name is None and self.vendor is not None:
            name = _VENDOR_SCANNER[self.vendor]
        return SCANNERS[name or _COHORT_SCANNER.get(self.cohort, ScannerName.SIEMENS_BIOGRAPH_MCT)]

    def identity(self) -> dict[str, Any]:
        """What decides the content of a patient's folder, for `resume` and the manifest."""
        given = asdict(self)
        for name in ("patients", "seed", "jobs", "resume"):
            del given[name]
        return {**given, "scanner": self.chosen_scanner().name.value, "simulator": SIMULATOR}

    def image_identity(self) -> str:
        """What decides the images of a patient; neither series beside them nor a second scan do."""
        given = self.identity()
        for name in ("dicom", "extra_series", "followup"):
            del given[name]
        return json.dumps(given, sort_keys=True)


def simulate_cohort(options: SimulateOptions, out: Path, progress: Progress = silent) -> Path:
    """Simulate patients into one folder each.

    The same options give the same files, whatever the number of processes.

    Parameters
    ----------
    options
        What to simulate.
    out
        Folder of the cohort: `<patient>/pet.nii.gz` (SUVbw), `ct.nii.gz` (HU), `truth/`, with DICOM `dicom/`, and
        `manifest.jsonl` of all patients in it.
    progress
        Told how many patients are done.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    OutputError
        If `out` cannot be written, or holds something already and `options.resume` is False.
    UsageError
        If `out` holds these patients with other options, or by another version of the simulator.
    """
    seeds = range(options.seed, options.seed + options.patients)
    try:
        _prepare(out, resume=options.resume)
        missing = [seed for seed in seeds if not _finished(options, seed, out)]
        kept = options.patients - len(missing)
        progress(kept, options.patients)
        for done, _ in enumerate(_simulate_all(options, missing, out), start=kept + 1):
            progress(done, options.patients)
        return _write_manifest(out)
    except OSError as error:
        raise OutputError(
            f"patients cannot be written ({reason(error)})",
            where=out,
            remedy="give a folder with -o that is writable and has space",
        ) from error


def _prepare(out: Path, *, resume: bool) -> None:
    """Create the folder; refuse one that holds something, remove what an interrupted run left."""
    if out.exists() and not out.is_dir():
        raise OutputError("a file is in the way", where=out, remedy="give a folder with -o")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):
        raise PermissionError(13, "permission denied", str(out))
    if any(out.iterdir()) and not resume:
        raise OutputError("the folder is not empty", where=out, remedy="give another folder with -o, or --resume")
    for partial in out.glob(f"{_PARTIAL}*"):
        shutil.rmtree(partial)


def _visits(options: SimulateOptions, seed: int) -> list[str]:
    """Folders of a patient: one a scan."""
    name = f"{options.tracer.value}-{options.cohort.value}-{seed:06d}"
    return [name, f"{name}-visit1"] if options.followup else [name]


def _finished(options: SimulateOptions, seed: int, out: Path) -> bool:
    """Whether all scans of a patient are there."""
    complete = [_is_complete(options, name, out) for name in _visits(options, seed)]  # checks all, before any work
    return all(complete)


def _is_complete(options: SimulateOptions, name: str, out: Path) -> bool:
    """Whether a scan is there, which must then be whole and of these options."""
    path = out / name / SIMULATED_TRUTH
    if not (out / name).exists():
        return False
    if not path.exists():
        raise OutputError(f"{name} is not complete", where=out, remedy="remove that folder, or give another with -o")
    # Patients of before there was such a number count as those of simulator 1.
    if {"simulator": 1, **_manifest_line(path)["options"]} != json.loads(json.dumps(options.identity())):
        raise UsageError(
            f"{name} was simulated with other options, or by another version of the simulator",
            where=out,
            remedy="remove that folder, or give another with -o",
        )
    return True


def _simulate_all(options: SimulateOptions, seeds: list[int], out: Path) -> Iterator[list[dict[str, Any]]]:
    """Simulate in processes of their own.

    One patient, too: with one thread for linear algebra, as in any other number of processes, so that results are the
    same to the last bit.
    """
    if not seeds:
        return
    with threads_of_children(1):
        pool = worker_pool(min(options.jobs, len(seeds)))
        try:
            for future in as_completed([pool.submit(simulate_seed, options, seed, out) for seed in seeds]):
                yield future.result()
        except BrokenProcessPool as error:
            remedy = "take fewer --jobs, or guard what a script of yours runs by if __name__ == '__main__'"
            raise OutputError("a process ended before its patient", where=out, remedy=remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def simulate_seed(options: SimulateOptions, seed: int, out: Path) -> list[dict[str, Any]]:
    """Simulate one patient into `out`, with all visits that are not there yet; returns the lines of the manifest."""
    patient = simulate_patient(options.tracer, seed, options.cohort_options())
    rows = [_write_visit(patient, 0, options, out)]
    if options.followup:
        from petlesion.phantom.followup import simulate_follow_up

        later = simulate_follow_up(patient)
        changes = {"course": later.course.value, "changes": [asdict(change) for change in later.changes]}
        rows.append(_write_visit(later.follow_up, 1, options, out, changes))
    return rows


@dataclass(frozen=True, eq=False)
class Scan:
    """Images of a patient and how they came about."""

    pet: Volume
    ct: Volume
    acquisition: Acquisition
    record: dict[str, Any]


def scan_patient(patient: SimulatedPatient, options: SimulateOptions, visit: int = 0) -> Scan:
    """Image a patient: dose, breathing and shift are drawn from his seed.

    Parameters
    ----------
    patient
        Activity and CT on the fine grid.
    options
        Scanner and reconstruction.
    visit
        Every visit has draws of its own.
    """
    anatomy, scanner = patient.anatomy, options.chosen_scanner()
    rng = stream(patient.seed, f"scan {visit}")
    acquisition = draw_acquisition(patient.tracer, scanner, anatomy.weight_kg, rng)
    breathing = draw_breathing(anatomy, rng)
    shift = draw_misregistration(rng)
    scene = Scene(
        activity_suv=patient.activity_suv,
        ct_hu=patient.ct_hu,
        grid=anatomy.grid,
        moving=moving_tissue(anatomy),
        breathing=breathing,
        ct_shift_mm=shift if options.attenuation_artefact else (0.0, 0.0, 0.0),
    )
    pet_grid = scanner.grid_over(anatomy.grid)
    suv = acquire(scene, scanner, acquisition, pet_grid, options.reconstruction, rng)
    fine = anatomy.grid
    ct_grid = Grid.from_geometry(fine.shape, fine.spacing_mm, np.add(fine.origin_mm, shift))
    record = {
        "options": options.identity(),
        "acquisition": {
            "injected_mbq": acquisition.injected_mbq,
            "uptake_s": acquisition.uptake_s,
            "bed_s": acquisition.bed_s,
        },
        "breathing_mm": breathing and breathing.amplitude_mm,
        "ct_shift_mm": list(shift),
    }
    return Scan(Volume(suv, pet_grid), Volume(patient.ct_hu, ct_grid), acquisition, record)


def _write_visit(
    patient: SimulatedPatient, visit: int, options: SimulateOptions, out: Path, changes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Scan one visit and write its folder, which appears when it is complete; one that is there already is kept."""
    from petlesion.nifti import write_image
    from petlesion.phantom.truth_files import write_truth

    name = _visits(options, patient.seed)[visit]
    if _is_complete(options, name, out):
        return _manifest_line(out / name / SIMULATED_TRUTH)
    scan = scan_patient(patient, options, visit)
    record = {**patient.parameters, **scan.record, "folder": name, **(changes or {})}
    partial = out / f"{_PARTIAL}{name}"
    partial.mkdir()
    try:
        write_image(scan.pet, partial / "pet.nii.gz")
        write_image(Volume(np.rint(scan.ct.array).astype(np.int16), scan.ct.grid), partial / "ct.nii.gz")
        lesions = write_truth(patient, scan.pet.grid, record, partial / "truth")
        if options.dicom:
            _write_dicom(patient, visit, scan, lesions, options, partial / "dicom")
        partial.rename(out / name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    as_read_back: dict[str, Any] = json.loads(json.dumps(record))
    return as_read_back


def _write_dicom(
    patient: SimulatedPatient,
    visit: int,
    scan: Scan,
    lesions: np.ndarray[Any, np.dtype[np.uint16]],
    options: SimulateOptions,
    folder: Path,
) -> None:
    from petlesion.phantom.dicom_series import write_study
    from petlesion.phantom.simulated_study import SimulatedStudy
    from petlesion.phantom.truth_files import truth_segmentation

    anatomy, scanner = patient.anatomy, options.chosen_scanner()
    first = _FIRST_DAY + timedelta(days=patient.seed % 3650)
    study = SimulatedStudy(
        patient_id=patient.patient_id,
        timepoint=visit,
        simulation=options.image_identity(),
        sex=anatomy.sex.value,
        born=date(first.year - anatomy.age_years, 1, 1),
        height_m=anatomy.height_m,
        weight_kg=anatomy.weight_kg,
        injected_at=first + visit * FOLLOW_UP_AFTER,
        tracer=patient.tracer,
        acquisition=scan.acquisition,
        scanner=scanner,
        pet=scan.pet,
        ct=scan.ct,
    )
    headers = write_study(study, folder, options.vendor or scanner.vendor, extra_series=options.extra_series)
    segmentation = truth_segmentation(patient, lesions, scan.pet, headers)
    if segmentation is not None:
        (folder / "SEG").mkdir()
        segmentation.save_as(folder / "SEG" / "truth.dcm", enforce_file_format=True)


def _manifest_line(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in record.items() if key not in ("schema", "labels")}


def _write_manifest(out: Path) -> Path:
    """List all patients of the folder, those of earlier runs too."""
    lines = [json.dumps(_manifest_line(path)) + "\n" for path in sorted(out.glob(f"*/{SIMULATED_TRUTH}"))]
    manifest = out / MANIFEST
    partial = manifest.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(manifest)
    return manifest
