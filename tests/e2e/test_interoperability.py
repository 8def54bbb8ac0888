"""Our objects in other makers' programs: dicom3tools, dcmtk, dcmqi, plastimatch; and dcmqi's objects in ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pet_studies import balls, coronal_grid, make_lesions, make_study, oblique_grid, real_study
from pydicom import Dataset
from synthetic_dicom import axial_grid, pet_header, write_series

from petlesion.dicom.measurement_report import build_measurement_report
from petlesion.dicom.rtstruct import build_rtstruct
from petlesion.dicom.segmentation import SegType, build_segmentation
from petlesion.lesions import Lesions
from petlesion.masks import read_mask
from petlesion.report import Reference, ReferenceOrgan, Report
from petlesion.study import PetCt
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

GRID = axial_grid((12, 10, 9))
BALLS = (((3.0, 4.0, 3.0), 2.6), ((9.0, 6.0, 2.0), 1.5))
LIVER = Reference(ReferenceOrgan.LIVER, 2.1, 0.3, 4.3)
UNAVOIDABLE = (
    "Value dubious for this VR [PN]",  # names of the input
    "needed to build DICOMDIR",  # the input has no StudyID
    "Unrecognized defined term = <99PETLESION>",  # our own coding scheme
)
"""Warnings that stem from the input, or that any private code draws."""


def tool(name: str, package: str) -> str:
    """Path of a program, beside this Python or on PATH; skips where it is missing."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing; install {package}")
    return found


def run(*command: str | Path) -> str:
    """Standard output and error of a program that must succeed."""
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    return output


@dataclass(frozen=True)
class Written:
    study: PetCt
    lesions: Lesions
    report: Report
    folder: Path


def write_all(study: PetCt, labels: np.ndarray, folder: Path, **fields: object) -> Written:
    lesions, report = make_lesions(study, labels, **fields)
    segmentation = build_segmentation(study, lesions, report)
    segmentation.save_as(folder / "seg.dcm", enforce_file_format=True)
    build_segmentation(study, lesions, report, SegType.LABELMAP).save_as(
        folder / "labelmap.dcm", enforce_file_format=True
    )
    build_rtstruct(study, lesions, report).save_as(folder / "rtstruct.dcm", enforce_file_format=True)
    build_measurement_report(study, report, segmentation).save_as(folder / "sr.dcm", enforce_file_format=True)
    return Written(study, lesions, report, folder)


def de_identify(header: Dataset, _k: int) -> None:
    """As two programs did, one after the other; a name with a backslash is two names."""
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = ["Names removed", "Dates shifted"]
    header.PatientName = header.ReferringPhysicianName = "ANON^1\\ANON^2"


