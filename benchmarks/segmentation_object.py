"""Speed and size of our DICOM SEG against dcmqi's, on the same mask: 40 lesions on a PET of 300 x 200 x 200.

    python benchmarks/segmentation_object.py [--rounds 15]

dcmqi's `itkimage2segimage` reads the headers and the mask and writes the object. Ours is timed twice: writing alone,
which is what remains to be done when `petlesion segment` has read the study, and with headers and mask read from
files, as dcmqi does. The start of Python and its libraries is not included. Rounds of all alternate, so that other load
on the machine falls on all alike; medians count. All objects are checked to hold the same voxels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage

from petlesion.dicom.segmentation import SegType, build_segmentation
from petlesion.dicom.segmentation_reader import read_segmentation
from petlesion.identifiers import derived_uid
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.nifti import read_labels, write_labels
from petlesion.regions import disjoint
from petlesion.report import MethodRecord, Report, SuvRecord
from petlesion.study import DicomSource, Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

SHAPE = (300, 200, 200)
SPACING_MM = (3.0, 2.0, 2.0)
LESIONS = 40
GRID = Grid.from_geometry(SHAPE, SPACING_MM, (-200.0, -200.0, -450.0))


def main() -> None:
    """Parse options and compare in a temporary folder."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), rounds)


def compare(folder: Path, rounds: int) -> None:
    """Print seconds and sizes, and their ratios to those of dcmqi."""
    converter = find_dcmqi()
    labels = spheres()
    write_inputs(folder, labels)
    study, lesions, report = prepare(folder)
    seconds = timings(
        {
            "ours, writing alone": lambda: write_ours(study, lesions, report, folder / "ours.dcm"),
            "ours, from files": lambda: write_from_files(folder),
            "ours, LABELMAP, writing alone": lambda: write_ours(
                study, lesions, report, folder / "labelmap.dcm", SegType.LABELMAP
            ),
            "dcmqi, from files": lambda: run(dcmqi_command(converter, folder)),
        },
        rounds,
    )
    check(folder, study, labels)
    size = {name: (folder / name).stat().st_size for name in ("ours.dcm", "dcmqi.dcm", "labelmap.dcm")}
    for name, median in seconds.items():
        print(f"{name:32} {median * 1000:6.0f} ms   {median / seconds['dcmqi, from files']:5.2f} x dcmqi")
    for name, count in size.items():
        print(f"{name:32} {count / 1e6:6.3f} MB   {count / size['dcmqi.dcm']:5.3f} x dcmqi")


def timings(tasks: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each task, over rounds in which all take their turn; a first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds[1:])) for name, seconds in taken.items()}


def write_ours(study: PetCt, lesions: Lesions, report: Report, path: Path, seg_type: SegType = SegType.BINARY) -> None:
    """Build and save our object."""
    build_segmentation(study, lesions, report, seg_type).save_as(path, enforce_file_format=True)


def write_from_files(folder: Path) -> None:
    """What dcmqi's program does: headers and mask in, object out; the report stands for dcmqi's metadata file."""
    headers = tuple(dcmread(path, stop_before_pixels=True) for path in sorted((folder / "pet").iterdir()))
    labels = read_labels(folder / "labels.nii.gz").array.astype(np.uint16)
    report = Report.from_json((folder / "report.json").read_text())
    lesions = Lesions(labels, GRID, report.method)
    write_ours(study_of(headers, np.zeros(SHAPE, dtype=np.float32)), lesions, report, folder / "ours.dcm")


def prepare(folder: Path) -> tuple[PetCt, Lesions, Report]:
    """Read and measure what `write_inputs` wrote."""
    headers = tuple(dcmread(path, stop_before_pixels=True) for path in sorted((folder / "pet").iterdir()))
    study = study_of(headers, np.random.default_rng(0).uniform(0, 20, SHAPE).astype(np.float32))
    labels = read_labels(folder / "labels.nii.gz").array.astype(np.uint16)
    lesions = Lesions(labels, GRID, MethodRecord("percist", "1"))
    report = measure(study, lesions)
    (folder / "report.json").write_text(report.to_json())
    return study, lesions, report


def study_of(headers: tuple[Dataset, ...], suv: NDArray[np.float32]) -> PetCt:
    """Study of these headers."""
    return PetCt(
        pet=Volume(suv, GRID),
        ct=None,
        tracer=TRACERS[TracerName.F18_FDG],
        patient=Patient(),
        suv=SuvRecord("BQML", "START", 1.0, None, None),
        study_instance_uid=str(headers[0].StudyInstanceUID),
        pet_series_instance_uid=str(headers[0].SeriesInstanceUID),
        source=DicomSource(headers),
    )


