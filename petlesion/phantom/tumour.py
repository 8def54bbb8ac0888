"""From drawn findings to lesions of the truth: their uptake against the body's, painted into activity and CT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.disease import Finding
from petlesion.phantom.draws import stream
from petlesion.phantom.labels import STRUCTURES, Tissue
from petlesion.phantom.truth import Focus, Lesion, Region, Shape
from petlesion.phantom.uptake import Uptake
from petlesion.tracers import TracerName

LARGEST_SHARE = 0.5
"""Tumours hold at most this share of the injected activity; the SUVs of a heavier burden are scaled down to it."""
CORE_SHARE = 0.12
"""Uptake of a necrotic core against the living rim."""
UNEVEN_CV = 0.12
"""Coefficient of variation of the uptake inside a lesion larger than `UNEVEN_FROM_ML`."""
UNEVEN_FROM_ML = 4.0


def tumour_share(findings: Sequence[Finding], weight_kg: float) -> float:
    """Drawn share of the injected activity in the lesions: sum of SUVbw x mL over weight in g (density 1 g/mL)."""
    return sum(f.suv * f.shape.volume_ml * (1 - 0.9 * f.blob.necrosis) for f in findings) / (1000 * weight_kg)


def paint_lesions(
    findings: Sequence[Finding],
    anatomy: Anatomy,
    uptake: Uptake,
    contrast: float,
    seed: int,
    activity: NDArray[np.float32],
) -> tuple[Lesion, ...]:
    """Paint lesions into the activity, in place, and write down their truth.

    Parameters
    ----------
    findings
        Drawn lesions.
    anatomy, uptake
        The body and its normal uptake.
    contrast
        Lowest SUV of a lesion against its surroundings (or against blood, where these take up less).
    seed
        Seed of the patient.
    activity
        (z, y, x) float32 SUVbw on the grid of the anatomy.
    """
    share = tumour_share(findings, anatomy.weight_kg)
    scale = min(1.0, LARGEST_SHARE / share) if share > 0 else 1.0
    rng = stream(seed, "tumour")
    lesions = []
    for number, f in enumerate(sorted(findings, key=lambda f: -f.shape.volume_ml), start=1):
        local = uptake.of(f.site.label)
        rim = max(f.suv * scale, contrast * max(local, 0.8 * uptake.blood))
        uneven = UNEVEN_CV if f.shape.volume_ml > UNEVEN_FROM_ML else 0.0
        mean = _paint(activity, anatomy, f.shape, f.core, rim, uneven, rng)
        lesions.append(
            Lesion(
                id=number,
                region=f.region,
                place=f.site.place,
                label=f.site.label,
                room=f.site.labels,
                blob=f.blob,
                shape=f.shape,
                core=f.core,
                volume_ml=f.shape.volume_ml,
                suv_rim=rim,
                suv_mean=mean,
                suv_local=local,
            )
        )
    return tuple(lesions)


def _paint(
    activity: NDArray[np.float32],
    anatomy: Anatomy,
    shape: Shape,
    core: Shape | None,
    rim: float,
    uneven: float,
    rng: np.random.Generator,
) -> float:
    """Paint one lesion; its mean SUV over the shape."""
    found = shape.occupancy(anatomy.grid)
    if found is None:
        return rim
    block, part = found
    value = np.full(part.shape, rim, dtype=np.float32)
    if uneven:
        value *= _uneven(part.shape, anatomy.grid.spacing_mm[0], uneven, rng)
    if core is not None:
        inner = core.occupancy(anatomy.grid)
        if inner is not None:
            where = tuple(slice(i.start - b.start, i.stop - b.start) for i, b in zip(inner[0], block, strict=True))
            share = np.clip(inner[1] / np.maximum(part[where], 1e-3), 0, 1)
            value[where] *= 1 - share * np.float32(1 - CORE_SHARE)
    view = activity[block]
    view += (value - view) * part
    return float((value * part).sum(dtype=np.float64) / part.sum(dtype=np.float64))


def _uneven(shape: tuple[int, ...], spacing: float, cv: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Factor of mean 1 that changes over about 12 mm: a few plane waves."""
    z, y, x = np.meshgrid(*(np.arange(n) * spacing for n in shape), indexing="ij")
    total = np.zeros(shape)
    for _ in range(6):
        k = rng.normal(0, 1 / 7.0, 3)
        total += np.sin(k[0] * x + k[1] * y + k[2] * z + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(1 + cv * total / np.sqrt(3), 0.3, 1.7), dtype=np.float32)


def paint_foci(foci: Sequence[Focus], anatomy: Anatomy, activity: NDArray[np.float32]) -> None:
    """Paint foci that are not whole organs (those are painted with the body) into the activity, in place."""
    for focus in foci:
        found = focus.shape.occupancy(anatomy.grid)
        if found is not None and not focus.whole_organ:
            block, part = found
            view = activity[block]
            view += (np.float32(focus.suv) - view) * part


def paint_lesions_on_ct(
    lesions: Sequence[Lesion], tracer: TracerName, anatomy: Anatomy, seed: int, ct: NDArray[np.float32]
) -> None:
    """Draw lesions into the CT, in place: dark in the liver, dense or lytic in bone, solid in lung and fat."""
    rng = stream(seed, "tumour/ct")
    for lesion in lesions:
        found = lesion.shape.occupancy(anatomy.grid)
        change = _hu(lesion, tracer, anatomy, rng)
        if found is None or change is None:
            continue
        block, part = found
        view = ct[block]
        offset, absolute = change
        target = np.float32(offset) if absolute else view + np.float32(offset)
        view += (target - view) * part


def _hu(lesion: Lesion, tracer: TracerName, anatomy: Anatomy, rng: np.random.Generator) -> tuple[float, bool] | None:
    """CT value of a lesion (True) or its difference to the tissue (False); None where CT shows nothing."""
    draw = float(rng.standard_normal())
    if lesion.region is Region.BONE:
        kind = rng.random()
        sclerotic, hidden = (0.6, 0.85) if tracer is TracerName.GA68_PSMA11 else (0.3, 0.6)
        if kind < sclerotic:
            return 320 + 90 * draw, False
        return None if kind < hidden else (-130 + 20 * draw, False)
    if lesion.region is Region.LIVER:
        return (-32 + 10 * draw if anatomy.contrast else -13 + 6 * draw), False
    if STRUCTURES[lesion.label].tissue in (Tissue.FAT, Tissue.LUNG):
        return (80.0 if anatomy.contrast else 38.0) + 6 * draw, True
    return -5 + 4 * draw, False
