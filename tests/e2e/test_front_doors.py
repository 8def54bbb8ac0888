"""One study through all front doors: command line, annotation server, container. The same mask, the same numbers."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from annotation_server import Orthanc, Server, running_orthanc, running_server
from map_image import MODELS_IN_IMAGE, readable_by_all, run_image
from pydicom import Dataset, dcmread
from training_cases import train_beginner

from petlesion.cli import run as command_line
from petlesion.errors import ExitCode

STUDY = "STS_010"
METHODS = ("percist", "unet")


@dataclass(frozen=True)
class Site:
    """Servers with the study and the network, and what the command line made of the study by each method."""

    orthanc: Orthanc
    server: Server
    study: Path
    models: Path
    command_line: dict[str, Path]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    models = folder / "models"
    shutil.copytree(train_beginner(folder / "training"), models / "unet")
    readable_by_all(models)
    study = shared_data / "sts_dicom" / STUDY
    results = {method: folder / method for method in METHODS}
    for method, out in results.items():
        model = ["--model", str(models / "unet")] if method == "unet" else []
        assert command_line(["segment", str(study), "-o", str(out), "--method", method, *model]) == ExitCode.DONE
    with running_orthanc(folder / "orthanc") as orthanc:
        orthanc.store(study)
        with running_server(folder, orthanc.dicomweb, models=str(models), retrain_after="0") as server:
            yield Site(orthanc, server, study, models, results)


def report(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text()))


def frames(seg: Dataset) -> list[tuple[int, tuple[float, ...], bytes]]:
    """Every frame of a segmentation: its segment, its position, its pixels."""
    pixels = np.atleast_3d(seg.pixel_array)
    return [
        (
            int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
            tuple(float(value) for value in groups.PlanePositionSequence[0].ImagePositionPatient),
            frame.tobytes(),
        )
        for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_annotation_server_gives_mask_and_numbers_of_the_command_line(site: Site, method: str) -> None:
    expected, out = report(site.command_line[method]), site.command_line[method]
    assert expected["totals"]["n_lesions"] > 0
    image = expected["study"]["pet_series_instance_uid"]

    def answer(output: str) -> requests.Response:
        return requests.post(
            f"{site.server.url}/infer/{method}", params={"image": image, "output": output}, data={}, timeout=300
        )

    seg = dcmread(io.BytesIO(answer("dicom_seg").content))
    assert frames(seg) == frames(dcmread(out / "seg.dcm"))
    found = answer("json").json()
    found = found.get("params", found)
    assert found["totals"] == expected["totals"]
    names = ("volume_ml", "suv_max", "suv_mean", "suv_peak", "tlu")
    for mine, theirs in zip(found["lesions"], expected["lesions"], strict=True):
        assert {name: mine[name] for name in names} == {name: theirs[name] for name in names}


@pytest.mark.parametrize("method", METHODS)
def test_container_gives_mask_and_numbers_of_the_command_line(site: Site, method: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    options = {"PETLESION_METHOD": method} if method != "unet" else {}  # the default where there is a model
    models = ["-v", f"{site.models}:{MODELS_IN_IMAGE}:ro"]
    result = run_image(site.study, out, *models, **options)
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    expected = site.command_line[method]
    assert report(out) == report(expected)
    assert frames(dcmread(out / "seg.dcm")) == frames(dcmread(expected / "seg.dcm"))
    assert (out / "lesions.csv").read_bytes() == (expected / "lesions.csv").read_bytes()
