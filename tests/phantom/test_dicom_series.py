"""Simulated DICOM: every vendor's PET gives back the SUV, and the files are valid."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from petlesion.dicom.attributes import private_text
from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.dicom_series import write_study
from petlesion.phantom.scanner import SCANNERS, ScannerName, Vendor
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.reader import read_study
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

CASES = (
    (Vendor.GE, ScannerName.GE_DISCOVERY_STE, TracerName.GA68_DOTATATE),
    (Vendor.SIEMENS, ScannerName.SIEMENS_BIOGRAPH_MCT, TracerName.F18_FDG),
    (Vendor.PHILIPS, ScannerName.PHILIPS_GEMINI_TF, TracerName.CU64_DOTATATE),
    (Vendor.SIEMENS, ScannerName.GE_DISCOVERY_STE, TracerName.GA68_PSMA11),
)
SUV_TOLERANCE = 0.005
"""Relative difference of simulated and read SUV that is allowed."""


def simulated_study(scanner: ScannerName, tracer: TracerName) -> SimulatedStudy:
    rng = np.random.default_rng(0)
    spacing = SCANNERS[scanner].spacing_mm
    grid = Grid.from_geometry((64, 24, 24), spacing, (-60.0, -55.0, -100.0))
    pet = rng.gamma(4.0, 0.5, grid.shape).astype(np.float32)
    pet[30, 10:14, 10:14] = 40.0
    ct_grid = Grid.from_geometry((52, 32, 32), (4.0, 4.0, 4.0), (-64.0, -60.0, -104.0))
    ct = rng.normal(40.0, 20.0, ct_grid.shape).astype(np.float32)
    acquisition = Acquisition(tracer, 187.3, 71.5, 3725.0, 180.0)
    return SimulatedStudy(
        patient_id="simulated-1",
        timepoint=0,
        sex="F",
        born=date(1939, 1, 1),
        height_m=1.68,
        weight_kg=71.5,
        injected_at=datetime(2000, 3, 4, 23, 30),  # the scan begins after midnight
        tracer=tracer,
        acquisition=acquisition,
        scanner=SCANNERS[scanner],
        pet=Volume(pet, grid),
        ct=Volume(ct, ct_grid),
    )


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Vendor, SimulatedStudy, Path]:
    vendor, scanner, tracer = request.param
    folder = tmp_path_factory.mktemp("dicom") / "study"
    study = simulated_study(scanner, tracer)
    write_study(study, folder, vendor, extra_series=True)
    return vendor, study, folder


def test_reader_gives_back_suv_ct_and_tracer(written: tuple[Vendor, SimulatedStudy, Path]) -> None:
    _, study, folder = written
    read = read_study(folder)
    assert read.tracer.name is study.tracer
    assert read.pet.grid.is_close(study.pet.grid)
    np.testing.assert_allclose(read.pet.array[30, 10:14, 10:14], study.pet.array[30, 10:14, 10:14], rtol=SUV_TOLERANCE)
    np.testing.assert_allclose(read.pet.array.mean(axis=(1, 2)), study.pet.array.mean(axis=(1, 2)), rtol=SUV_TOLERANCE)
    assert read.suv.warnings == ()
    assert read.ct is not None
    assert read.ct.array[20:40, 8:16, 8:16].mean() == pytest.approx(40.0, abs=2.0)
    assert read.patient.weight_kg == 71.5
    assert read.source is not None
    assert read.source.pet_headers[0].SeriesDescription == "PET AC"


def test_vendor_particulars(written: tuple[Vendor, SimulatedStudy, Path]) -> None:
    vendor, study, folder = written
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((folder / "PT").iterdir())]
    slopes = {str(each.RescaleSlope) for each in slices}
    start = study.scan_start.strftime("%Y%m%d%H%M%S.00")
    assert len({each.AcquisitionTime for each in slices}) > 1
    assert {each.DecayCorrection for each in slices} == {"START"}
    if vendor is Vendor.GE:
        assert len(slopes) > 40
        assert private_text(slices[0], 0x0009, "GEMS_PETD_01", 0x0D) == start
        assert min(float(each.FrameReferenceTime) for each in slices) == 0.0
    elif vendor is Vendor.SIEMENS:
        assert len(slopes) == 1
        assert private_text(slices[0], 0x0071, "SIEMENS MED PT", 0x22) == start
        assert min(float(each.FrameReferenceTime) for each in slices) > 80_000.0
    else:
        assert slices[0].Units == "CNTS"
        assert float(private_text(slices[0], 0x7053, "Philips PET Private Group", 0x00)) == 0.000728


def test_decay_factor_and_reference_time_agree(written: tuple[Vendor, SimulatedStudy, Path]) -> None:
    vendor, study, folder = written
    for path in (folder / "PT").iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        reference_s = float(header.FrameReferenceTime) / 1000
        if vendor is Vendor.GE:
            # GE counts to the start of the bed; decay within the bed adds half a bed to first order.
            reference_s += study.acquisition.bed_s / 2
        assert float(header.DecayFactor) == pytest.approx(2 ** (reference_s / study.acquisition.half_life_s), rel=1e-3)


def test_series_share_study_and_frame_of_reference(written: tuple[Vendor, SimulatedStudy, Path]) -> None:
    _, _, folder = written
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm")]
    assert len({each.StudyInstanceUID for each in headers}) == 1
    assert len({each.SOPInstanceUID for each in headers}) == len(headers)
    assert len({each.SeriesInstanceUID for each in headers}) == 5
    assert len({each.FrameOfReferenceUID for each in headers if "FrameOfReferenceUID" in each}) == 1
    assert {str(each.PatientName) for each in headers} == {"SIMULATED^SIMULATED-1"}


def test_same_study_has_the_same_bytes(tmp_path: Path) -> None:
    study = simulated_study(ScannerName.PHILIPS_GEMINI_TF, TracerName.F18_FDG)
    for name in ("a", "b"):
        write_study(study, tmp_path / name, Vendor.PHILIPS)
    for path in (tmp_path / "a").rglob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_files_are_valid(written: tuple[Vendor, SimulatedStudy, Path]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    _, _, folder = written
    for series in sorted(folder.iterdir()):
        first = sorted(series.iterdir())[0]
        result = subprocess.run(["dciodvfy", first], capture_output=True, text=True, check=False)
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], series.name
