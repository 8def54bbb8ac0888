from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from petlesion.errors import UsageError
from petlesion.evaluate.cohort import CohortTable, by_tracer, evaluate_folders, tabulate
from petlesion.evaluate.patients import Rules
from petlesion.evaluate.rating import Rating
from petlesion.nifti import read_image, write_image, write_labels
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((6, 10, 10), (5.0, 5.0, 4.0))  # 0.1 mL a voxel


def labels(**lesions: tuple[slice, slice, slice]) -> np.ndarray:
    array = np.zeros(GRID.shape, dtype=np.uint16)
    for number, box in enumerate(lesions.values(), start=1):
        array[box] = number
    return array


A, B, FALSE = np.s_[1:3, 1:4, 1:4], np.s_[4:5, 6:9, 6:9], np.s_[0:1, 8:10, 0:2]
"""Boxes of 18, 9 and 4 voxels."""


def write_cohort(folder: Path) -> tuple[Path, Path]:
    """Three patients: one lesion of two found and one false; a control with nothing; a miss of everything."""
    predictions, truth = folder / "pred", folder / "truth"
    masks = {
        "one": (labels(a=A, false=FALSE), labels(a=A, b=B)),
        "control": (labels(), labels()),
        "missed": (labels(), labels(b=B)),
    }
    for name, (predicted, true) in masks.items():
        (predictions / name).mkdir(parents=True)
        (truth / name / "truth").mkdir(parents=True)
        write_labels(true, GRID, truth / name / "truth" / "lesions.nii.gz")
        write_image(Volume(np.full(GRID.shape, 2.0, dtype=np.float32), GRID), truth / name / "pet.nii.gz")
        found = [{"id": 1, "confidence": 0.9}, {"id": 2, "confidence": 0.4}] if name == "one" else []
        (predictions / name / "report.json").write_text(json.dumps({"lesions": found}))
        if name != "control":  # with no lesion found, an output folder may hold no mask
            write_labels(predicted, GRID, predictions / name / "lesions.nii.gz")
    return predictions, truth


def table_of(predictions: Path, truth: Path) -> CohortTable:
    return tabulate(evaluate_folders(predictions, truth), Rules())


def test_cohort_counted_by_hand(tmp_path: Path) -> None:
    table = table_of(*write_cohort(tmp_path))
    rows = {row.case: row for row in table.rows}
    assert list(rows) == ["control", "missed", "one"]
    one = rows["one"]
    assert one.voxels.dice == pytest.approx(2 * 18 / (22 + 27))
    assert (one.found, one.missed, one.false) == (1, 1, 1)
    assert one.lesion_f1 == pytest.approx(0.5)
    assert one.voxels.false_positive_ml == pytest.approx(0.4)
    assert one.predicted_uptake is not None
    assert one.true_uptake is not None
    assert one.predicted_uptake.tlu == pytest.approx(2 * 2.2)
    assert one.true_uptake.tlu == pytest.approx(2 * 2.7)
    assert one.predicted_uptake.suv_mean == pytest.approx(2.0)
    assert rows["control"].lesion_f1 is None
    assert rows["control"].rating is Rating.PERFECT
    assert rows["missed"].rating is Rating.NON_USABLE
    estimates = {name: interval.estimate for name, interval in table.figures.items()}
    assert estimates == pytest.approx(
        {
            "dice": (36 / 49 + 0) / 2,
            "iou": (18 / 31 + 0) / 2,
            "voxel_sensitivity": (18 / 27 + 0) / 2,
            "voxel_ppv": 18 / 22,  # nothing is predicted in the other patient with lesions
            "surface_dice": (one.surface_dice or 0) / 2,
            "false_positive_ml": 0.4 / 3,
            "false_negative_ml": (0.9 + 0.9) / 3,
            "volume_agreement_percent": 100 * (2.2 / 2.7 + 0) / 2,
            "suv_mean_agreement_percent": 100 * (1 + 0) / 2,
            "ttv_bias_ml": (2.2 - 2.7 + 0.0 - 0.9) / 3,
            "ttv_absolute_error_ml": (0.5 + 0.9) / 3,
            "tlu_bias_g": 2 * (2.2 - 2.7 + 0.0 - 0.9) / 3,
            "lesion_f1": 2 / (2 + 3),
            "lesion_sensitivity": 1 / 3,
            "lesion_ppv": 1 / 2,
            "lesion_average_precision": 1 / 3,  # one of three lesions, ranked before the false one
            "patient_accuracy": 2 / 3,
            "patient_sensitivity": 1 / 2,
            "patient_specificity": 1.0,
            "patient_ppv": 1.0,
            "patient_npv": 1 / 2,
        }
    )
    assert all(interval.lower <= interval.estimate <= interval.upper for interval in table.figures.values())
    assert table.figures["patient_specificity"].lower < 0.3  # of a single control
    assert table.ttv is not None
    assert table.ttv.bias == pytest.approx((2.2 - 2.7 + 0.0 - 0.9) / 3)
    assert table.tlu is not None
    assert table.tlu.bias == pytest.approx(2 * (2.2 - 2.7 + 0.0 - 0.9) / 3)
    assert table.ratings == {1: 1, 2: 0, 3: 1, 4: 0, 5: 1}


