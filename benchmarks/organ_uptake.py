"""Organ SUVs of simulated patients against the literature, and the figure that shows both.

    python benchmarks/organ_uptake.py [--patients N] [--tracer T] [--fwhm MM] [--figure FILE.png]

Draws controls (no disease), blurs their true activity like a scanner (Gaussian, without noise) and measures each organ
as a reader does: SUVmax is the highest voxel, SUVmean the mean of the voxels above half of that, of the inner part of a
large organ or the whole of a small one. Prints a row for each organ with a published value; fails when a mean over
patients lies more than one SD from the published mean (an estimate where the source prints none). `--figure` draws
maximum intensity projections of two scanned patients a tracer beside the same rows.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.ndimage import distance_transform_edt, gaussian_filter

from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import VERTEBRAE, Label
from petlesion.phantom.patient import SimulatedPatient, simulate_patient
from petlesion.phantom.placing import Places
from petlesion.phantom.simulate import SimulateOptions, scan_patient
from petlesion.phantom.uptake_tables import TABLES, OrganUptake, Published
from petlesion.tracers import TRACERS, TracerName

WIDESPREAD = ("blood", "muscle", "vertebral marrow", "lung", "stomach wall", "jejunum", "ileum", "colon")
DEEP_MM = 8.0
"""Large organs are measured this far under their surface, mm."""
FWHM_TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
SHOWN_SEEDS = (31, 35)
"""Patients of the figure: arms up and arms down."""


@dataclass(frozen=True)
class Row:
    """One organ: simulated mean and SD over patients, and what is published."""

    organ: str
    mean: float
    sd: float
    published: Published

    @property
    def off(self) -> float:
        """Difference of the means in SDs of what is published."""
        return (self.mean - self.published.mean) / self.published.sd


def measure(tracer: TracerName, seed: int, fwhm_mm: float) -> dict[str, dict[str, float]]:
    """SUVmax and SUVmean of every organ of one control, and the body's mean under "body"."""
    patient = simulate_patient(tracer, seed, CohortOptions(diseased_fraction=0.0))
    labels, spacing = patient.anatomy.labels, patient.anatomy.grid.spacing_mm[0]
    image = gaussian_filter(patient.activity_suv, fwhm_mm * FWHM_TO_SIGMA / spacing)
    places = Places(patient.anatomy)
    foci = patient.foci_on(patient.anatomy.grid)
    whole = np.array([False, *(focus.whole_organ for focus in patient.foci)])
    free = (foci == 0) | whole[foci]
    values = {"body": {"SUVmean": float(patient.activity_suv[(labels > 0) & (labels != Label.TABLE)].mean())}}
    for organ in TABLES[tracer].organs:
        # One side of a paired organ, and one region of the spine, as a reader measures them.
        which = VERTEBRAE[-5:] if organ.labels == (Label.L3,) else organ.labels[:1] if organ.paired else organ.labels
        box = places.box(which)
        if box is None:
            continue
        depth = distance_transform_edt(np.pad(np.isin(labels[box], which), 1))[1:-1, 1:-1, 1:-1] * spacing
        # A reader stays clear of the neighbours' spill-over where the organ is large enough.
        inside = image[box][(depth >= min(DEEP_MM, 0.45 * depth.max())) & (depth > 0) & free[box]]
        if inside.size:
            values[organ.name] = _measured(inside, organ)
    return values


def _measured(values: NDArray[np.float32], organ: OrganUptake) -> dict[str, float]:
    # Widespread tissues and the walls of hollow organs are measured in a small region somewhere, not over all of them.
    if organ.name in WIDESPREAD:
        return {"SUVmax": float(np.percentile(values, 90)), "SUVmean": float(np.median(values))}
    return {"SUVmax": float(values.max()), "SUVmean": float(values[values >= 0.5 * values.max()].mean())}


