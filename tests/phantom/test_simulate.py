"""The driver: folders, manifest, reproducibility, resuming, errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from petlesion.case_files import case_facts
from petlesion.errors import OutputError, UsageError
from petlesion.nifti import read_image, read_labels
from petlesion.phantom import simulate
from petlesion.phantom.cohort import Cohort
from petlesion.phantom.scanner import ScannerName, Vendor
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort, simulate_seed
from petlesion.reader import read_study
from petlesion.tracers import TracerName

COARSE = SimulateOptions(
    TracerName.GA68_DOTATATE,
    patients=2,
    seed=5,
    cohort=Cohort.S1_LIVER,
    spacing_mm=6.0,
    diseased_fraction=1.0,
    scanner=ScannerName.GE_DISCOVERY_STE,
    jobs=2,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients, as DICOM of GE as well."""
    out = tmp_path_factory.mktemp("cohort") / "new" / "folder"
    simulate_cohort(replace(COARSE, dicom=True), out)
    return out


def patients_of(cohort: Path) -> list[Path]:
    return sorted(path for path in cohort.iterdir() if path.is_dir())


def test_folders_and_manifest(cohort: Path) -> None:
    rows = [json.loads(line) for line in (cohort / "manifest.jsonl").read_text().splitlines()]
    assert [row["folder"] for row in rows] == [path.name for path in patients_of(cohort)]
    assert [row["seed"] for row in rows] == [5, 6]
    for row in rows:
        assert {"organ_suv", "lesions", "acquisition", "breathing_mm", "ct_shift_mm", "options"} <= row.keys()
        assert row["options"]["scanner"] == ScannerName.GE_DISCOVERY_STE
        truth = json.loads((cohort / row["folder"] / "truth" / "truth.json").read_text())
        assert truth["schema"] == "petlesion-truth/1"
        assert truth["lesions"] == row["lesions"]


def test_images_and_truth_share_the_grid(cohort: Path) -> None:
    for folder in patients_of(cohort):
        pet = read_image(folder / "pet.nii.gz")
        lesions = read_labels(folder / "truth" / "lesions.nii.gz")
        organs = read_labels(folder / "truth" / "organs.nii.gz")
        assert lesions.grid.is_close(pet.grid)
        assert organs.grid.is_close(pet.grid)
        table = json.loads((folder / "truth" / "truth.json").read_text())
        assert set(np.unique(lesions.array)) - {0} <= {lesion["id"] for lesion in table["lesions"]}
        liver = np.isin(organs.array, [int(k) for k, v in table["labels"].items() if v["organ"] == "liver"])
        assert 3.0 < np.median(pet.array[liver]) < 12.0
        outside = organs.array == 0
        assert pet.array[outside].mean() < 0.1 * pet.array[~outside].mean()


def test_study_reads_from_nifti_and_from_dicom(cohort: Path) -> None:
    folder = patients_of(cohort)[0]
    plain, dicom = read_study(folder, tracer=TracerName.GA68_DOTATATE), read_study(folder / "dicom")
    assert dicom.tracer.name is TracerName.GA68_DOTATATE
    hot = plain.pet.array > 1.0
    np.testing.assert_allclose(dicom.pet.array[hot], plain.pet.array[hot], rtol=0.005)
    assert plain.ct is not None
    assert dicom.ct is not None
    assert np.abs(plain.ct.array - dicom.ct.array).mean() < 2.0


def test_dicom_truth_holds_the_lesions(cohort: Path) -> None:
    for folder in patients_of(cohort):
        lesions = read_labels(folder / "truth" / "lesions.nii.gz").array
        segmentation = pydicom.dcmread(folder / "dicom" / "SEG" / "truth.dcm")
        assert len(segmentation.SegmentSequence) == np.unique(lesions).size - 1
        assert segmentation.pixel_array.sum() == np.count_nonzero(lesions)


