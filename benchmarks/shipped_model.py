"""Make the network that ships anew: simulate patients, pretrain on them, fine-tune with the sarcoma patients.

    python benchmarks/shipped_model.py ../shared/data/sts -o runs                 # everything: about 12 h on two cores
    python benchmarks/shipped_model.py ../shared/data/sts -o runs --only folds    # one stage
    python benchmarks/shipped_model.py ../shared/data/sts -o runs --parent MODEL  # from a model instead of from nothing

- `simulated`: 192 patients, four tracers times three scanners, of seeds that no benchmark judges by.
- `pretrained`: the profile `cpu` on these alone, lesions weighted so that they are found at all; it has seen no real
  patient. A published model (`--parent`) takes its place; folds then say nothing if that has seen all sarcoma patients.
- `folds`: five networks, each fine-tuned without a fifth of the sarcoma patients; `benchmarks/sarcoma.py` judges them.
- `unet`: the network that ships, fine-tuned by the same recipe with all sarcoma patients.

The weights that ship today came about in four trainings on two cores, the last two on one: those of `0602a7a`, which
shipped earlier; `--only unet --parent` these by the recipe of `f92481a`, which begins with seven tenths of them; and
twice `--only unet --parent` the weights of that by this one, the second time with `--minutes 90` (docs/results.md has
all four).

Fine-tuning draws a sixth of its patches from the sarcoma patients, half of them mirrored, a third from simulated ones
with FDG, a quarter with PSMA and a quarter with DOTATATE. The sarcoma patients are crops around a tumour: a network
that saw them in every second patch, and FDG in whole bodies in three of ten, took organs for tumour, 528 mL a patient.
Sarcomas were contoured on MR: nearly half of their voxels lie below SUV 3, so that a lesion's faint parts weigh more in
the loss than others. The mean of the weights over the later steps is taken, not those of the best validation: whoever
judges a fold must not choose its weights. Every stage goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from petlesion.networks.model_config import InputChannel
from petlesion.phantom.scanner import ScannerName
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.tracers import TracerName
from petlesion.training.loop import Status, train

STAGES = ("simulated", "pretrained", "folds", "unet")
TRACERS = (TracerName.GA68_DOTATATE, TracerName.CU64_DOTATATE, TracerName.GA68_PSMA11, TracerName.F18_FDG)
SCANNERS = {
    ScannerName.SIEMENS_BIOGRAPH_MCT: 24,
    ScannerName.GE_DISCOVERY_STE: 12,
    ScannerName.PHILIPS_GEMINI_TF: 12,
}
"""Patients a tracer."""
FOLDS = 5
SLOW = 0.3
"""Power of the learning rate's decay, while weights are averaged."""
AUGMENTATION = {"misregistration": 0.2, "rotation_degrees": 30.0, "scale": 0.25}
PRETRAIN_MINUTES, TUNING_MINUTES = 120.0, 98.0
SARCOMA_WEIGHT = 4.5
SIMULATED_WEIGHTS = {TracerName.F18_FDG: 6.0, TracerName.GA68_PSMA11: 4.0}
SIMULATED_WEIGHT = 2.3
"""How often a patient is drawn in fine-tuning: of the sarcomas, of these tracers, of the others."""
STEPS = 20_000
"""More than the time allows."""
SIMULATED = "simulated patients (Apache-2.0)"
SARCOMA = (
    "Soft-tissue-Sarcoma collection, TCIA (Vallières et al. 2015, doi 10.7937/K9/TCIA.2015.7GO2GSKS), CC BY 3.0, "
    "cropped around the tumour"
)


def cohorts(out: Path) -> list[tuple[Path, SimulateOptions]]:
    """Folder and options of every simulated cohort; equal seeds would give equal bodies, so that all differ."""
    return [
        (
            out / "data" / f"{tracer}-{scanner}",
            SimulateOptions(tracer, patients, 10_000 * first + 100 * second, scanner=scanner, resume=True),
        )
        for first, tracer in enumerate(TRACERS, start=1)
        for second, (scanner, patients) in enumerate(SCANNERS.items())
    ]


