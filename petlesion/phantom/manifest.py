"""Everything drawn for a patient, as plain data for one line of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from petlesion.phantom.anatomy import Anatomy, Layer
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import STRUCTURES, Label
from petlesion.phantom.truth import Focus, Lesion, Staging
from petlesion.phantom.uptake import Uptake
from petlesion.tracers import TracerName


def describe(
    patient_id: str,
    seed: int,
    visit: int,
    options: CohortOptions,
    tracer: TracerName,
    anatomy: Anatomy,
    uptake: Uptake,
    lesions: Sequence[Lesion],
    foci: Sequence[Focus],
    staging: Staging,
) -> dict[str, Any]:
    """JSON-able record of a simulated patient: draws and truth."""
    return {
        "patient_id": patient_id,
        "seed": seed,
        "visit": visit,
        "tracer": tracer.value,
        "cohort": options.cohort.value,
        "spacing_mm": options.spacing_mm,
        "sex": anatomy.sex.value,
        "age_years": anatomy.age_years,
        "height_m": anatomy.height_m,
        "weight_kg": anatomy.weight_kg,
        "arms_up": anatomy.arms_up,
        "contrast": anatomy.contrast,
        "tumour_share": _short(_tumour_share(lesions, anatomy.weight_kg)),
        "uptake_factors": {"sink": _short(uptake.sink), "weight": _short(uptake.weight_factor)},
        "organ_suv": {
            STRUCTURES[label].name: _short(value)
            for (label, layer), value in uptake.suv.items()
            if layer is Layer.WHOLE and label not in (Label.AIR, Label.TABLE)
        },
        "staging": {
            "local": staging.local,
            "n": staging.n.value,
            "m": staging.m.value,
            "bone_pattern": staging.bone_pattern,
        },
        "lesions": [_lesion(lesion) for lesion in lesions],
        "foci": [
            {
                "id": focus.id,
                "kind": focus.kind.value,
                "place": focus.place,
                "centroid_mm": [_short(v) for v in focus.shape.centroid_mm],
                "volume_ml": _short(focus.shape.volume_ml),
                "suv": _short(focus.suv),
            }
            for focus in foci
        ],
    }


def _tumour_share(lesions: Sequence[Lesion], weight_kg: float) -> float:
    """Share of the injected activity that the lesions hold as they were painted (density 1 g/mL)."""
    return sum(lesion.suv_mean * lesion.volume_ml for lesion in lesions) / (1000 * weight_kg)


def _lesion(lesion: Lesion) -> dict[str, Any]:
    return {
        "id": lesion.id,
        "region": lesion.region.value,
        "place": lesion.place,
        "centroid_mm": [_short(v) for v in lesion.shape.centroid_mm],
        "volume_ml": _short(lesion.volume_ml),
        "suv_mean": _short(lesion.suv_mean),
        "suv_rim": _short(lesion.suv_rim),
        "suv_local": _short(lesion.suv_local),
        "growth": lesion.growth.value,
        "necrosis": _short(lesion.necrosis),
    }


def _short(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")
