"""Organ SUVs of simulated patients against the literature.

    python benchmarks/organ_uptake.py [--patients N] [--tracer T] [--fwhm MM]

Draws controls (no disease), blurs their true activity like a scanner (Gaussian, without noise) and measures each
organ as a reader does: SUVmax is the highest voxel, SUVmean the mean of the voxels above half of that, of the inner
part of a large organ or the whole of a small one. Prints a row for each organ with a published value; fails when a
mean over patients lies more than one published SD from the published mean.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.ndimage import distance_transform_edt, gaussian_filter

from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import VERTEBRAE, Label
from petlesion.phantom.patient import simulate_patient
from petlesion.phantom.placing import Places
from petlesion.phantom.uptake_tables import TABLES, OrganUptake
from petlesion.tracers import TracerName

WIDESPREAD = ("blood", "muscle", "vertebral marrow", "lung", "stomach wall", "jejunum", "ileum", "colon")
DEEP_MM = 8.0
"""Large organs are measured this far under their surface, mm."""
FWHM_TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))


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
        # One side of a paired organ, and one vertebra, as a reader measures them.
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


def main() -> int:
    """Print the table; 1 when a row is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--tracer", type=TracerName, choices=list(TABLES), action="append")
    parser.add_argument("--fwhm", type=float, default=6.0)
    options = parser.parse_args()
    console, wrong = Console(width=150), 0
    for tracer in options.tracer or TABLES:
        seeds = track(range(options.patients), description=tracer.value, console=Console(stderr=True))
        drawn = [measure(tracer, 1000 + seed, options.fwhm) for seed in seeds]
        table = Table("organ", "measure", "simulated", "published", "off (SD)", "source", title=tracer.value)
        for organ in TABLES[tracer].organs:
            published = organ.published
            found = [d[organ.name][published.measure] for d in drawn if published and organ.name in d]
            if published is None or not found:
                continue
            off = (np.mean(found) - published.mean) / published.sd
            wrong += bool(abs(off) > 1)
            source = published.source if published.checked else f"{published.source} (not checked)"
            table.add_row(
                organ.name,
                published.measure,
                f"{np.mean(found):.2f} ± {np.std(found):.2f}",
                f"{published.mean:.2f} ± {published.sd:.2f}",
                f"{off:+.2f}" + (" !" if abs(off) > 1 else ""),
                source,
            )
        console.print(table)
        body = [d["body"]["SUVmean"] for d in drawn]
        console.print(f"mean SUV of the body in view: {np.mean(body):.2f} (from {min(body):.2f} to {max(body):.2f})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
