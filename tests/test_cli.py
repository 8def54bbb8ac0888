"""Options of the command line reach the library: what the report records of each, and what each changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from annotation_server import PET_GRID, small_suv, write_network, write_small_study
from pydicom import dcmread

from petlesion.cli import run
from petlesion.dicom.body_measures import suv_scale_factor
from petlesion.errors import ExitCode
from petlesion.nifti import write_image, write_labels
from petlesion.suv_scale import SuvScale
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((40, 50, 50), (4.0, 4.0, 4.0), origin_mm=(-100.0, -100.0, 0.0))
PAIR = ((-40.0, -32.0, 40.0), (-16.0, -32.0, 40.0))
FAINT = (40.0, 28.0, 40.0)
LIVER = (-28.0, 12.0, 112.0)
"""Centres, LPS mm: two hot balls that touch, a faint one, and a cube of 56 mm that takes up FDG as a liver does."""
PAIR_SUV, FAINT_SUV, LIVER_SUV = (8.0, 9.0), 1.4, 2.2


def distance_mm(centre: tuple[float, float, float]) -> Any:
    """Of each voxel (z, y, x) from a point, along each axis."""
    index = np.stack(np.indices(GRID.shape), axis=-1)
    return abs(GRID.to_world(index.reshape(-1, 3)).reshape(*GRID.shape, 3) - centre)


def liver() -> Any:
    return distance_mm(LIVER).max(axis=-1) <= 28.0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body of SUV 1 as NIfTI, with what the constants above say, and a mask of its liver."""
    folder = tmp_path_factory.mktemp("study")
    x, y, _ = np.moveaxis(distance_mm((0.0, 0.0, 0.0)), -1, 0)
    suv = np.where((x / 90) ** 2 + (y / 70) ** 2 < 1, 1.0, 0.02)
    suv[liver()] = LIVER_SUV
    for centre, radius, peak in ((PAIR[0], 12.0, PAIR_SUV[0]), (PAIR[1], 12.0, PAIR_SUV[1]), (FAINT, 14.0, FAINT_SUV)):
        away = np.linalg.norm(distance_mm(centre), axis=-1)
        suv = np.maximum(suv, np.where(away <= radius, peak * (1 - 0.5 * away / radius), 0.0))
    write_image(Volume(suv.astype(np.float32), GRID), folder / "pet.nii.gz")
    write_labels(liver().astype(np.uint8), GRID, folder / "liver.nii.gz")
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hot balls in a PET of DICOM files, with a CT; a woman of 70 kg and 1.75 m."""
    return write_small_study(tmp_path_factory.mktemp("dicom"), "anna").folder


def results(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run a command with an output folder; returns its report."""
    assert run([*map(str, arguments), "-o", str(folder)]) == ExitCode.DONE
    return dict(json.loads((folder / "report.json").read_text()))


def text(point: tuple[float, float, float]) -> str:
    return ",".join(map(str, point))


def test_split_separates_lesions_that_touch(study: Path, tmp_path: Path) -> None:
    together = results(tmp_path / "one", "segment", study, "-m", "fixed")
    apart = results(tmp_path / "two", "segment", study, "-m", "fixed", "--split")
    assert [each["method"]["parameters"]["split_touching"] for each in (together, apart)] == [False, True]
    assert [each["totals"]["n_lesions"] for each in (together, apart)] == [1, 2]
    assert apart["totals"]["ttv_ml"] == pytest.approx(together["totals"]["ttv_ml"])


def test_point_grows_the_lesion_there_alone(study: Path, tmp_path: Path) -> None:
    report = results(tmp_path, "segment", study, "-m", "fixed", "--suv", "1.1", "--point", text(FAINT))
    recorded = report["method"]["parameters"]
    assert [recorded[f"point_{axis}_mm"] for axis in "xyz"] == list(FAINT)
    (lesion,) = report["lesions"]
    assert lesion["centroid_mm"] == pytest.approx(FAINT, abs=0.1)
    assert 1.1 <= lesion["suv_min"] < lesion["suv_max"] == pytest.approx(FAINT_SUV)


def test_incremental_takes_peaks_below_the_threshold(study: Path, tmp_path: Path) -> None:
    options = ("segment", study, "-m", "relative", "--fraction", "0.8")
    above = results(tmp_path / "one", *options, "--liver-sphere", text(LIVER))
    every = results(tmp_path / "two", *options, "--incremental")
    assert [each["method"]["parameters"]["incremental"] for each in (above, every)] == [False, True]
    maxima = [sorted(lesion["suv_max"] for lesion in each["lesions"]) for each in (above, every)]
    assert maxima[0] == pytest.approx(PAIR_SUV)
    assert maxima[1] == pytest.approx((FAINT_SUV, LIVER_SUV, *PAIR_SUV))


def test_liver_sphere_sets_the_threshold(study: Path, tmp_path: Path) -> None:
    report = results(tmp_path, "segment", study, "-m", "percist", "--liver-sphere", text(LIVER))
    reference = report["reference"]
    assert reference["organ"] == "liver"
    assert [sphere["center_mm"] for sphere in reference["spheres"]] == [list(LIVER)]
    assert reference["threshold"] == pytest.approx(1.5 * LIVER_SUV)
    assert report["method"]["parameters"]["threshold_suv"] == reference["threshold"]


