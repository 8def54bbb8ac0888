"""What pretraining on simulated patients adds when few real patients are labelled: a learning curve.

    python benchmarks/few_labels.py ../shared/data/sts --init runs/simulated/model -o runs/few-labels --steps 400

For every number of patients two networks of the same architecture are trained for the same number of steps on the same
crops: one from the weights of `--init`, which must not have seen these patients, one from random weights. Every fifth
patient, by the hash that splits all training here, is held out from all of them and judges them. The smaller sets are
parts of the larger ones. Training goes on where it was interrupted. Intervals are 95 %, by 2,000 resamples of the
patients who judge, and say nothing of other patients to train on; `--folds 5` repeats everything with the other fifths
held out, which is everybody once. Folds are not of one size: the first column says how many patients there were.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from sarcoma import by_network, mean, read_patient, shown

from petlesion.networks.model_config import ModelConfig
from petlesion.networks.model_folder import CARD, read_config
from petlesion.tracers import TracerName
from petlesion.training.cases import find_cases
from petlesion.training.config import CohortConfig, SplitConfig
from petlesion.training.held_out import trained_on
from petlesion.training.loop import Status, train
from petlesion.training.split import position, validates

FOLDS = 5
ALL = 25
"""The most patients besides a fold."""


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes
    ----------
    fold
        That is held out.
    patients
        How many it is trained on.
    pretrained
        Whether it starts from the weights of `--init`.
    """

    fold: int
    patients: int
    pretrained: bool

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"fold{self.fold}-{self.patients:02d}-{'pretrained' if self.pretrained else 'scratch'}"


def in_order(data: Path, fold: int = 0) -> list[Path]:
    """Folders of the patients in the order of their hashes, from those of a fold on.

    A longer list thus begins with a shorter one, and few patients to train on are others in each fold.
    """
    folders = (path for path in data.iterdir() if path.is_dir())
    return sorted(folders, key=lambda path: (position(path.name) - fold / FOLDS) % 1)


def learned_from(arm: Arm, data: Path) -> list[Path]:
    """Patients that an arm is trained on: fewer than it asks for where so many are not left besides its fold."""
    split = SplitConfig(fold=arm.fold, folds=FOLDS)
    return [path for path in in_order(data, arm.fold) if not validates(path.name, split)][: arm.patients]


def refuse_what_has_seen(init: Path, data: Path) -> None:
    """End the program if a model or one of its ancestors was trained on any of the patients."""
    card = json.loads((init / CARD).read_text())
    names, contents = trained_on([card], "name"), trained_on([card], "sha256")
    for case in find_cases([CohortConfig(folder=data, tracer=TracerName.F18_FDG)]):
        if case.name in names or case.content_sha256() in contents:
            raise SystemExit(f"{init} has seen {case.name}; give a model trained on simulated patients alone")


def prepare(arm: Arm, given: argparse.Namespace) -> Path:
    """Write the cohort of an arm (links to its patients) and its recipe."""
    folder = given.out / arm.name
    cohort = folder / "cohort"
    cohort.mkdir(parents=True, exist_ok=True)
    for path in learned_from(arm, given.data):
        link = cohort / path.name
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    recipe = {
        "profile": "cpu",
        "out": "run",
        "cache": str((given.out / "cache").resolve()),
        "cohorts": [{"folder": "cohort", "tracer": "f18-fdg"}],
        "split": {"fold": arm.fold, "folds": FOLDS},
        "run": {"steps": given.steps, "max_minutes": None, "validate_every": given.steps},
        "licence": "Soft-tissue-Sarcoma collection, TCIA (doi 10.7937/K9/TCIA.2015.7GO2GSKS), CC BY 3.0",
    }
    recipe |= {"init": str(given.init.resolve())} if arm.pretrained else {"model": _model(read_config(given.init))}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def _model(config: ModelConfig) -> dict[str, object]:
    """The same network for the other arm, which starts from random weights."""
    return config.model_dump(mode="json", exclude={"tracers", "schema_version"})


def judged(arm: Arm, given: argparse.Namespace) -> list[float]:
    """Dice of every held-out patient."""

    def watch(status: Status) -> None:
        if status.step % 50 == 0:
            print(f"{arm.name}: step {status.step} of {status.steps}", file=sys.stderr, flush=True)

    model = train(prepare(arm, given), watch=watch)  # one that is done is not trained again, and another recipe refused
    split = SplitConfig(fold=arm.fold, folds=FOLDS)
    held_out = [path for path in in_order(given.data) if validates(path.name, split)]
    return [by_network(read_patient(path), model) for path in held_out]


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--init", type=Path, required=True, help="model trained on simulated patients alone")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--patients", type=int, nargs="+", default=[5, 10, ALL])
    parser.add_argument("--folds", type=int, default=1, choices=range(1, FOLDS + 1))
    given = parser.parse_args()
    refuse_what_has_seen(given.init, given.data)
    print("| patients | from random weights | pretrained on simulation | pretrained less random |")
    print("| --- | --- | --- | --- |")
    for count in given.patients:
        scratch, pretrained = ([], [])
        for fold in range(given.folds):
            scratch += judged(Arm(fold, count, pretrained=False), given)
            pretrained += judged(Arm(fold, count, pretrained=True), given)
        sizes = sorted({len(learned_from(Arm(fold, count, True), given.data)) for fold in range(given.folds)})
        print(f"| {' or '.join(map(str, sizes))} | {_cells(scratch, pretrained)} |", flush=True)


def _cells(scratch: Sequence[float], pretrained: Sequence[float]) -> str:
    difference = [b - a for a, b in zip(scratch, pretrained, strict=True)]
    return " | ".join(shown(mean(values)) for values in (scratch, pretrained, difference))


if __name__ == "__main__":
    main()
