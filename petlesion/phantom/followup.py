"""The same patient later: lesions grown, shrunk, vanished and new, and the truth of each change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from petlesion.phantom.cohort_models import DiseaseModel, disease_model
from petlesion.phantom.disease import SMALLEST_ML, Finding, place_lesion
from petlesion.phantom.draws import stream
from petlesion.phantom.patient import SimulatedPatient, image_patient
from petlesion.phantom.placing import Places
from petlesion.phantom.sites import Site
from petlesion.phantom.truth import Lesion, Shape

STABLE_WITHIN = 0.10
"""A lesion whose true volume changed by no more than this fraction counts as stable."""

VANISHES_BELOW = 0.6
"""A lesion whose SUV falls below this fraction of the least contrast of its cohort is gone."""


class Course(StrEnum):
    """How the disease went."""

    RESPONSE = "response"
    STABLE = "stable"
    PROGRESSION = "progression"
    MIXED = "mixed"


class Change(StrEnum):
    """What became of one lesion."""

    GROWN = "grown"
    SHRUNK = "shrunk"
    STABLE = "stable"
    VANISHED = "vanished"
    NEW = "new"


@dataclass(frozen=True)
class LesionChange:
    """Truth of one lesion over two visits.

    Attributes
    ----------
    change
        What happened, judged by the true volume.
    baseline_id, follow_up_id
        Its id at each visit; None where it was not there.
    volume_ratio, suv_ratio
        Follow-up over baseline of true volume and true SUVmean; None where it was there only once.
    """

    change: Change
    baseline_id: int | None
    follow_up_id: int | None
    volume_ratio: float | None = None
    suv_ratio: float | None = None


@dataclass(frozen=True, eq=False)
class FollowUp:
    """Two visits of one patient.

    Attributes
    ----------
    baseline, follow_up
        The patient at each visit, in one body.
    course
        How the disease went.
    changes
        One entry for each lesion of either visit.
    """

    baseline: SimulatedPatient
    follow_up: SimulatedPatient
    course: Course
    changes: tuple[LesionChange, ...]


@dataclass(frozen=True)
class _Trend:
    """Chance to vanish, and median and log-SD of the factors of volume and SUV."""

    vanish: float
    volume: tuple[float, float]
    suv: tuple[float, float]
    new_per_lesion: float


_TRENDS = {
    Course.RESPONSE: _Trend(0.3, (0.45, 0.40), (0.6, 0.25), 0.0),
    Course.STABLE: _Trend(0.0, (1.0, 0.05), (1.0, 0.08), 0.0),
    Course.PROGRESSION: _Trend(0.0, (1.8, 0.30), (1.15, 0.15), 0.35),
}


def simulate_follow_up(baseline: SimulatedPatient, course: Course | None = None, visit: int = 1) -> FollowUp:
    """Scan a simulated patient again.

    The body stays the same; uptake varies as between visits, urine and bowel are drawn anew, and tumours that hold
    less or more of the tracer leave more or less of it to the organs. New lesions are drawn from the patient's
    cohort.

    Parameters
    ----------
    baseline
        First visit.
    course
        How the disease goes; drawn where None.
    visit
        1, 2, ...; the same visit of the same patient is always the same.

    Raises
    ------
    ValueError
        If `visit` is not positive.
    """
    if visit < 1:
        raise ValueError(f"a follow-up visit is numbered from 1, not {visit}")
    rng = stream(baseline.seed, f"follow-up/{visit}")
    drawn = tuple(Course)[int(rng.choice(4, p=(0.3, 0.2, 0.3, 0.2)))]
    course = drawn if course is None else course
    model = disease_model(baseline.options.cohort, baseline.tracer)
    places = Places(baseline.anatomy)
    kept: list[tuple[int, Finding]] = []
    for lesion in baseline.lesion_table:
        one = stream(baseline.seed, f"follow-up/{visit}/lesion {lesion.id}")
        finding = _later(lesion, _trend(course, one), places, model.contrast, one)
        if finding is not None:
            kept.append((lesion.id, finding))
    new = _new_lesions(course, baseline, model, places, rng, visit)
    later = image_patient(
        baseline.tracer, baseline.seed, baseline.options, baseline.anatomy, [f for _, f in kept] + new, visit
    )
    return FollowUp(baseline, later, course, _changes(baseline.lesion_table, kept, later.lesion_table))


def _trend(course: Course, rng: np.random.Generator) -> _Trend:
    if course is Course.MIXED:
        return _TRENDS[Course.RESPONSE if rng.random() < 0.5 else Course.PROGRESSION]
    return _TRENDS[course]


def _later(lesion: Lesion, trend: _Trend, places: Places, contrast: float, rng: np.random.Generator) -> Finding | None:
    """The lesion at the later visit, kept in `places`; None when it is gone."""
    gone = rng.random() < trend.vanish
    volume = lesion.volume_ml * trend.volume[0] * np.exp(trend.volume[1] * rng.standard_normal())
    suv = lesion.suv_rim * trend.suv[0] * np.exp(trend.suv[1] * rng.standard_normal())
    if gone or volume < SMALLEST_ML or suv < VANISHES_BELOW * contrast * lesion.suv_local:
        return None
    blob = replace(lesion.blob, volume_ml=float(volume))
    grown = places.put(blob, lesion.room, least_inside=0.0)
    shape, core = (lesion.shape, lesion.core) if grown is None or grown[0].volume_ml < SMALLEST_ML else grown
    places.keep(shape)
    site = Site(lesion.place, lesion.label, lesion.room, np.array(blob.center_mm), volume)
    return Finding(lesion.region, site, blob, shape, core, float(suv))


def _new_lesions(
    course: Course,
    baseline: SimulatedPatient,
    model: DiseaseModel,
    places: Places,
    rng: np.random.Generator,
    visit: int,
) -> list[Finding]:
    if course not in (Course.PROGRESSION, Course.MIXED):
        return []
    rate = (
        _TRENDS[Course.PROGRESSION].new_per_lesion * len(baseline.lesion_table) * (0.4 if course is Course.MIXED else 1)
    )
    count = max(1, int(rng.poisson(rate))) if course is Course.PROGRESSION else int(rng.poisson(rate))
    seen = [lesion.region for lesion in baseline.lesion_table] or list(model.regions)
    found = []
    for number in range(count):
        one = stream(baseline.seed, f"follow-up/{visit}/new {number}")
        region = seen[int(one.integers(len(seen)))]
        finding = place_lesion(model, region, places, one)
        if finding is not None:
            found.append(finding)
    return found


def _changes(
    before: Sequence[Lesion], kept: Sequence[tuple[int, Finding]], after: Sequence[Lesion]
) -> tuple[LesionChange, ...]:
    by_shape: dict[int, Lesion] = {id(lesion.shape): lesion for lesion in after}
    later = {number: by_shape.pop(_key(finding.shape)) for number, finding in kept}
    changes = []
    for lesion in before:
        match = later.get(lesion.id)
        if match is None:
            changes.append(LesionChange(Change.VANISHED, lesion.id, None))
            continue
        ratio = match.volume_ml / lesion.volume_ml
        change = Change.STABLE
        if abs(ratio - 1) > STABLE_WITHIN:
            change = Change.GROWN if ratio > 1 else Change.SHRUNK
        changes.append(LesionChange(change, lesion.id, match.id, ratio, match.suv_mean / lesion.suv_mean))
    changes.extend(LesionChange(Change.NEW, None, lesion.id) for lesion in by_shape.values())
    return tuple(changes)


def _key(shape: Shape) -> int:
    """Identity of a shape: a lesion of the truth holds the very shape that its finding was given."""
    return id(shape)
