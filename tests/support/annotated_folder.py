"""A folder of NIfTI images as the annotation server opens it, with labels, and a model that was hardly trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from lib.datastore.stores import Stores, open_stores
from training_cases import GRID, write_case

from petlesion.nifti import read_labels


def write_studies(folder: Path, count: int, *, tracer: str = "f18-fdg") -> None:
    """Images `image-0`, ... of patients of their own; their truth in `folder/../truth`."""
    (folder / "ct").mkdir(parents=True)
    for n in range(count):
        truth = folder.parent / "truth" / f"image-{n}"
        write_case(truth, n)
        (truth / "pet.nii.gz").rename(folder / f"image-{n}.nii.gz")
        (truth / "ct.nii.gz").rename(folder / "ct" / f"image-{n}.nii.gz")
        (folder / f"image-{n}.json").write_text(json.dumps({"patient_id": f"Doe^{n}", "tracer": tracer}))


def open_folder(folder: Path) -> Stores:
    """Images and labels of a folder."""
    stores = open_stores(str(folder))
    stores.cases.refresh()
    return stores


def annotate(stores: Stores, folder: Path, numbers: range, *, shift: int = 0, empty: bool = False) -> None:
    """Submit the truth of images, moved by some voxels, or no lesion at all."""
    for n in numbers:
        labels = read_labels(folder.parent / "truth" / f"image-{n}" / "lesions.nii.gz").array
        labels = np.roll(labels, shift, axis=2) * (0 if empty else 1)
        stores.labels.save(f"image-{n}", labels, GRID, annotator="robot")