@pytest.mark.parametrize("vendor", list(Vendor))
def test_images_and_truth_are_valid_dicom(vendor: Vendor, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: make system-tools")
    simulate_seed(replace(COARSE, dicom=True, vendor=vendor, scanner=None), 5, tmp_path)
    series = sorted(tmp_path.glob("*/dicom/*"))
    assert [path.name for path in series] == ["CT", "PT", "SEG"]
    for folder in series:
        files = sorted(folder.iterdir())
        for path in {files[0], files[len(files) // 2], files[-1]}:
            said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
            assert said.stderr, path.name  # it names the IOD of what it could read
            assert [line for line in said.stderr.splitlines() if line.startswith("Error")] == [], path.name


def test_a_patient_does_not_depend_on_the_others(cohort: Path, tmp_path: Path) -> None:
    simulate_cohort(replace(COARSE, patients=1, seed=6, jobs=1), tmp_path / "alone")
    name = patients_of(cohort)[1].name
    for file in ("pet.nii.gz", "ct.nii.gz", "truth/lesions.nii.gz"):
        assert (tmp_path / "alone" / name / file).read_bytes() == (cohort / name / file).read_bytes()


def test_a_patient_scanned_otherwise_is_another_study(cohort: Path, tmp_path: Path) -> None:
    """Otherwise one would take the place of the other in an archive."""
    simulate_seed(replace(COARSE, dicom=True, scanner=ScannerName.GE_DISCOVERY_STE_256), 5, tmp_path)
    first, second = (
        [pydicom.dcmread(path, stop_before_pixels=True) for path in (folder / "dicom").rglob("*.dcm")]
        for folder in (patients_of(cohort)[0], *patients_of(tmp_path))
    )
    assert {header.PatientID for header in first} == {header.PatientID for header in second}
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert {header[keyword].value for header in first}.isdisjoint(header[keyword].value for header in second)


@pytest.mark.parametrize("option", ["dicom", "extra_series", "followup"])
def test_images_do_not_depend_on_what_is_written_beside_them(option: str) -> None:
    assert replace(COARSE, **{option: True}).image_identity() == COARSE.image_identity()  # type: ignore[arg-type]


def test_follow_up_is_a_second_study_of_the_patient(tmp_path: Path) -> None:
    rows = simulate_seed(replace(COARSE, followup=True, dicom=True), 300, tmp_path)  # in another year than the first
    first, second = (
        pydicom.dcmread(tmp_path / row["folder"] / "dicom" / "PT" / "0001.dcm", stop_before_pixels=True) for row in rows
    )
    assert first.PatientID == second.PatientID == rows[0]["folder"]
    assert [case_facts(tmp_path / row["folder"]).patient_id for row in rows] == [first.PatientID] * 2
    assert first.StudyDate[:4] < second.StudyDate[:4]
    assert first.PatientBirthDate == second.PatientBirthDate
    assert int(first.PatientAge[:3]) + 1 == int(second.PatientAge[:3])
    assert first.StudyInstanceUID != second.StudyInstanceUID
    ids = {lesion["id"] for lesion in rows[0]["lesions"]}
    assert {change["baseline_id"] for change in rows[1]["changes"]} - {None} == ids


def test_resume_keeps_complete_patients(cohort: Path) -> None:
    first, second = patients_of(cohort)
    before = (first / "pet.nii.gz").stat().st_mtime_ns
    content = (second / "pet.nii.gz").read_bytes()
    (second / "truth" / "truth.json").unlink()
    (cohort / ".partial-left").mkdir()
    with pytest.raises(OutputError, match="not complete"):
        simulate_cohort(replace(COARSE, dicom=True, resume=True), cohort)
    for path in sorted(second.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    second.rmdir()
    seen: list[tuple[int, int]] = []
    manifest = simulate_cohort(
        replace(COARSE, dicom=True, resume=True), cohort, lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]
    assert (first / "pet.nii.gz").stat().st_mtime_ns == before
    assert (second / "pet.nii.gz").read_bytes() == content
    assert len(manifest.read_text().splitlines()) == 2
    assert not list(cohort.glob(".partial*"))


@pytest.mark.parametrize("missing", [0, 1])
def test_resume_adds_the_visit_that_is_missing(tmp_path: Path, missing: int) -> None:
    """Of a patient whose simulation was interrupted between two visits, or one of whose visits was removed."""
    options = replace(COARSE, patients=1, followup=True)
    manifest = simulate_cohort(options, tmp_path)
    before, visits = manifest.read_text(), patients_of(tmp_path)
    written = [(visit / "pet.nii.gz").stat().st_mtime_ns for visit in visits]
    shutil.rmtree(visits[missing])
    simulate_cohort(replace(options, resume=True), tmp_path)
    changed = [(visit / "pet.nii.gz").stat().st_mtime_ns != time for visit, time in zip(visits, written, strict=True)]
    assert changed == [missing == 0, missing == 1]
    assert manifest.read_text() == before


def test_resume_lists_patients_of_earlier_runs(cohort: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(cohort, tmp_path / "cohort"))
    manifest = simulate_cohort(replace(COARSE, dicom=True, resume=True, patients=1, seed=7), out)
    assert [json.loads(line)["seed"] for line in manifest.read_text().splitlines()] == [5, 6, 7]


def test_resume_refuses_patients_of_another_simulator(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "SIMULATOR", simulate.SIMULATOR + 1)
    with pytest.raises(UsageError, match="another version of the simulator"):
        simulate_cohort(replace(COARSE, dicom=True, resume=True), cohort)


def test_patients_are_those_of_this_simulator(cohort: Path) -> None:
    """Where this fails on purpose, raise `SIMULATOR` along with these numbers."""
    found = []
    for folder in patients_of(cohort):
        pet, ct = read_image(folder / "pet.nii.gz").array, read_image(folder / "ct.nii.gz").array
        lesions = read_labels(folder / "truth" / "lesions.nii.gz").array > 0
        found.append((pet.mean(), pet.max(), ct.mean(), np.count_nonzero(lesions)))
    assert simulate.SIMULATOR == 1
    np.testing.assert_allclose(found, [(0.16940, 36.240, -722.62, 105), (0.12066, 28.097, -722.84, 68)], rtol=1e-3)


def test_resume_refuses_other_options(cohort: Path) -> None:
    with pytest.raises(UsageError, match="other options"):
        simulate_cohort(replace(COARSE, dicom=True, vendor=Vendor.PHILIPS, resume=True), cohort)


def test_existing_output_is_kept(cohort: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        simulate_cohort(replace(COARSE, dicom=True), cohort)


def test_output_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is in the way"):
        simulate_cohort(COARSE, tmp_path / "file")


def test_unwritable_output(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/petlesion")  # root may write anywhere else
    else:
        tmp_path.chmod(0o500)
        target = tmp_path / "out"
    with pytest.raises(OutputError, match="cannot be written"):
        simulate_cohort(COARSE, target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": -1}, "--patients -1"),
        ({"seed": -3}, "--seed -3"),
        ({"jobs": 0}, "--jobs 0"),
        ({"tracer": TracerName.F18_PSMA1007}, "f18-psma1007 cannot be simulated"),
        ({"tracer": "water"}, "water cannot be simulated"),
        ({"spacing_mm": 0.5}, "between 1.5 and 6 mm"),
    ],
)
def test_bad_options_are_usage_errors(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(COARSE, **change)  # type: ignore[arg-type]


def test_scanner_follows_vendor_and_cohort() -> None:
    assert COARSE.chosen_scanner().name is ScannerName.GE_DISCOVERY_STE
    assert replace(COARSE, scanner=None).chosen_scanner().name is ScannerName.GE_DISCOVERY_STE_256
    assert replace(COARSE, scanner=None, vendor=Vendor.PHILIPS).chosen_scanner().name is ScannerName.PHILIPS_GEMINI_TF
    assert replace(COARSE, scanner=ScannerName.PSF).chosen_scanner().name is ScannerName.PSF