def test_uptake_is_that_of_a_pet_that_is_not_compressed(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    packed = table_of(predictions, truth)
    for pet in truth.glob("*/pet.nii.gz"):
        write_image(read_image(pet), pet.with_suffix(""))
        pet.unlink()
    assert table_of(predictions, truth) == packed


def test_without_confidences_there_is_no_average_precision(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    (predictions / "one" / "report.json").unlink()
    table = table_of(predictions, truth)
    assert "lesion_average_precision" not in table.figures
    assert table.notes == ()  # no method here gives confidences


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (None, "has no report.json"),
        ([{"id": 1, "confidence": 0.9}, {"id": 2, "confidence": 0.4}], "lists 2 lesions in report.json and has 1"),
        ([{"id": 1, "confidence": None}], "gives 1 of 1 lesions no confidence"),
    ],
)
def test_case_that_keeps_the_cohort_from_an_average_precision_is_named(
    tmp_path: Path, report: list[dict[str, float | None]] | None, why: str
) -> None:
    predictions, truth = write_cohort(tmp_path)
    assert table_of(predictions, truth).notes == ()
    write_labels(labels(b=B), GRID, predictions / "missed" / "lesions.nii.gz")
    if report is None:
        (predictions / "missed" / "report.json").unlink()
    else:
        (predictions / "missed" / "report.json").write_text(json.dumps({"lesions": report}))
    table = table_of(predictions, truth)
    assert "lesion_average_precision" not in table.figures
    (note,) = table.notes
    assert f"1 case has lesions without a confidence, and case missed {why}" in note


def test_single_lesion_in_parts_is_one_where_the_files_say_so(tmp_path: Path) -> None:
    """A mask of one value says where tumour is, a label volume of one lesion that there is one."""
    predictions, truth = write_cohort(tmp_path)
    parts = labels(a=A)
    parts[B] = 1
    write_labels(parts, GRID, truth / "one" / "truth" / "lesions.nii.gz")
    write_labels(parts, GRID, predictions / "one" / "lesions.nii.gz")
    (predictions / "one" / "report.json").write_text('{"lesions": [{"id": 1, "confidence": 0.9}]}')
    row = evaluate_folders(predictions, truth)[-1]
    assert (row.found, row.missed, row.false) == (1, 1, 0)  # a truth of bare voxels
    (truth / "one" / "truth" / "truth.json").write_text("{}")
    row = evaluate_folders(predictions, truth)[-1]
    assert (row.found, row.missed, row.false) == (1, 0, 0)
    assert row.candidates is not None
    (predictions / "one" / "report.json").unlink()
    row = evaluate_folders(predictions, truth)[-1]
    assert (row.found, row.missed, row.false) == (1, 0, 1)


def test_controls_alone_leave_ratios_out(tmp_path: Path) -> None:
    for name in ("pred", "truth"):
        (tmp_path / name).mkdir()
        for case in ("a", "b"):
            write_labels(labels(), GRID, tmp_path / name / f"{case}.nii.gz")
    table = table_of(tmp_path / "pred", tmp_path / "truth")
    volumes = {"false_positive_ml", "false_negative_ml", "ttv_bias_ml", "ttv_absolute_error_ml"}
    assert set(table.figures) == {*volumes, "patient_accuracy", "patient_specificity", "patient_npv"}
    assert all(table.figures[name].estimate == 0.0 for name in volumes)
    assert table.figures["patient_accuracy"].estimate == 1.0
    assert table.tlu is None


def test_rule_for_found_and_other_grids(tmp_path: Path) -> None:
    fine = Grid.from_geometry((12, 20, 20), (2.5, 2.5, 2.0), (-1.0, -1.25, -1.25))
    for name, array, grid in (
        ("truth", labels(a=A), GRID),
        ("pred", labels(a=np.s_[1:3, 1:4, 1:3]).repeat(2, 0).repeat(2, 1).repeat(2, 2), fine),
    ):
        (tmp_path / name).mkdir()
        write_labels(array, grid, tmp_path / name / "a.nii.gz")
    row = evaluate_folders(tmp_path / "pred", tmp_path / "truth")[0]
    assert row.voxels.dice == pytest.approx(2 * 12 / (12 + 18))
    assert row.found == 1
    strict = evaluate_folders(tmp_path / "pred", tmp_path / "truth", Rules(min_iou=0.7))[0]
    assert (strict.found, strict.missed, strict.false) == (0, 1, 1)


