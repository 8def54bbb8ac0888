"""A picture of what the network and a threshold find in simulated patients, beside the truth.

    python benchmarks/network_figure.py DATA PREDICTIONS --model apps/petlesion/model/unet -o FIGURE.png

DATA and PREDICTIONS are those of `network_accuracy.py`, which makes what is missing. Of each tracer, the patient is
shown whose Dice by the network is the median: half of the patients come out better, half worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from network_accuracy import Contender, Patient, find_patients, networks, predict

from petlesion.evaluate.patients import Rules, evaluate_case
from petlesion.masks import read_mask
from petlesion.present.projection import lesion_outlines, maximum_intensity_projection
from petlesion.reader import read_study
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.study import PetCt

TRUE, FOUND = "#0072B2", "#D55E00"
"""Blue and vermilion of the palette of Okabe and Ito (2008)."""


def median_patients(patients: Sequence[Patient], contender: Contender, out: Path) -> list[tuple[Patient, float]]:
    """Of each tracer the patient with lesions whose Dice is the median, and that Dice."""
    scores: dict[str, list[tuple[float, Patient]]] = {}
    for patient in patients:
        row = evaluate_case(patient.folder.name, out / contender.folder, patient.folder.parent, Rules())
        if row.voxels.truth_ml > 0 and row.voxels.dice is not None:
            scores.setdefault(patient.tracer, []).append((row.voxels.dice, patient))
    chosen = []
    for tracer in sorted(scores):
        ordered = sorted(scores[tracer], key=lambda pair: pair[0])
        dice, patient = ordered[len(ordered) // 2]
        chosen.append((patient, dice))
    return chosen


def panel(axis: Any, study: PetCt, mask: Path, color: str, title: str) -> None:
    """One anterior projection with the outlines of a mask."""
    projection = maximum_intensity_projection(study.pet)
    top = study.tracer.display_suv
    axis.imshow(projection.image, cmap="gray_r", vmin=0, vmax=top, extent=projection.extent_mm, aspect="equal")
    lesions = read_mask(mask, study)
    for outline in lesion_outlines(lesions):
        for contour in outline.contours:
            axis.plot(*contour.T, color=color, linewidth=0.8)
    volume_ml = np.count_nonzero(lesions.labels) * lesions.grid.voxel_ml
    axis.set_title(f"{title}: {volume_ml:.0f} mL", fontsize=9, color=color)


def main() -> None:
    """Draw."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FIGURE")
    given = parser.parse_args()
    (ours,) = networks(given.model)
    threshold = Contender("percist", SegmentOptions(method=MethodName.PERCIST), "percist")
    patients = find_patients(given.data)
    if not patients:
        parser.error(f"{given.data} holds no simulated patient")
    for patient in patients:
        for contender in (ours, threshold):
            predict(patient, contender, given.predictions)
    shown = median_patients(patients, ours, given.predictions)
    lines = -(-len(shown) // 2)
    figure, axes = plt.subplots(lines, 6, figsize=(13.0, 3.7 * lines), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for number, (patient, dice) in enumerate(shown):
        study = read_study(patient.folder, tracer=patient.tracer)
        truth = patient.folder / "truth" / "lesions.nii.gz"
        found = [given.predictions / each.folder / patient.folder.name / "lesions.nii.gz" for each in (ours, threshold)]
        three = axes.flat[3 * number : 3 * number + 3]
        panel(three[0], study, truth, TRUE, "true")
        panel(three[1], study, found[0], FOUND, f"{ours.name}, Dice {dice:.2f}")
        panel(three[2], study, found[1], FOUND, "percist")
        three[1].text(0.5, -0.03, study.tracer.title, transform=three[1].transAxes, ha="center", fontsize=10)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out, dpi=90)


if __name__ == "__main__":
    main()
