"""Which strategy learns most from few labels: a simulated study with a plot, several seeds, whatever the outcome.

Run as `python benchmarks/active_learning.py --out FOLDER [--plot FILE.png]` after `benchmarks/annotation_loop.py --out
FOLDER`, whose simulated patients it uses: twelve to choose from, six to test on. Every strategy starts from the same
first model. In each round it chooses patients by the scores of its newest model, gets their true labels, and trains
from the first model again. The numbers are those of a small network, trained for a minute on a few simulated patients
with a perfect annotator; robot annotators overestimate what real ones gain (arXiv 2404.01816).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from petlesion.console import print_rows
from petlesion.networks.model_folder import Model, load_model, model_identity
from petlesion.reader import read_study
from petlesion.report import Reference
from petlesion.segment.network import segment_by_network
from petlesion.segment.options import NetworkOptions
from petlesion.segment.reference import find_reference
from petlesion.segment.uncertainty import study_uncertainty
from petlesion.study import PetCt
from petlesion.training.cache import CachedCase, prepare
from petlesion.training.cases import Case, find_cases
from petlesion.training.config import CohortConfig
from petlesion.training.loop import train
from petlesion.training.validation import summarise, validate_case

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "petlesion"))
from lib.activelearning.strategies import STRATEGIES


@dataclass(frozen=True)
class Site:
    """Cases to choose from and to test on, and the model that all start from."""

    out: Path
    pool: Mapping[str, Case]
    tests: Sequence[CachedCase]
    studies: Mapping[str, tuple[PetCt, Reference]]
    first: Path

    @classmethod
    def open(cls, out: Path) -> Site:
        """Read what `annotation_loop.py` wrote."""
        _link_pool(out)
        pool = {case.name: case for case in find_cases([CohortConfig(folder=out / "pool")])}
        first = out / "models" / "unet"
        tests = prepare(find_cases([CohortConfig(folder=out / "tests")]), load_model(first).config, out / "cache")
        studies = {}
        for name, case in pool.items():
            study = read_study(case.folder, tracer=case.tracer)
            studies[name] = (study, find_reference(study)[0])
        return cls(out, pool, tests, studies, first)

    def scores(self, model: Model, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the strategies know of cases without a label."""
        result = {}
        for name in names:
            study, reference = self.studies[name]
            unsure = study_uncertainty(
                segment_by_network(study, [model], NetworkOptions(maps=True, threads=1), reference=reference)
            )
            result[name] = {"entropy": unsure.entropy, "lesions": unsure.lesions}
        return result

    def train(self, names: Sequence[str], folder: Path, seed: int, steps: int) -> Model:
        """Train from the first model on the labels of some cases."""
        cohort = folder / "cases"
        cohort.mkdir(parents=True)
        for name in names:
            (cohort / name).symlink_to(self.pool[name].folder.resolve())
        config = {
            "out": "out",
            "cache": str(self.out / "cache"),
            "cohorts": [{"folder": "cases"}],
            "init": str(self.first.resolve()),
            "seed": seed,
            "split": {"validation": 0},
            "augmentation": {"affine": 0, "elastic": 0, "pet_blur": 0},
            "optimiser": {"learning_rate": 2e-3},
            "run": {
                "steps": steps,
                "validate_every": steps,
                "batch": 4,
                "lesion_share": 0.7,
                "uptake_share": 0.2,
                "device": "cpu",
            },
        }
        (folder / "train.yaml").write_text(json.dumps(config))
        return load_model(train(folder / "train.yaml"))

    def dice(self, model: Model) -> float:
        """Mean Dice over the test patients."""
        import torch

        scores = [validate_case(model.network, model.config, case, torch.device("cpu")) for case in self.tests]
        return summarise(scores).dice or 0.0


def run(site: Site, strategy: str, seed: int, rounds: int, batch: int, steps: int) -> list[float]:
    """Dice after each round, the first model's first."""
    choose, _ = STRATEGIES[strategy]
    rng = random.Random(seed)
    model = load_model(site.first)
    labelled: list[str] = []
    curve = [site.dice(model)]
    for number in range(rounds):
        free = [name for name in site.pool if name not in labelled]
        uses_scores = strategy in ("entropy", "foreground_random")
        scores = site.scores(model, free) if uses_scores else {}
        for _ in range(batch):
            name, _ = choose([one for one in free if one not in labelled], scores, rng)
            labelled.append(name)
        made_from = json.dumps([model_identity(site.first), steps, *sorted(labelled)])
        key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
        folder = site.out / "active-learning" / f"{strategy}-{seed}-{number}-{key}"
        result = folder / "dice.json"
        if not result.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            model = site.train(labelled, folder, seed, steps)
            result.write_text(json.dumps(site.dice(model)))
        model = load_model(folder / "out" / "model")
        curve.append(float(json.loads(result.read_text())))
        print(f"{strategy}, seed {seed}: {curve[-1]:.3f} with {len(labelled)} labels", file=sys.stderr, flush=True)
    return curve


def plot(curves: Mapping[str, Sequence[Sequence[float]]], batch: int, path: Path) -> None:
    """Mean and range over seeds, by number of labels."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for n, (name, rows) in enumerate(curves.items()):
        values = np.array(rows)
        labels = batch * np.arange(values.shape[1]) + 0.12 * (n - 1.5)
        errors = np.stack([values.mean(0) - values.min(0), values.max(0) - values.mean(0)])
        axes.errorbar(labels, values.mean(0), yerr=errors, marker="o", capsize=3, label=name)
    axes.set_xlabel("labelled patients")
    axes.set_ylabel("mean Dice on 6 simulated test patients")
    axes.set_title(f"Mean and range of {len(next(iter(curves.values())))} seeds (simulated)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _link_pool(out: Path) -> None:
    """The server's folder of images, with the truth, as a cohort."""
    for path in sorted((out / "studies").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        folder = out / "pool" / name
        if folder.is_dir():
            continue
        folder.mkdir(parents=True)
        for link, target in (
            ("pet.nii.gz", path),
            ("ct.nii.gz", out / "studies" / "ct" / path.name),
            ("lesions.nii.gz", out / "truth" / path.name),
            ("case.json", out / "studies" / f"{name}.json"),
        ):
            (folder / link).symlink_to(target.resolve())


def main() -> None:
    """Parse options, run all strategies, print the table and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of annotation_loop.py")
    parser.add_argument("--plot", type=Path, help="PNG file")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2, help="patients that are labelled in a round")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    site = Site.open(options.out)
    curves = {
        name: [run(site, name, seed, options.rounds, options.batch, options.steps) for seed in range(options.seeds)]
        for name in STRATEGIES
    }
    header = ("strategy", *(f"{options.batch * n} labels" for n in range(options.rounds + 1)))
    rows = []
    for name, values in curves.items():
        table = np.array(values)
        cells = zip(table.mean(0), table.min(0), table.max(0), strict=True)
        rows.append((name, *(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in cells)))
    print_rows(header, rows)
    if options.plot is not None:
        plot(curves, options.batch, options.plot)


if __name__ == "__main__":
    main()