@pytest.fixture(
    scope="module",
    params=[
        *("axial", "oblique", "coronal", "resampled", "uneven and real", "planned", "other tracer", "de-identified"),
    ],
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """All objects of a study of some kind."""
    folder = tmp_path_factory.mktemp("results")
    if request.param == "uneven and real":
        study = real_study(request.getfixturevalue("shared_data") / "sts_raw/STS_001/FDG_PET/image")
        return write_all(study, balls(study.pet.grid, ((20, 64, 64), 6), ((250, 50, 70), 4)), folder, reference=LIVER)
    if request.param == "planned":
        data = request.getfixturevalue("shared_data")
        study = real_study(data / "sts_dicom/STS_010/PET/image")
        labels = read_mask(data / "sts_dicom/STS_010/PET/mask/RS.dcm", study).labels
        return write_all(study, labels, folder, reference=LIVER)
    studies = {
        "axial": lambda: make_study(GRID),
        "oblique": lambda: make_study(oblique_grid(GRID.shape)),
        "coronal": lambda: make_study(coronal_grid(GRID.shape)),
        "resampled": lambda: make_study(GRID, headers_on=axial_grid((6, 10, 9), (6, 4, 5))),
        "other tracer": lambda: make_study(GRID, tracer=TracerName.GA68_PSMA11),
        "de-identified": lambda: make_study(GRID, change=de_identify),
    }
    study = studies[request.param]()
    fields = {"reference": LIVER, "locations": {1: "left lung", 2: "hinter dem Knie"}, "warnings": ("≥ 1 Voxel",)}
    return write_all(study, balls(study.pet.grid, *BALLS), folder, **fields)


@pytest.mark.parametrize("name", ["seg.dcm", "sr.dcm", "rtstruct.dcm"])
def test_dciodvfy_finds_no_fault(written: Written, name: str) -> None:
    output = run(tool("dciodvfy", "Debian's dicom3tools"), "-new", written.folder / name)
    faults = [
        line
        for line in output.splitlines()
        if line.startswith(("Error", "Warning")) and not any(known in line for known in UNAVOIDABLE)
    ]
    assert faults == []


def test_dciodvfy_accepts_a_report_without_lesions(tmp_path: Path) -> None:
    study = make_study(GRID)
    _, report = make_lesions(study, np.zeros(GRID.shape))
    build_measurement_report(study, report, None).save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    output = run(tool("dciodvfy", "Debian's dicom3tools"), "-new", tmp_path / "sr.dcm")
    assert "Error" not in output
    assert "No lesion was found." in run(tool("dsrdump", "Debian's dcmtk"), "+Pl", tmp_path / "sr.dcm")


def test_plastimatch_draws_the_same_lesions_from_the_contours(tmp_path: Path, shared_data: Path) -> None:
    study = real_study(shared_data / "sts_dicom" / "STS_010" / "PET" / "image")
    labels = balls(study.pet.grid, ((20, 15, 16), 5), ((45, 18, 20), 4))
    labels[balls(study.pet.grid, ((20, 15, 16), 2)) > 0] = 0  # a cavity: a contour within a contour
    written = write_all(study, labels, tmp_path)
    sitk.WriteImage(_on_grid(labels, study.pet.grid), tmp_path / "fixed.nrrd")
    command = ("convert", "--input", tmp_path / "rtstruct.dcm", "--fixed", tmp_path / "fixed.nrrd")
    outputs = ("--output-prefix", tmp_path / "masks", "--prefix-format", "nrrd")
    run(tool("plastimatch", "Debian's plastimatch"), *command, *outputs)
    for lesion in written.report.lesions:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "masks" / f"Lesion {lesion.id}.nrrd")) > 0
        np.testing.assert_array_equal(mask, labels == lesion.id)


def _on_grid(labels: np.ndarray, grid: Grid) -> sitk.Image:
    """An image that lies where an axial PET lies."""
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin(tuple(float(value) for value in grid.to_world((0, 0, 0))))
    image.SetSpacing(tuple(float(value) for value in grid.spacing_mm[::-1]))
    return image


def test_dsrdump_prints_the_numbers(written: Written) -> None:
    printed = run(tool("dsrdump", "Debian's dcmtk"), "+Pl", written.folder / "sr.dcm")
    for lesion in written.report.lesions:
        assert f'"Lesion {lesion.id}"' in printed
        assert f'"{lesion.tracking_uid}"' in printed
        for value in (lesion.volume_ml, lesion.suv_max, lesion.suv_mean, lesion.suv_peak, lesion.tlu):
            assert f'="{float(f"{value:.7g}")}"' in printed
    assert '(g/ml{SUVbw},UCUM,"Standardized Uptake Value body weight")' in printed
    assert f'"Number of lesions")="{written.lesions.count}.0"' in printed