def test_refuses_what_cannot_be_compared(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    far = Grid(GRID.shape, GRID.affine + np.pad([[500.0]], ((0, 3), (3, 0))))
    write_labels(labels(a=A), far, predictions / "one" / "lesions.nii.gz")
    with pytest.raises(UsageError, match="case one lies outside the image of its truth"):
        evaluate_folders(predictions, truth)
    (predictions / "one" / "lesions.nii.gz").unlink()
    with pytest.raises(UsageError, match="case one lists lesions"):
        evaluate_folders(predictions, truth)
    (predictions / "one" / "report.json").unlink()
    with pytest.raises(UsageError, match="case one has no prediction"):
        evaluate_folders(predictions, truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no case"):
        evaluate_folders(predictions, tmp_path / "empty")
    with pytest.raises(UsageError, match="no folder"):
        evaluate_folders(predictions, tmp_path / "missing")


def test_true_control_without_a_mask_is_not_passed_over(tmp_path: Path) -> None:
    """A reviewed result without lesions holds no mask: left out, its false positives would count nowhere."""
    predictions, truth = write_cohort(tmp_path)
    shutil.rmtree(truth / "control")
    (truth / "control").mkdir()
    (truth / "control" / "report.json").write_text('{"lesions": []}')
    with pytest.raises(UsageError, match=r"case control has no mask.*zeros"):
        evaluate_folders(predictions, truth)


def test_pet_must_be_finite_under_masks(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    pet = np.full(GRID.shape, 2.0, dtype=np.float32)
    pet[5, 5, 5] = np.nan
    write_image(Volume(pet, GRID), truth / "one" / "pet.nii.gz")
    assert table_of(predictions, truth).tlu is not None
    pet[1, 1, 1] = np.inf
    write_image(Volume(pet, GRID), truth / "one" / "pet.nii.gz")
    with pytest.raises(UsageError, match="not finite"):
        evaluate_folders(predictions, truth)


def test_tracers_apart_from_truth_or_report(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    rows = evaluate_folders(predictions, truth)
    assert [row.tracer for row in rows] == [None, None, None]
    assert by_tracer(rows, Rules()) == {}
    for case, tracer in (("one", "f18-fdg"), ("missed", "ga68-psma11")):
        (truth / case / "truth" / "truth.json").write_text(json.dumps({"tracer": tracer}))
    assert by_tracer(evaluate_folders(predictions, truth), Rules()).keys() == {"f18-fdg", "ga68-psma11"}
    (truth / "control" / "case.json").write_text(json.dumps({"tracer": "cu64-dotatate"}))
    assert by_tracer(evaluate_folders(predictions, truth), Rules()).keys() == {
        "f18-fdg",
        "ga68-psma11",
        "cu64-dotatate",
    }
    (truth / "control" / "case.json").unlink()
    for tracer in ("unknown", "f18-fdg"):
        report = {"study": {"tracer": tracer}, "lesions": []}
        (predictions / "control" / "report.json").write_text(json.dumps(report))
        rows = {row.case: row.tracer for row in evaluate_folders(predictions, truth)}
        assert rows["control"] == (None if tracer == "unknown" else tracer)
    tables = by_tracer(evaluate_folders(predictions, truth), Rules())
    assert {name: [row.case for row in table.rows] for name, table in tables.items()} == {
        "f18-fdg": ["control", "one"],
        "ga68-psma11": ["missed"],
    }
    assert tables["f18-fdg"].figures["dice"].estimate == pytest.approx(36 / 49)
    assert tables["ga68-psma11"].figures["dice"].estimate == 0.0
    assert tables["ga68-psma11"].ttv is None


def test_cases_of_one_patient_are_drawn_together(tmp_path: Path) -> None:
    predictions, truth = write_cohort(tmp_path)
    apart = table_of(predictions, truth)
    assert [row.patient for row in apart.rows] == ["control", "missed", "one"]
    for case in ("one", "missed"):
        (truth / case / "case.json").write_text(json.dumps({"patient_id": "a"}))
    together = table_of(predictions, truth)
    assert [row.patient for row in together.rows] == ["control", "a", "a"]
    dice = together.figures["dice"]  # of the one patient with lesions
    assert dice.estimate == dice.lower == dice.upper == apart.figures["dice"].estimate
    assert apart.figures["dice"].lower == 0.0


@pytest.mark.parametrize(
    "content", ["{", '{"lesions": [{"id": 1}]}', '{"lesions": [{"id": 1, "confidence": NaN}]}', '{"lesions": 3}', "[]"]
)
def test_damaged_report_is_named(tmp_path: Path, content: str) -> None:
    predictions, truth = write_cohort(tmp_path)
    (predictions / "one" / "report.json").write_text(content)
    with pytest.raises(UsageError, match=r"report\.json"):
        evaluate_folders(predictions, truth)