def spheres() -> NDArray[np.uint16]:
    """Lesions of 4 to 10 mm radius that do not overlap."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, dtype=np.uint16)
    count = 0
    while count < LESIONS:
        center = rng.uniform([8, 40, 40], [292, 160, 160])
        radius_mm = rng.uniform(4, 10)
        box = tuple(slice(int(c) - 6, int(c) + 8) for c in center)
        offset = np.stack(np.mgrid[box], axis=-1) - center
        inside = np.linalg.norm(offset * SPACING_MM, axis=-1) <= radius_mm
        if not labels[box][inside].any():
            count += 1
            labels[box][inside] = count
    return labels


def write_inputs(folder: Path, labels: NDArray[np.uint16]) -> None:
    """Write PET, mask, and dcmqi's description of the segments."""
    (folder / "pet").mkdir()
    for z in range(SHAPE[0]):
        header = pet_slice(z)
        header.save_as(folder / "pet" / f"{z:03d}.dcm", enforce_file_format=True)
    write_labels(labels, GRID, folder / "labels.nii.gz")
    segments = [segment(number) for number in range(1, LESIONS + 1)]
    metadata = {
        "SeriesDescription": "dcmqi",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [segments],
    }
    (folder / "meta.json").write_text(json.dumps(metadata))


def pet_slice(z: int) -> Dataset:
    """One slice with all that dcmqi wants, and no activity."""
    header = Dataset()
    header.SOPClassUID = PositronEmissionTomographyImageStorage
    header.SOPInstanceUID = derived_uid("benchmark", str(z))
    header.StudyInstanceUID = derived_uid("benchmark", "study")
    header.SeriesInstanceUID = derived_uid("benchmark", "series")
    header.FrameOfReferenceUID = derived_uid("benchmark", "frame of reference")
    header.PatientName, header.PatientID, header.PatientBirthDate, header.PatientSex = "TEST^PET", "1", "19600101", "F"
    header.StudyDate = header.SeriesDate = "20250101"
    header.StudyTime = header.SeriesTime = "110000"
    header.AccessionNumber = header.StudyID = header.ReferringPhysicianName = ""
    header.Modality, header.SeriesNumber, header.InstanceNumber = "PT", "1", str(z + 1)
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.ImagePositionPatient = [round(float(v), 3) for v in GRID.to_world((z, 0, 0))]
    header.PixelSpacing = list(SPACING_MM[1:])
    header.SliceThickness = SPACING_MM[0]
    header.Rows, header.Columns = SHAPE[1:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.PixelData = bytes(2 * SHAPE[1] * SHAPE[2])
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def segment(number: int) -> dict[str, object]:
    """Description of a lesion for dcmqi, with the same content as ours."""
    code = {"CodingSchemeDesignator": "SCT"}
    return {
        "labelID": number,
        "SegmentLabel": f"Lesion {number}",
        "SegmentAlgorithmType": "AUTOMATIC",
        "SegmentAlgorithmName": "percist",
        "TrackingIdentifier": f"Lesion {number}",
        "TrackingUniqueIdentifier": derived_uid("benchmark", "lesion", str(number)),
        "SegmentedPropertyCategoryCodeSequence": code
        | {"CodeValue": "49755003", "CodeMeaning": "Morphologically Abnormal Structure"},
        "SegmentedPropertyTypeCodeSequence": code | {"CodeValue": "108369006", "CodeMeaning": "Neoplasm"},
        "recommendedDisplayRGBValue": [200, 100, 50],
    }


def find_dcmqi() -> Path:
    """The program itself: the one on PATH is a Python script that starts it, which would count against it."""
    script = shutil.which("itkimage2segimage") or str(Path(sys.executable).with_name("itkimage2segimage"))
    candidates = [
        *Path(script).resolve().parents[1].glob("lib/python*/site-packages/dcmqi/bin/itkimage2segimage"),
        Path(script).resolve().parents[1] / "dcmqi/bin/itkimage2segimage",
    ]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        sys.exit("itkimage2segimage not found; install the dcmqi wheel and put its scripts on PATH")
    return found


def dcmqi_command(converter: Path, folder: Path) -> list[str]:
    """Command line of dcmqi."""
    return [
        str(converter),
        "--inputDICOMDirectory",
        str(folder / "pet"),
        "--inputImageList",
        str(folder / "labels.nii.gz"),
        "--inputMetadata",
        str(folder / "meta.json"),
        "--outputDICOM",
        str(folder / "dcmqi.dcm"),
    ]


def run(command: list[str]) -> None:
    """Run a program that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


def check(folder: Path, study: PetCt, labels: NDArray[np.uint16]) -> None:
    """End with an error unless all objects hold the same voxels."""
    for name in ("ours.dcm", "labelmap.dcm", "dcmqi.dcm"):
        regions, _ = read_segmentation(dcmread(folder / name), study, folder / name)
        read = disjoint(regions, GRID).labels
        if not np.array_equal(read > 0, labels > 0) or read.max() != LESIONS:
            sys.exit(f"{name} does not hold the same voxels")


if __name__ == "__main__":
    main()
