"""Disease: numbers and sizes of the cohorts, lesions inside their organs and apart, staging."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from petlesion.phantom.blobs import radius_mm
from petlesion.phantom.body.build import build_body
from petlesion.phantom.cohort import Cohort, CohortOptions
from petlesion.phantom.cohort_models import S1_COUNTS, disease_model
from petlesion.phantom.disease import Finding, draw_disease, staging_of
from petlesion.phantom.draws import stream
from petlesion.phantom.labels import Label
from petlesion.phantom.placing import GAP_MM, Places
from petlesion.phantom.sites import draw_site
from petlesion.phantom.truth import Growth, MClass, NClass, Region
from petlesion.phantom.uptake_tables import TABLES
from petlesion.tracers import TracerName

DOTATATE, PSMA, FDG = TracerName.GA68_DOTATATE, TracerName.GA68_PSMA11, TracerName.F18_FDG


@cache
def findings(tracer: TracerName, seed: int, cohort: Cohort, confluent: bool = False) -> tuple[Places, list[Finding]]:
    options = CohortOptions(cohort=cohort, spacing_mm=6.0, diseased_fraction=1.0, confluent=confluent)
    anatomy = build_body(seed, tracer, options).anatomy
    return Places(anatomy), draw_disease(tracer, seed, options, anatomy)


def counts(cohort: Cohort, tracer: TracerName, patients: int = 4000) -> np.ndarray:
    model = disease_model(cohort, tracer)
    rng = stream(1, "counts")
    return np.array([model.draw_count(rng) for _ in range(patients)])


def test_s1_counts() -> None:
    assert sum(S1_COUNTS) == pytest.approx(1.0, abs=0.002)
    drawn = counts(Cohort.S1_LIVER, DOTATATE)
    # Wehrend et al. 2021: 4.0 ± 2.75 lesions, fewer than 10, 233 in 57 patients.
    assert drawn.mean() == pytest.approx(4.05, abs=0.15)
    assert drawn.std() == pytest.approx(2.75, abs=0.1)
    assert drawn.min() == 1
    assert drawn.max() == 9


def test_s2_counts() -> None:
    drawn = counts(Cohort.S2, TracerName.CU64_DOTATATE)
    low, median, high = np.percentile(drawn, (25, 50, 75))
    assert median == pytest.approx(25, abs=2)
    assert high - low == pytest.approx(41, abs=4)


def test_s3_volumes() -> None:
    model = disease_model(Cohort.S3, PSMA)
    rng = stream(2, "volumes")
    volumes = np.array([model.draw_volume(rng) for _ in range(4000)])
    assert np.median(volumes) == pytest.approx(1.3, rel=0.08)
    assert volumes.min() >= 0.1
    assert volumes.max() <= 200


@pytest.mark.parametrize("tracer", list(TABLES))
def test_avidity_has_the_mean_of_its_model(tracer: TracerName) -> None:
    model = disease_model(Cohort.DEFAULT, tracer)
    rng = stream(3, "suv")
    values = [model.draw_suv(Region.BONE, rng) for _ in range(8000)]
    assert np.mean(values) == pytest.approx(model.avidity[Region.BONE].mean, rel=0.1)


def test_s1_disease_is_in_the_liver_and_not_confluent() -> None:
    for seed in (0, 1):
        _, found = findings(DOTATATE, seed, Cohort.S1_LIVER)
        assert 1 <= len(found) <= 9
        assert {f.region for f in found} == {Region.LIVER}
        assert all(f.blob.growth is not Growth.CONFLUENT for f in found)


@pytest.mark.parametrize(("tracer", "seed"), [(DOTATATE, 1), (PSMA, 1), (FDG, 4)])
def test_lesions_lie_in_their_structures(tracer: TracerName, seed: int) -> None:
    places, found = findings(tracer, seed, Cohort.S2)
    grid, labels = places.anatomy.grid, places.anatomy.labels
    assert len(found) > 3
    for f in found:
        index = np.rint(grid.to_index(f.shape.grid.to_world(np.argwhere(f.shape.inside)))).astype(int)
        inside = np.isin(labels[tuple(index.T)], f.site.labels).mean()
        # Room is judged between voxels, here by the nearest one.
        assert inside > 0.75, (f.site.place, f.shape.volume_ml, inside)
        assert f.shape.volume_ml == pytest.approx(f.blob.volume_ml, rel=0.35)


@pytest.mark.parametrize(("tracer", "seed"), [(DOTATATE, 1), (PSMA, 1), (FDG, 4)])
def test_lesions_keep_apart(tracer: TracerName, seed: int) -> None:
    _, found = findings(tracer, seed, Cohort.S2)
    points = [f.shape.grid.to_world(np.argwhere(f.shape.inside)) for f in found]
    for i, a in enumerate(points):
        for b in points[:i]:
            if np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)) < 60:
                nearest = min(np.linalg.norm(a - p, axis=1).min() for p in b[:: max(1, len(b) // 200)])
                assert nearest > 0.4 * GAP_MM


def test_confluent_disease_is_an_option() -> None:
    large = [
        f
        for seed in range(4)
        for f in findings(DOTATATE, seed, Cohort.S3, confluent=True)[1]
        if f.blob.growth is Growth.CONFLUENT
    ]
    assert large
    assert max(f.shape.volume_ml for f in large) > 20


def test_controls_have_no_disease() -> None:
    options = CohortOptions(spacing_mm=6.0, diseased_fraction=0.0)
    places, _ = findings(DOTATATE, 0, Cohort.S1_LIVER)
    assert all(draw_disease(DOTATATE, seed, options, places.anatomy) == [] for seed in range(20))


def test_share_of_diseased_patients() -> None:
    assert disease_model(Cohort.S1_LIVER, DOTATATE).diseased == pytest.approx(57 / 125)
    places, _ = findings(DOTATATE, 0, Cohort.S1_LIVER)
    options = CohortOptions(cohort=Cohort.S1_LIVER, spacing_mm=6.0)
    diseased = [bool(draw_disease(DOTATATE, seed, options, places.anatomy)) for seed in range(30)]
    assert 0.2 < np.mean(diseased) < 0.75


@pytest.mark.parametrize("region", list(Region))
def test_every_region_has_a_place(region: Region) -> None:
    places, _ = findings(PSMA, 1, Cohort.S2)
    rng = stream(0, region.value)
    sites = [draw_site(region, places, radius_mm(1.0), rng) for _ in range(12)]
    names = {site.place for site in sites if site is not None}
    assert names
    for site in sites:
        assert site is not None
        assert places.anatomy.grid.contains(site.center_mm)
        side = -1 if "right" in site.place else 1 if "left" in site.place else 0
        if side and region is not Region.LIVER and "para-aortic" not in site.place:
            assert side * site.center_mm[0] > 0, site.place


def test_women_have_no_prostate_lesion() -> None:
    options = CohortOptions(spacing_mm=6.0)
    anatomy = next(
        a for a in (build_body(s, FDG, options).anatomy for s in range(9)) if Label.PROSTATE not in np.unique(a.labels)
    )
    assert draw_site(Region.PROSTATE, Places(anatomy), 5.0, stream(0, "x")) is None


class _Lesion:
    """As much of a lesion as staging looks at."""

    def __init__(self, region: Region) -> None:
        self.region = region


@pytest.mark.parametrize(
    ("regions", "n", "m", "pattern", "local"),
    [
        ([], "N0", "M0", "", False),
        ([Region.PROSTATE], "N0", "M0", "", True),
        ([Region.NODE_OBTURATOR], "N1", "M0", "", False),
        ([Region.NODE_EXTERNAL_ILIAC, Region.NODE_EXTERNAL_ILIAC], "N2", "M0", "", False),
        ([Region.NODE_INGUINAL], "N0", "M1a", "", False),
        ([Region.NODE_COMMON_ILIAC, Region.NODE_RETROPERITONEAL], "N1", "M1a", "", False),
        ([Region.NODE_RETROPERITONEAL, Region.BONE], "N0", "M1b", "u", False),
        ([Region.BONE] * 3, "N0", "M1b", "o", False),
        ([Region.BONE] * 4, "N0", "M1b", "d", False),
        ([Region.BONE, Region.LIVER, Region.PROSTATE], "N0", "M1c", "u", True),
    ],
)
def test_staging(regions: list[Region], n: str, m: str, pattern: str, local: bool) -> None:
    staging = staging_of([_Lesion(region) for region in regions], PSMA)  # type: ignore[misc]
    assert (staging.n, staging.m, staging.bone_pattern, staging.local) == (NClass(n), MClass(m), pattern, local)
