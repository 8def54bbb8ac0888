"""Counts, F1 and average precision as picai_eval and panoptica give them (benchmarks/evaluation_oracles.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle_cases import MIN_IOU, SEEDS, oracle_case

from petlesion.evaluate.lesions import average_precision, match_lesions

TIE = 1e-9
"""Both packages count a lesion with just the least IoU as found, and some cases have one; by ours it must exceed it."""
ORACLES = json.loads(Path(__file__).with_name("oracles.json").read_text())


@pytest.mark.parametrize("seed", SEEDS)
def test_lesions_are_counted_as_panoptica_counts_them(seed: int) -> None:
    case, oracle = oracle_case(seed), ORACLES["panoptica"][str(seed)]
    found = match_lesions(case.predicted, case.truth, min_iou=MIN_IOU["panoptica"] - TIE)
    assert counts(found) == {key: oracle[key] for key in ("found", "missed", "false")}
    assert found.f1 == pytest.approx(oracle["f1"])
    if found.matches:
        assert np.mean([match.dice for match in found.matches]) == pytest.approx(oracle["dice_of_matches"])


def test_average_precision_is_that_of_picai_eval() -> None:
    confidences, correct, truth = [], [], 0
    for seed in SEEDS:
        case = oracle_case(seed)
        min_iou = MIN_IOU["picai_eval"] - TIE
        found = match_lesions(case.predicted, case.truth, min_iou=min_iou, spare_overlapping=True)
        assert counts(found) == ORACLES["picai_eval"]["cases"][str(seed)]
        truth += len(found.matches) + len(found.missed)
        for numbers, is_true in (([match.predicted for match in found.matches], True), (found.false, False)):
            confidences += [case.confidences[number] for number in numbers]
            correct += [is_true] * len(numbers)
    area = average_precision(confidences, correct, truth)
    assert area == pytest.approx(ORACLES["picai_eval"]["average_precision"], abs=1e-6)


def test_oracles_saw_all_kinds_of_outcome() -> None:
    for rows in (ORACLES["panoptica"], ORACLES["picai_eval"]["cases"]):
        assert all(sum(row[kind] for row in rows.values()) >= 5 for kind in ("found", "missed", "false"))


def counts(matching: Any) -> dict[str, int]:
    return {"found": len(matching.matches), "missed": len(matching.missed), "false": len(matching.false)}
