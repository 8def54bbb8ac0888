"""The network that ships: whole, small, honest about its data, and far less often wrong than a threshold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import petlesion
from petlesion.evaluate.voxels import voxel_scores
from petlesion.networks.model_folder import CARD, FILES, load_model
from petlesion.nifti import read_labels
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.reader import read_study
from petlesion.segment.methods import default_method, segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

FOLDER = Path(petlesion.__file__).parents[1] / "apps" / "petlesion" / "model" / "unet"
LARGEST_BYTES = 20e6
TRACERS = (TracerName.GA68_DOTATATE, TracerName.CU64_DOTATATE, TracerName.GA68_PSMA11, TracerName.F18_FDG)


def test_is_whole_small_and_the_default() -> None:
    files = sorted(FOLDER.iterdir())
    assert [path.name for path in files] == sorted(FILES)
    assert sum(path.stat().st_size for path in files) <= LARGEST_BYTES
    assert load_model(FOLDER).card["schema"] == "petlesion-card/1"
    assert default_method() is MethodName.UNET


def test_card_names_its_data() -> None:
    card = json.loads((FOLDER / CARD).read_text())
    trained_on = card["data"]["training"]
    assert {row["tracer"] for row in trained_on} == set(TRACERS)
    assert sum(row["name"].startswith("STS_") for row in trained_on) == 30
    for words in ("simulated patients", "Soft-tissue-Sarcoma", "CC BY 3.0"):
        assert words in card["data"]["licence"]
    assert "not a medical device" in card["purpose"]
    assert card["code"]["commit"]


@pytest.mark.parametrize("tracer", [TracerName.GA68_DOTATATE, TracerName.F18_FDG])
def test_marks_far_less_that_is_none_than_the_liver_threshold(tracer: TracerName, tmp_path: Path) -> None:
    simulate_cohort(SimulateOptions(tracer, seed=980_000, diseased_fraction=1.0), tmp_path / "cohort")
    (folder,) = (path for path in (tmp_path / "cohort").iterdir() if path.is_dir())
    study = read_study(folder)
    truth = read_labels(folder / "truth" / "lesions.nii.gz").array > 0
    scores = {}
    for method in (MethodName.UNET, MethodName.PERCIST):
        options = SegmentOptions(method, models=(FOLDER,) if method is MethodName.UNET else ())
        scores[method] = voxel_scores(segment(study, options).labels > 0, truth, study.pet.grid.voxel_ml)
    unet, percist = scores[MethodName.UNET], scores[MethodName.PERCIST]
    assert unet.false_positive_ml < percist.false_positive_ml / 2
    assert abs(unet.predicted_ml - unet.truth_ml) < abs(percist.predicted_ml - percist.truth_ml) / 2
    if tracer is TracerName.F18_FDG:
        assert (unet.dice or 0) > (percist.dice or 0)