@pytest.mark.parametrize("name", ["seg.dcm", "labelmap.dcm"])
def test_dcmqi_gives_back_the_same_voxels(written: Written, name: str, tmp_path: Path) -> None:
    """Through world coordinates: dcmqi's volume begins and ends at the outermost lesions."""
    converter = tool("segimage2itkimage", "the dcmqi wheel")
    run(converter, "--inputDICOM", written.folder / name, "--outputDirectory", tmp_path, "--outputType", "nrrd",
        "--mergeSegments")  # fmt: skip
    (path,) = tmp_path.glob("*.nrrd")
    image = sitk.ReadImage(path)
    array = sitk.GetArrayFromImage(image)
    voxels = np.argwhere(array)
    points = np.array([image.TransformIndexToPhysicalPoint([int(i) for i in voxel[::-1]]) for voxel in voxels])
    index = written.study.pet.grid.to_index(points)
    np.testing.assert_allclose(index, np.rint(index), atol=0.02)
    found = np.zeros(written.lesions.labels.shape, dtype=np.uint16)
    found[tuple(np.rint(index).astype(int).T)] = array[tuple(voxels.T)]
    np.testing.assert_array_equal(found, written.lesions.labels)


def test_dcmqi_reads_the_measurements(written: Written, tmp_path: Path) -> None:
    run(tool("tid1500reader", "the dcmqi wheel"), "--inputDICOM", written.folder / "sr.dcm", "--outputMetadata",
        tmp_path / "sr.json")  # fmt: skip
    groups = {
        group["TrackingIdentifier"]: group for group in json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    }
    assert groups.keys() == {"All lesions", "Reference region", *(f"Lesion {n.id}" for n in written.report.lesions)}
    for lesion in written.report.lesions:
        group = groups[f"Lesion {lesion.id}"]
        assert group["TrackingUniqueIdentifier"] == lesion.tracking_uid
        assert group["ReferencedSegment"] == lesion.id
        assert group["Finding"]["CodeMeaning"] == "Neoplasm"
        volume = next(m for m in group["measurementItems"] if m["quantity"]["CodeMeaning"] == "Volume")
        assert float(volume["value"]) == pytest.approx(lesion.volume_ml, rel=1e-6)


@pytest.mark.parametrize(
    "grid", [GRID, oblique_grid(GRID.shape), coronal_grid(GRID.shape)], ids=["axial", "oblique", "coronal"]
)
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_dcmqi_objects_are_read(grid: Grid, kind: str, tmp_path: Path) -> None:
    writer = tool("itkimage2segimage", "the dcmqi wheel")
    labels = balls(grid, *BALLS)
    write_series(tmp_path / "pet", Volume(np.ones(grid.shape, dtype=np.float32), grid), _complete_header())
    study = real_study(tmp_path / "pet")
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, tmp_path / "labels.nrrd")
    (tmp_path / "meta.json").write_text(json.dumps(_dcmqi_metadata(2)))
    inputs = {"inputDICOMDirectory": "pet", "inputImageList": "labels.nrrd", "inputMetadata": "meta.json"}
    options = [part for option, name in inputs.items() for part in (f"--{option}", tmp_path / name)]
    run(writer, *options, "--outputDICOM", tmp_path / "seg.dcm", "--segmentationType", kind)
    lesions = read_mask(tmp_path / "seg.dcm", study)
    np.testing.assert_array_equal(lesions.labels, labels)
    assert lesions.method.parameters["regions"] == "Tumour 1, Tumour 2"


def _complete_header() -> object:
    header = pet_header()
    header.StudyID = header.AccessionNumber = "1"
    return header


def _dcmqi_metadata(count: int) -> dict[str, object]:
    segments = [
        {
            "labelID": number,
            "SegmentLabel": f"Tumour {number}",
            "SegmentDescription": f"Tumour {number}",
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": {
                "CodeValue": "49755003",
                "CodingSchemeDesignator": "SCT",
                "CodeMeaning": "Morphologically Abnormal Structure",
            },
            "SegmentedPropertyTypeCodeSequence": {
                "CodeValue": "108369006",
                "CodingSchemeDesignator": "SCT",
                "CodeMeaning": "Neoplasm",
            },
        }
        for number in range(1, count + 1)
    ]
    return {"SeriesDescription": "dcmqi", "SeriesNumber": "300", "InstanceNumber": "1", "segmentAttributes": [segments]}
