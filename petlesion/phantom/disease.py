"""Drawing disease: lesions with their places, shapes and uptake, and the stage that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.blobs import radius_mm
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.cohort_models import DiseaseModel, disease_model
from petlesion.phantom.draws import stream
from petlesion.phantom.placing import TRIES, Places
from petlesion.phantom.sites import ORGANS, Site, draw_site
from petlesion.phantom.truth import PELVIC_NODES, Blob, Growth, Lesion, MClass, NClass, Region, Shape, Staging
from petlesion.tracers import TracerName

FILLED = 0.7
"""A site is accepted when the lesion found this share of its volume there."""
SMALLEST_ML = 0.08
"""Lesions that came out smaller for want of room are dropped."""
CONFLUENT_CHANCE = 0.35
"""Share of diseased patients with confluent disease, where the cohort allows it."""
PRIMARY_ORGANS = {
    TracerName.GA68_PSMA11: frozenset({Region.PROSTATE}),
    TracerName.GA68_DOTATATE: frozenset({Region.PANCREAS, Region.SMALL_BOWEL}),
    TracerName.CU64_DOTATATE: frozenset({Region.PANCREAS, Region.SMALL_BOWEL}),
    TracerName.F18_FDG: frozenset({Region.LUNG, Region.COLORECTUM}),
}
"""Organs in which a lesion is local disease rather than a metastasis."""


@dataclass(frozen=True, eq=False)
class Finding:
    """A lesion before its uptake has met the body's: where, what shape, how avid.

    Attributes
    ----------
    region, site, blob
        Where it is and the recipe of its shape.
    shape, core
        Its shape and its cold core, if any.
    suv
        SUVbw of its living part as drawn.
    """

    region: Region
    site: Site
    blob: Blob
    shape: Shape
    core: Shape | None
    suv: float


def draw_disease(tracer: TracerName, seed: int, options: CohortOptions, anatomy: Anatomy) -> list[Finding]:
    """Draw all lesions of a patient; none for a control.

    Parameters
    ----------
    tracer, options
        Say which disease.
    seed
        Seed of the patient.
    anatomy
        Body to put them in.
    """
    rng = stream(seed, "disease")
    model = disease_model(options.cohort, tracer)
    share = model.diseased if options.diseased_fraction is None else options.diseased_fraction
    if rng.random() >= share:
        return []
    count = model.draw_count(rng)
    regions = list(model.regions)
    weights = np.array([model.regions[region] for region in regions])
    mix = rng.dirichlet(np.maximum(weights / weights.sum() * model.concentration, 1e-3))
    places = Places(anatomy)
    findings: list[Finding] = []
    if options.confluent and rng.random() < CONFLUENT_CHANCE:
        findings += _confluent(model, places, stream(seed, "disease/confluent"))
    if model.primary is not None and rng.random() < model.primary[1]:
        lesion = place_lesion(model, model.primary[0], places, stream(seed, "disease/primary"))
        if lesion is not None:
            findings.append(lesion)
    for number in range(count):
        one = stream(seed, f"disease/lesion {number}")
        for _ in range(4):
            region = regions[int(one.choice(len(regions), p=mix))]
            lesion = place_lesion(model, region, places, one)
            if lesion is not None:
                findings.append(lesion)
                break
    return findings


def place_lesion(model: DiseaseModel, region: Region, places: Places, rng: np.random.Generator) -> Finding | None:
    """Draw one lesion of a region and keep its room in `places`; None where no place was found."""
    volume, suv = model.draw_volume(rng), model.draw_suv(region, rng)
    growth = _growth(region, volume, rng)
    necrosis = float(rng.uniform(0.15, 0.45)) if volume > 12 and rng.random() < 0.35 else 0.0
    for _ in range(TRIES):
        site = draw_site(region, places, radius_mm(volume), rng)
        if site is None:
            return None
        size = max(min(volume, site.limit_ml), 0.1)
        x, y, z = (float(v) for v in site.center_mm)
        blob = Blob((x, y, z), size, growth, int(rng.integers(2**31)), necrosis, site.flatness)
        grown = places.put(blob, site.labels)
        if grown is not None and grown[0].volume_ml >= max(FILLED * size, SMALLEST_ML):
            places.keep(grown[0])
            return Finding(region, site, blob, *grown, suv)
        volume *= 0.95
    return None


def _growth(region: Region, volume_ml: float, rng: np.random.Generator) -> Growth:
    if volume_ml < 0.8:
        return Growth.ELLIPSOID
    spiculated = 0.45 if region is Region.LUNG else 0.12
    return (Growth.SPICULATED, Growth.ELLIPSOID, Growth.LOBULATED)[
        int(rng.choice(3, p=(spiculated, 0.55 * (1 - spiculated), 0.45 * (1 - spiculated))))
    ]


def _confluent(model: DiseaseModel, places: Places, rng: np.random.Generator) -> list[Finding]:
    """Some masses of many merged deposits, each one instance, in the regions that the model favours."""
    candidates = [r for r in (Region.LIVER, Region.BONE, Region.NODE_RETROPERITONEAL) if r in model.regions]
    found = []
    for _ in range(int(rng.integers(1, 4))):
        region = candidates[int(rng.integers(len(candidates)))]
        volume = float(np.clip(70 * np.exp(0.6 * rng.standard_normal()), 25, 200))
        suv = model.draw_suv(region, rng)
        for _ in range(TRIES):
            site = draw_site(region, places, 0.5 * radius_mm(volume), rng)
            if site is None:
                break
            x, y, z = (float(v) for v in site.center_mm)
            size = min(volume, max(site.limit_ml * 1.5, 8.0))
            blob = Blob((x, y, z), size, Growth.CONFLUENT, int(rng.integers(2**31)))
            grown = places.put(blob, site.labels)
            if grown is not None and grown[0].volume_ml >= 0.5 * size:
                places.keep(grown[0])
                found.append(Finding(region, site, blob, *grown, suv))
                break
    return found


def staging_of(lesions: Sequence[Lesion], tracer: TracerName) -> Staging:
    """N and M class by PROMISE miTNM v1 as S3 uses them (Eiber et al., J Nucl Med 2018).

    N0 no pelvic node, N1 one, N2 more; M1a extrapelvic nodes, M1b bone, M1c other organs, the highest present. The
    rules are those of prostate cancer; for other tracers they are applied as they stand with that tracer's primary
    organs.
    """
    local = PRIMARY_ORGANS[tracer]
    regions = [lesion.region for lesion in lesions]
    pelvic = sum(region in PELVIC_NODES for region in regions)
    bones = sum(region is Region.BONE for region in regions)
    far_nodes = any(region.value.endswith("node") and region not in PELVIC_NODES for region in regions)
    other = any(region in ORGANS and region not in local for region in regions)
    n = NClass.N0 if pelvic == 0 else (NClass.N1 if pelvic == 1 else NClass.N2)
    m = MClass.M1C if other else MClass.M1B if bones else MClass.M1A if far_nodes else MClass.M0
    pattern = "" if bones == 0 else "u" if bones == 1 else "o" if bones <= 3 else "d"
    return Staging(any(region in local for region in regions), n, m, pattern)