def compare(tracer: TracerName, drawn: list[dict[str, dict[str, float]]]) -> list[Row]:
    """Rows of the organs with a published value."""
    rows = []
    for organ in TABLES[tracer].organs:
        published = organ.published
        found = [d[organ.name][published.measure] for d in drawn if published and organ.name in d]
        if published is not None and found:
            rows.append(Row(organ.name, float(np.mean(found)), float(np.std(found)), published))
    return rows


def print_rows(tracer: TracerName, rows: list[Row], console: Console) -> None:
    """One table."""
    table = Table("organ", "measure", "simulated", "published", "off (SD)", "source", title=tracer.value)
    for row in rows:
        p = row.published
        off = f"{row.off:+.2f}" + (" !" if abs(row.off) > 1 else "")
        source = p.source if p.checked else f"{p.source} (not checked)"
        simulated, known = f"{row.mean:.2f} ± {row.sd:.2f}", f"{p.mean:.2f} ± {p.sd:.2f}"
        table.add_row(row.organ, p.measure, simulated, known, off, source)
    console.print(table)


def draw(rows: dict[TracerName, list[Row]], path: Path) -> None:
    """The figure: for each tracer two projections and the table."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(rows), 3, figsize=(11, 5.2 * len(rows)), squeeze=False, width_ratios=(1, 1, 2.1), layout="constrained"
    )
    for line, (tracer, lines) in zip(axes, rows.items(), strict=True):
        for axis, seed in zip(line, SHOWN_SEEDS, strict=False):
            _projection(axis, tracer, seed)
        line[2].axis("off")
        cells = [
            [
                r.organ,
                r.published.measure,
                f"{r.mean:.1f} ± {r.sd:.1f}",
                f"{r.published.mean:.1f} ± {r.published.sd:.1f}",
            ]
            for r in lines
        ]
        table = line[2].table(
            cells, colLabels=["organ", "measure", "simulated", "published"], loc="center", cellLoc="left", edges="B"
        )
        table.auto_set_font_size(False)
        table.set_fontsize(8)
        table.auto_set_column_width(range(4))
        line[2].set_title(f"{TRACERS[tracer].title}, controls", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def disease(patient: SimulatedPatient) -> str:
    """Number of lesions, and miTNM classes where they mean something: in prostate cancer."""
    lesions = f"{len(patient.lesion_table)} lesions"
    if patient.tracer is not TracerName.GA68_PSMA11:
        return lesions
    return f"{lesions}, {patient.staging.n} {patient.staging.m}"


def _projection(axis: Any, tracer: TracerName, seed: int) -> None:
    patient = simulate_patient(tracer, seed, CohortOptions(diseased_fraction=1.0))
    pet = scan_patient(patient, SimulateOptions(tracer, seed=seed)).pet
    z, _, x = pet.grid.spacing_mm
    image, top = pet.array.max(axis=1)[::-1], TRACERS[tracer].display_suv
    body = np.flatnonzero((image > 0.02 * top).any(axis=0))
    axis.imshow(image[:, body[0] : body[-1]], cmap="gray_r", vmin=0, vmax=top, aspect=z / x, interpolation="bilinear")
    axis.set_title(f"{disease(patient)}\nSUV 0–{top:g}", fontsize=8)
    axis.axis("off")


def main() -> int:
    """Print the tables, draw the figure; 1 when a row is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--tracer", type=TracerName, choices=list(TABLES), action="append")
    parser.add_argument("--fwhm", type=float, default=6.0)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    console, found = Console(width=150), {}
    for tracer in options.tracer or TABLES:
        seeds = track(range(options.patients), description=tracer.value, console=Console(stderr=True))
        drawn = [measure(tracer, 1000 + seed, options.fwhm) for seed in seeds]
        found[tracer] = compare(tracer, drawn)
        print_rows(tracer, found[tracer], console)
        body = [d["body"]["SUVmean"] for d in drawn]
        console.print(f"mean SUV of the body in view: {np.mean(body):.2f} (from {min(body):.2f} to {max(body):.2f})")
    if options.figure:
        draw(found, options.figure)
    return int(any(abs(row.off) > 1 for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
