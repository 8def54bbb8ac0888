"""Small labelled cases on disk for tests of training: boxes of SUV 1 with a hot ball, and its label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from petlesion.nifti import write_image, write_labels
from petlesion.volume import Grid, Volume

SHAPE = (24, 24, 24)
GRID = Grid.from_geometry(SHAPE, (4.0, 4.0, 4.0))
LIVER, BLADDER = 32, 58
"""Label numbers of the simulator."""


def write_case(folder: Path, seed: int, *, lesion: bool = True, ct: bool = True, grid: Grid = GRID) -> None:
    """PET, CT and `lesions.nii.gz`; the ball's place and size follow from the seed."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    suv = rng.normal(1.0, 0.1, grid.shape).astype(np.float32)
    index = np.stack(np.indices(grid.shape), axis=-1)
    ball = np.linalg.norm(index - rng.uniform(8, 16, 3), axis=-1) <= rng.uniform(3, 5)
    if lesion:
        suv[ball] += 8.0
    write_image(Volume(suv, grid), folder / "pet.nii.gz")
    write_labels((ball & lesion).astype(np.uint8), grid, folder / "lesions.nii.gz")
    if ct:
        write_image(Volume(np.full(grid.shape, 40, dtype=np.int16), grid), folder / "ct.nii.gz")


def write_simulated_case(folder: Path, seed: int, patient_id: str = "") -> None:
    """The same with the simulator's truth: a liver of SUV 2 below the ball, and a hot bladder."""
    write_case(folder, seed)
    truth = folder / "truth"
    truth.mkdir()
    (folder / "lesions.nii.gz").rename(truth / "lesions.nii.gz")
    organs = np.zeros(SHAPE, dtype=np.uint8)
    organs[:5, :, :12] = LIVER
    organs[:5, :, 18:] = BLADDER
    write_labels(organs, GRID, truth / "organs.nii.gz")
    names = {LIVER: "liver", BLADDER: "bladder"}
    labels = {str(number): {"name": name, "organ": name} for number, name in names.items()}
    record = {"patient_id": patient_id or folder.name, "tracer": "f18-fdg", "labels": labels}
    (truth / "truth.json").write_text(json.dumps(record))


def write_config(folder: Path, **changes: object) -> Path:
    """Configuration of a tiny run over `folder/cases`; top-level keys are replaced by `changes`."""
    config: dict[str, object] = {
        "out": "out",
        "cache": "cache",
        "cohorts": [{"folder": "cases", "tracer": "f18-fdg"}],
        "seed": 1,
        "model": {
            "architecture": {"filters": [4, 8, 8]},
            "spacing_mm": [4, 4, 4],
            "patch": [16, 16, 16],
            "classes": ["background", "lesion"],
        },
        "split": {"validation": 0.5},
        "optimiser": {"learning_rate": 0.01},
        "run": {"steps": 12, "validate_every": 4, "batch": 2, "device": "cpu"},
    }
    path = folder / "train.yaml"
    path.write_text(json.dumps(config | changes))  # JSON is YAML
    return path


def train_beginner(folder: Path) -> Path:
    """Model folder of a network that was hardly trained."""
    from petlesion.training.loop import train

    write_case(folder / "cases" / "base-0", 100)
    run = {"steps": 1, "validate_every": 1, "batch": 1, "device": "cpu"}
    return train(write_config(folder, run=run, split={"validation": 0}))
