"""Train nnU-Net v2 on the folds of the sarcoma patients, each for a number of minutes, to compare with.

    make nnunet-tools
    python benchmarks/nnunet_sarcoma.py ../shared/data/sts -o runs/nnunet --minutes 20
    python benchmarks/sarcoma.py ../shared/data/sts --model runs/fold0/model ... --nnunet runs/nnunet

nnU-Net's own plans, network, augmentation, loss and optimiser (3d_fullres, 5.6 million parameters here), CT and PET in;
folds by the hash that splits all training here. Only the length differs: as many steps as the time allows, the learning
rate falling with the time, and no validation while it trains. A fold that is done is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DATASET = "Dataset001_Sarcoma"
CONFIGURATION = "3d_fullres"
FOLDS = 5
PLANS = "nnUNetPlans"
RESULTS = "results"
"""Folder of trained folds inside the output folder."""
STEPS_AN_EPOCH = 10


def trained_folder(out: Path) -> Path:
    """The folder that `petlesion segment --method nnunet --model` takes."""
    return out / RESULTS / DATASET / f"TimedTrainer__{PLANS}__{CONFIGURATION}"


def splits_file(out: Path) -> Path:
    """Who trains and who validates in each fold, as nnU-Net reads it."""
    return out / "preprocessed" / DATASET / "splits_final.json"


def write_dataset(data: Path, raw: Path) -> list[str]:
    """Write the patients as nnU-Net wants them, the CT on the grid of the PET; returns their names."""
    from petlesion.nifti import read_labels, write_image, write_labels
    from petlesion.reader import read_study
    from petlesion.resample import resample
    from petlesion.study import NO_CT_HU
    from petlesion.tracers import TracerName

    images, labels = raw / "imagesTr", raw / "labelsTr"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in data.iterdir() if path.is_dir())
    for name in names:
        study = read_study(data / name, tracer=TracerName.F18_FDG)
        if study.ct is None:
            raise SystemExit(f"{name} has no CT")
        write_image(resample(study.ct, study.pet.grid, outside=NO_CT_HU), images / f"{name}_0000.nii.gz")
        write_image(study.pet, images / f"{name}_0001.nii.gz")
        truth = read_labels(data / name / "gtv.nii.gz")
        write_labels((truth.array > 0).astype("uint8"), study.pet.grid, labels / f"{name}.nii.gz")
    description = {
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    return names


def splits(names: list[str], validation: float | None) -> list[dict[str, list[str]]]:
    """Our folds, or one that holds out a share of the patients, as nnU-Net reads them."""
    from petlesion.training.config import SplitConfig
    from petlesion.training.split import validates

    wanted = (
        [SplitConfig(validation=validation)] if validation else [SplitConfig(fold=n, folds=FOLDS) for n in range(FOLDS)]
    )
    parts = [[name for name in names if validates(name, split)] for split in wanted]
    return [{"train": [name for name in names if name not in part], "val": part} for part in parts]


def prepare(data: Path, out: Path, validation: float | None) -> None:
    """Plan and preprocess, once, and write who validates."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess

    folds = splits_file(out)
    if folds.is_file():
        names = [path.name for path in data.iterdir() if path.is_dir()]
        if json.loads(folds.read_text()) != splits(sorted(names), validation):
            raise SystemExit(f"{out} holds another split of the patients; give another folder with -o")
        return
    names = write_dataset(data, out / "raw" / DATASET)
    extract_fingerprints([1], num_processes=2)
    plan_experiments([1])
    preprocess([1], PLANS, (CONFIGURATION,), num_processes=(2,))
    folds.write_text(json.dumps(splits(names, validation)))


def train_fold(out: Path, fold: int, minutes: float) -> None:
    """Train one fold for some minutes."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class TimedTrainer(nnUNetTrainer):  # type: ignore[misc]
        """As many steps as there is time for."""

        def run_training(self) -> None:
            self.on_train_start()
            began, steps = time.monotonic(), 0
            while (share := (time.monotonic() - began) / 60 / minutes) < 1:
                self.network.train()
                for group in self.optimizer.param_groups:
                    group["lr"] = self.initial_lr * (1 - share) ** 0.9
                self.train_step(next(self.dataloader_train))
                steps += 1
                if steps % STEPS_AN_EPOCH == 0:
                    print(f"fold {fold}: step {steps}, {100 * share:.0f} % of {minutes:g} min", flush=True)
            self.current_epoch = 1
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_final.pth"))

    plans = json.loads((out / "preprocessed" / DATASET / f"{PLANS}.json").read_text())
    plans["continue_training"] = False
    description = json.loads((out / "raw" / DATASET / "dataset.json").read_text())
    trainer = TimedTrainer(plans, CONFIGURATION, fold, description, device=torch.device("cpu"))
    trainer.run_training()


def main() -> None:
    """Prepare, and train every fold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), choices=range(FOLDS))
    parser.add_argument("--validation", type=float, help="hold out this share of the patients once, instead of folds")
    given = parser.parse_args()
    out = given.out.resolve()
    for name in ("raw", "preprocessed", RESULTS):
        (out / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(out / name)  # nnU-Net reads them when it is imported
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    sys.path.append(str(REPOSITORY / "build" / "nnunet"))
    prepare(given.data, out, given.validation)
    for fold in [0] if given.validation else given.folds:
        if not (trained_folder(out) / f"fold_{fold}" / "checkpoint_final.pth").is_file():
            train_fold(out, fold, given.minutes)


if __name__ == "__main__":
    main()
