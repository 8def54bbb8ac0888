"""How well the network knows the organs of simulated patients: Dice of each, mean over patients.

    python benchmarks/network_organs.py DATA --model apps/petlesion/model/unet [--patients 2]

DATA holds cohorts of `petlesion simulate`, such as those of `network_accuracy.py`; the first of each take part.
Lesions belong to no organ, in the truth as in the prediction. Liver and spleen decide about reference thresholds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from petlesion.console import print_rows
from petlesion.evaluate.voxels import voxel_scores
from petlesion.networks.model_folder import Model
from petlesion.organs import Organ
from petlesion.segment.network import load_models, segment_by_network
from petlesion.training.cases import Case, find_cases, read_case
from petlesion.training.config import CohortConfig


def scores(case: Case, model: Model) -> Iterator[tuple[Organ, float]]:
    """Dice of every organ that the patient has in the field of view."""
    names = model.config.classes
    labelled = read_case(case, names)
    found = segment_by_network(labelled.study, (model,)).organs
    for organ in Organ:
        if organ in names:
            truth = labelled.classes == names.index(organ)
            predicted = np.isin(found.labels, found.values.get(organ, ()))
            dice = voxel_scores(predicted, truth, found.grid.voxel_ml).dice
            if truth.any() and dice is not None:
                yield organ, dice


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=2, help="of each cohort")
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"{given.data} is no folder")
    (model,) = load_models((given.model,))
    found: dict[Organ, list[float]] = defaultdict(list)
    for cohort in sorted(path for path in given.data.iterdir() if path.is_dir()):
        for case in find_cases([CohortConfig(folder=cohort)])[: given.patients]:
            for organ, dice in scores(case, model):
                found[organ].append(dice)
    rows = [(str(organ), f"{np.mean(d):.2f}", f"{min(d):.2f}", str(len(d))) for organ, d in found.items()]
    print_rows(("organ", "Dice, mean", "lowest", "patients"), rows)


if __name__ == "__main__":
    main()
