"""Simulated patient → DICOM of every vendor → segmentation: true SUV and volume come back within the resolution."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.phantom.cohort import Cohort
from petlesion.phantom.dicom_series import write_study
from petlesion.phantom.motion import liver_dome_mm
from petlesion.phantom.patient import SimulatedPatient, simulate_patient
from petlesion.phantom.scanner import ScannerName, Vendor
from petlesion.phantom.simulate import SimulateOptions, scan_patient
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.phantom.truth import Lesion
from petlesion.reader import read_study
from petlesion.report import Report
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

LARGE_ML = 4.0
"""Lesions at least 20 mm across, more than twice the resolution: smaller ones lose much of their uptake to it."""
CONTRAST = 3.0
"""And so much hotter than the tissue around them that noise does not move their edge."""
VOLUME_FACTOR = 1.5
"""Volume within the gradient edge over the true one, or the inverse, at most."""
SUV_MAX_RANGE = (0.8, 1.2)
"""Measured SUVmax over true SUVmean."""
SUV_MEAN_RANGE = (0.5, 1.0)
"""Measured over true SUVmean: the edge, 8 mm wide and smeared by breathing, is part of the measured lesion."""


@pytest.fixture(scope="module")
def patient() -> SimulatedPatient:
    options = SimulateOptions(TracerName.GA68_DOTATATE, cohort=Cohort.S1_LIVER, seed=7)
    return simulate_patient(options.tracer, options.seed, options.cohort_options())


def trunk(volume: Volume, patient: SimulatedPatient) -> Volume:
    """Slices within 180 mm of the dome of the liver."""
    dome = liver_dome_mm(patient.anatomy)
    assert dome is not None
    low, high = (round(volume.grid.to_index((0.0, 0.0, dome + reach))[0]) for reach in (-180.0, 180.0))
    shape = (high - low, *volume.grid.shape[1:])
    grid = Grid.from_geometry(shape, volume.grid.spacing_mm, volume.grid.to_world((low, 0, 0)))
    return Volume(volume.array[low:high], grid)


@pytest.fixture(scope="module")
def results(
    patient: SimulatedPatient, tmp_path_factory: pytest.TempPathFactory
) -> dict[Vendor, tuple[Lesions, Report]]:
    """One scan, written as each vendor writes it, read and segmented."""
    options = SimulateOptions(patient.tracer, cohort=Cohort.S1_LIVER, seed=7, scanner=ScannerName.GE_DISCOVERY_STE)
    scan = scan_patient(patient, options)
    study = SimulatedStudy(
        patient_id=patient.patient_id,
        timepoint=0,
        sex=patient.anatomy.sex.value,
        born=date(2000 - patient.anatomy.age_years, 1, 1),
        height_m=patient.anatomy.height_m,
        weight_kg=patient.anatomy.weight_kg,
        injected_at=datetime(2000, 1, 1, 9),
        tracer=patient.tracer,
        acquisition=scan.acquisition,
        scanner=options.chosen_scanner(),
        pet=trunk(scan.pet, patient),
        ct=trunk(scan.ct, patient),
    )
    found = {}
    for vendor in Vendor:
        folder: Path = tmp_path_factory.mktemp(vendor.value)
        write_study(study, folder / "study", vendor)
        read = read_study(folder / "study")
        lesions = segment(read, SegmentOptions(method=MethodName.GRADIENT))
        found[vendor] = (lesions, measure(read, lesions))
    return found


def test_vendors_agree(results: dict[Vendor, tuple[Lesions, Report]]) -> None:
    reports = [report for _, report in results.values()]
    for report in reports[1:]:
        assert report.totals.n_lesions == reports[0].totals.n_lesions
        assert report.totals.ttv_ml == pytest.approx(reports[0].totals.ttv_ml, rel=0.01)
        assert report.totals.suv_max == pytest.approx(reports[0].totals.suv_max, rel=0.005)


def clear(lesion: Lesion) -> bool:
    return lesion.suv_mean > CONTRAST * lesion.suv_local


@pytest.mark.parametrize("vendor", list(Vendor))
def test_large_lesions_come_back(
    vendor: Vendor, patient: SimulatedPatient, results: dict[Vendor, tuple[Lesions, Report]]
) -> None:
    lesions, report = results[vendor]
    truth = patient.lesions_on(lesions.grid)
    large = [lesion for lesion in patient.lesion_table if lesion.volume_ml > LARGE_ML and clear(lesion)]
    assert large
    for lesion in large:
        found = np.bincount(lesions.labels[truth == lesion.id])[1:]
        assert found.size, lesion.place
        record = report.lesions[int(np.argmax(found))]
        assert 1 / VOLUME_FACTOR < record.volume_ml / lesion.volume_ml < VOLUME_FACTOR
        assert SUV_MAX_RANGE[0] < record.suv_max / lesion.suv_mean < SUV_MAX_RANGE[1]
        assert SUV_MEAN_RANGE[0] < record.suv_mean / lesion.suv_mean < SUV_MEAN_RANGE[1]
