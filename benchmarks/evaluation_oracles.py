"""What picai_eval and panoptica say of the cases of tests/support/oracle_cases.py; the tests compare ours with it.

Both are test oracles only, and panoptica brings connected-components-3d (LGPL), so they are installed apart:

    python -m venv oracles
    oracles/bin/pip install numpy==1.26.4 picai_eval==1.4.13 panoptica==2.1.7
    PYTHONPATH=tests/support oracles/bin/python benchmarks/evaluation_oracles.py tests/evaluate/oracles.json
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from oracle_cases import MIN_IOU, SEEDS, OracleCase, oracle_case
from panoptica import InputType, NaiveThresholdMatching, Panoptica_Evaluator
from panoptica.metrics import Metric
from picai_eval.eval import evaluate_case
from picai_eval.metrics import Metrics


def by_picai(cases: dict[str, OracleCase]) -> dict[str, Any]:
    """Matches of every case and the average precision of all together."""
    lesions = {}
    for name, case in cases.items():
        table = np.zeros(int(case.predicted.max()) + 1, dtype=np.float32)
        table[list(case.confidences)] = list(case.confidences.values())
        lesions[name], *_ = evaluate_case(
            table[case.predicted], (case.truth > 0).astype(np.int32), min_overlap=MIN_IOU["picai_eval"]
        )
    found = Metrics(lesion_results=lesions)
    counts = {
        name: {
            "found": sum(bool(truth and overlap > 0) for truth, _, overlap in rows),
            "missed": sum(bool(truth and not overlap) for truth, _, overlap in rows),
            "false": sum(bool(not truth) for truth, _, overlap in rows),
        }
        for name, rows in lesions.items()
    }
    return {"average_precision": float(found.AP), "cases": counts}


def by_panoptica(case: OracleCase) -> dict[str, float]:
    """Counts, recognition quality (F1) and mean Dice of matches."""
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE,
        instance_matcher=NaiveThresholdMatching(matching_metric=Metric.IOU, matching_threshold=MIN_IOU["panoptica"]),
        instance_metrics=[Metric.DSC, Metric.IOU],
    )
    found = evaluator.evaluate(case.predicted.astype(np.uint16), case.truth.astype(np.uint16))["ungrouped"]
    counts = {"found": int(found.tp), "missed": int(found.fn), "false": int(found.fp)}
    return {**counts, "f1": float(found.rq), "dice_of_matches": float(found.sq_dsc)}


def main() -> None:
    """Write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    cases = {str(seed): oracle_case(seed) for seed in SEEDS}
    document = {
        "versions": {package: version(package) for package in ("picai_eval", "panoptica")},
        "picai_eval": by_picai(cases),
        "panoptica": {name: by_panoptica(case) for name, case in cases.items()},
    }
    given.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