def test_organs_say_where_the_liver_is(study: Path, tmp_path: Path) -> None:
    report = results(
        tmp_path, "segment", study, "-m", "percist", "--tracer", "f18-fdg", "--organs", study / "liver.nii.gz"
    )
    reference = report["reference"]
    assert reference["organ"] == "liver"
    assert reference["threshold"] == pytest.approx(1.5 * LIVER_SUV)
    mask = liver()
    for sphere in reference["spheres"]:
        assert mask[tuple(np.rint(GRID.to_index(sphere["center_mm"])).astype(int))]


def test_source_of_the_threshold_is_the_spleen_only_where_its_own_is_used(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spleen = np.where(liver(), 1, 0).astype(np.uint8)
    spleen[0, 25, 25] = 5  # a liver without room for a sphere, as TotalSegmentator numbers them
    write_labels(spleen, GRID, tmp_path / "organs.nii.gz")
    organs = ("--organs", tmp_path / "organs.nii.gz", "--tracer", "f18-fdg")
    report = results(tmp_path / "fixed", "segment", study, "-m", "percist", *organs)
    assert (report["reference"]["organ"], report["reference"]["threshold"]) == ("spleen", 3.0)
    said = capsys.readouterr().out
    assert "too low for 18F-FDG" in said
    assert "SUV 3.00" in said
    assert "(from the spleen)" not in said


def test_maps_are_written_beside_the_report(study: Path, tmp_path: Path) -> None:
    write_network(tmp_path / "model")
    options = ("segment", study, "-m", "unet", "--model", tmp_path / "model")
    report = results(tmp_path / "without", *options)
    results(tmp_path / "with", *options, "--maps")
    names = [{path.name for path in (tmp_path / name).iterdir()} for name in ("without", "with")]
    assert names[1] - names[0] == {"probability.nii.gz", "entropy.nii.gz"}
    probability = nib.load(tmp_path / "with" / "probability.nii.gz")
    assert probability.shape == GRID.shape[::-1]
    assert probability.get_fdata().max() == pytest.approx(1.0, abs=0.01)
    assert report["totals"]["n_lesions"] == 1, "the network takes the whole body for one"


def test_kind_of_segmentation_object(dicom: Path, tmp_path: Path) -> None:
    for kind in ("binary", "labelmap"):
        report = results(tmp_path / kind, "segment", dicom, "-m", "fixed", "--seg-type", kind)
        seg = dcmread(tmp_path / kind / "seg.dcm")
        assert seg.SegmentationType == kind.upper()
        found_ml = np.count_nonzero(seg.pixel_array) * PET_GRID.voxel_ml
        assert found_ml == pytest.approx(report["totals"]["ttv_ml"])


def test_options_of_a_batch_are_those_of_each_study(dicom: Path, tmp_path: Path) -> None:
    options = ("-m", "fixed", "--split", "--seg-type", "labelmap")
    assert run(["batch", str(dicom.parent), "-o", str(tmp_path / "out"), *options]) == ExitCode.DONE
    folder = tmp_path / "out" / dicom.name
    assert json.loads((folder / "report.json").read_text())["method"]["parameters"]["split_touching"] is True
    assert dcmread(folder / "seg.dcm").SegmentationType == "LABELMAP"


def test_region_is_measured_alone_by_its_name(dicom: Path, tmp_path: Path) -> None:
    found = results(tmp_path / "found", "segment", dicom, "-m", "fixed")
    structures = tmp_path / "found" / "rtstruct.dcm"
    names = [item.ROIName for item in dcmread(structures).StructureSetROISequence]
    assert len(names) == len(found["lesions"]) == 2
    options = ("--seg", structures, "--roi", names[1], "--seg-type", "labelmap")
    report = results(tmp_path / "part", "measure", dicom, *options)
    assert report["method"]["parameters"]["regions"] == names[1]
    assert [lesion["suv_max"] for lesion in report["lesions"]] == [found["lesions"][1]["suv_max"]]
    assert dcmread(tmp_path / "part" / "seg.dcm").SegmentationType == "LABELMAP"


@pytest.mark.parametrize("scale", SuvScale)
def test_scale_normalises_by_another_body_measure(
    dicom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: SuvScale
) -> None:
    file = tmp_path / "suv.nii.gz"
    assert run(["suv", str(dicom), "--scale", scale, "-o", str(file), "--json"]) == ExitCode.DONE
    said = json.loads(capsys.readouterr().out)
    expected = small_suv().array * suv_scale_factor(scale, weight_kg=70, height_m=1.75, sex="F")
    assert said["scale"] == scale
    assert said["maximum"] == pytest.approx(expected.max(), rel=1e-3)
    np.testing.assert_allclose(nib.load(file).get_fdata().T, expected, atol=1e-3)


def test_debug_shows_where_an_error_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for more in ((), ("--debug",)):
        assert run(["suv", str(tmp_path), *more]) == ExitCode.NO_DICOM
        said.append(capsys.readouterr().err)
    assert said[0].startswith("petlesion: no DICOM file")
    assert said[1].startswith("Traceback")
    assert said[1].endswith(said[0])