def recipe(out: Path, name: str, changes: Mapping[str, Any]) -> Path:
    """Write the recipe of a training beside its folder."""
    text = {
        "profile": "cpu",
        "out": f"runs/{name}",
        "cache": "cache",
        "licence": SIMULATED,
        "cohorts": [{"folder": str(folder.relative_to(out))} for folder, _ in cohorts(out)],
        **changes,
    }
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def pretraining(minutes: float) -> dict[str, Any]:
    """What the recipe on simulated patients changes in the profile."""
    return {
        "split": {"validation": 0.08},
        "run": {"steps": STEPS, "max_minutes": minutes, "validate_every": 2500, "keep": "average"},
        # at 2, the default, no voxel of a lesion was found in 1500 steps, while organs were
        "loss": {"lesion_weight": 4.0, "faint_lesion_weight": 4.0},
        "optimiser": {"learning_rate": 0.001, "power": SLOW},
        "augmentation": AUGMENTATION,
    }


def beginning(parent: Path | None) -> dict[str, Any]:
    """What fine-tuning goes on from: pretraining, or a published model, which may lack channels."""
    if parent is None:
        return {"init": "runs/pretrained/model"}
    model = {"channels": [str(channel) for channel in InputChannel]}
    return {"init": str(parent.resolve()), "model": model}


def fine_tuning(
    out: Path, sarcoma: Path, split: Mapping[str, Any], minutes: float, parent: Path | None
) -> dict[str, Any]:
    """What the recipe with real patients changes."""
    real = {
        "folder": str(sarcoma.resolve()),
        "tracer": str(TracerName.F18_FDG),
        "weight": SARCOMA_WEIGHT,
        "mirror": 0.5,
        "suv_gamma_range": 2.0,
    }
    return {
        **beginning(parent),
        "licence": f"{SIMULATED}; {SARCOMA}",
        "cohorts": [
            real,
            *(
                {
                    "folder": str(folder.relative_to(out)),
                    "weight": SIMULATED_WEIGHTS.get(options.tracer, SIMULATED_WEIGHT),
                }
                for folder, options in cohorts(out)
            ),
        ],
        "split": dict(split),
        "run": {
            "steps": STEPS,
            "max_minutes": minutes,
            "validate_every": 200,
            "validation_cases": 1,
            "keep": "average",
        },
        "optimiser": {"learning_rate": 0.001, "power": SLOW},
        "augmentation": AUGMENTATION,
        "loss": {"avid_weight": 8.0, "lesion_weight": 1.5, "faint_lesion_weight": 3.0},
    }


def run(path: Path) -> None:
    """Train, or go on where it was ended, saying now and then how far it is; refuses the run of another recipe."""
    said = 0.0

    def watch(status: Status) -> None:
        nonlocal said
        if time.monotonic() - said > 60 or status.validation is not None:
            said = time.monotonic()
            judged = "" if status.validation is None else f", validation {status.validation}"
            left = status.seconds_left / 60
            print(f"{path.stem}: step {status.step}, loss {status.loss:.3f}, {left:.0f} min left{judged}", flush=True)

    print(f"{path.stem}: {train(path, watch=watch, jobs=os.cpu_count() or 1)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Go through the stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sarcoma", type=Path, help="folder of the sarcoma patients")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", choices=STAGES, nargs="+", default=STAGES)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), choices=range(FOLDS))
    parser.add_argument("--parent", type=Path, help="model folder to fine-tune, instead of pretraining")
    parser.add_argument("--pretrain-minutes", type=float, default=PRETRAIN_MINUTES, help="default %(default)g")
    parser.add_argument(
        "--minutes", type=float, default=TUNING_MINUTES, help="of each fine-tuning; default %(default)g"
    )
    given = parser.parse_args(arguments)
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if "simulated" in given.only:
        for folder, options in cohorts(out):
            simulate_cohort(options, folder)
            print(f"{folder.name}: {options.patients} patients", file=sys.stderr, flush=True)
    if "pretrained" in given.only and given.parent is None:
        run(recipe(out, "pretrained", pretraining(given.pretrain_minutes)))
    if "folds" in given.only:
        for fold in given.folds:
            split = {"fold": fold, "folds": FOLDS}
            tuning = fine_tuning(out, given.sarcoma, split, given.minutes, given.parent)
            run(recipe(out, f"fold{fold}", tuning))
    if "unet" in given.only:
        tuning = fine_tuning(out, given.sarcoma, {"validation": 0}, given.minutes, given.parent)
        run(recipe(out, "unet", tuning))


if __name__ == "__main__":
    main()
