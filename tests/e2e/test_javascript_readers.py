"""Our objects and our SUV in the JavaScript of OHIF's makers: dcmjs reads the objects, calculate-suv the headers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pet_studies import balls, make_lesions, make_study
from pydicom import dcmread
from synthetic_dicom import axial_grid

from petlesion.dicom.measurement_report import build_measurement_report
from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.dicom.segmentation import build_segmentation
from petlesion.dicom.suv import suv_conversion
from petlesion.report import Report

JAVASCRIPT = Path(__file__).with_name("javascript")
SLICES = 5
"""Of each series: more add nothing but time."""


def node(script: str, *arguments: Path) -> dict[str, Any]:
    """The JSON document that a script prints; skips where Node.js or its packages are missing."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is missing")
    if not (JAVASCRIPT / "node_modules").is_dir():
        pytest.skip("packages of tests/e2e/javascript are missing: make javascript-tools")
    command = ["node", str(JAVASCRIPT / script), *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return dict(json.loads(finished.stdout))


def factors(folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What calculate-suv says of a PET series, and our factors to SUVbw."""
    files = sorted(folder.iterdir())[:SLICES]
    ours = suv_conversion([dcmread(path, stop_before_pixels=True) for path in files]).factors
    return node("suv_factors.mjs", *files), ours


@pytest.mark.parametrize("name", ["0_0", "1_0", "2_0", "2_4", "3_3", "4_1", "5_0"])
def test_same_factors_as_calculate_suv(shared_data: Path, name: str) -> None:
    theirs, ours = factors(shared_data / "suv_dro" / f"DRO_{name}" / "PT")
    np.testing.assert_allclose(theirs["factors"], ours, rtol=1e-6)


def test_same_factors_of_a_real_series_as_calculate_suv(shared_data: Path) -> None:
    theirs, ours = factors(shared_data / "sts_raw/STS_001/FDG_PET/image")
    np.testing.assert_allclose(theirs["factors"], ours, rtol=1e-6)


def test_known_defects_of_calculate_suv(shared_data: Path) -> None:
    """Where it differs, the reference objects (tests/real) or the standard say that it is wrong."""
    theirs, ours = factors(shared_data / "suv_dro/DRO_3_1/PT")  # decay-corrected to the injection, and decayed again
    assert theirs["factors"][0] / ours[0] == pytest.approx(1.4606, abs=1e-4)
    theirs, ours = factors(shared_data / "suv_dro/DRO_2_1/PT")  # SUV by lean body mass, taken for SUVbw
    assert theirs["factors"][0] / ours[0] == pytest.approx(0.8074, abs=1e-4)
    theirs, ours = factors(shared_data / "sts_dicom/STS_010/PET/image")  # times that stored SUV does not need
    assert theirs == {"refused": "Decay time cannot be less than zero"}
    np.testing.assert_allclose(ours, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, Report]:
    """SEG, SR and RTSTRUCT of two lesions; the folder, their labels and the report."""
    folder = tmp_path_factory.mktemp("results")
    study = make_study(axial_grid((12, 10, 9)))
    labels = balls(study.pet.grid, ((3.0, 4.0, 3.0), 2.6), ((9.0, 6.0, 2.0), 1.5))
    lesions, report = make_lesions(study, labels)
    segmentation = build_segmentation(study, lesions, report)
    segmentation.save_as(folder / "seg.dcm", enforce_file_format=True)
    build_rtstruct(study, lesions, report).save_as(folder / "rtstruct.dcm", enforce_file_format=True)
    build_measurement_report(study, report, segmentation).save_as(folder / "sr.dcm", enforce_file_format=True)
    return folder, labels, report


def test_dcmjs_counts_the_same_voxels(written: tuple[Path, np.ndarray, Report]) -> None:
    folder, labels, _ = written
    found = node("read_object.mjs", folder / "seg.dcm")
    assert found["modality"] == "SEG"
    assert found["voxels"] == {str(number): int((labels == number).sum()) for number in (1, 2)}


def test_dcmjs_reads_the_measurements(written: tuple[Path, np.ndarray, Report]) -> None:
    folder, _, report = written
    found = node("read_object.mjs", folder / "sr.dcm")
    assert (found["modality"], found["template"]) == ("SR", "1500")
    groups = {group["tracking_uid"]: [value for _, value in group["numbers"]] for group in found["groups"]}
    for lesion in report.lesions:
        for value in (lesion.volume_ml, lesion.suv_max, lesion.suv_mean, lesion.suv_peak, lesion.tlu):
            assert any(value == pytest.approx(each, rel=1e-6) for each in groups[lesion.tracking_uid])


def test_dcmjs_reads_the_contours(written: tuple[Path, np.ndarray, Report]) -> None:
    folder, labels, _ = written
    found = node("read_object.mjs", folder / "rtstruct.dcm")
    assert len(found["regions"]) == 2
    slices = [len(np.unique(np.nonzero(labels == number)[0])) for number in (1, 2)]
    assert found["contours"] == slices
