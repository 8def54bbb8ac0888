"""Whole patients: reproducible, truth that matches the images, foci, manifest, errors; and their follow-up."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from petlesion.errors import UsageError
from petlesion.phantom.anatomy import Sex
from petlesion.phantom.cohort import Cohort, CohortOptions
from petlesion.phantom.followup import Change, Course, FollowUp, simulate_follow_up
from petlesion.phantom.labels import Label
from petlesion.phantom.patient import SimulatedPatient, simulate_patient
from petlesion.phantom.truth import FocusKind
from petlesion.phantom.uptake_tables import TABLES
from petlesion.tracers import TracerName
from petlesion.volume import Grid

OPTIONS = CohortOptions(cohort=Cohort.S2, spacing_mm=5.0, diseased_fraction=1.0)


@pytest.fixture(scope="module", params=[t for t in TABLES if t is not TracerName.GA68_DOTATATE])
def patient(request: pytest.FixtureRequest) -> SimulatedPatient:
    return simulate_patient(request.param, 7, OPTIONS)


def test_same_seed_same_patient(patient: SimulatedPatient) -> None:
    again = simulate_patient(patient.tracer, patient.seed, patient.options)
    for name in ("activity_suv", "ct_hu", "lesions"):
        assert np.array_equal(getattr(again, name), getattr(patient, name)), name
    assert json.dumps(again.parameters) == json.dumps(patient.parameters)


def test_other_seed_other_patient() -> None:
    options = CohortOptions(spacing_mm=6.0, diseased_fraction=0.0)
    a, b = (simulate_patient(TracerName.F18_FDG, seed, options) for seed in (1, 2))
    assert a.activity_suv.shape != b.activity_suv.shape or not np.allclose(a.activity_suv, b.activity_suv)
    assert a.patient_id != b.patient_id


def test_arrays_keep_their_promises(patient: SimulatedPatient) -> None:
    shape = patient.anatomy.grid.shape
    assert patient.activity_suv.shape == patient.ct_hu.shape == patient.lesions.shape == shape
    assert patient.activity_suv.dtype == patient.ct_hu.dtype == np.float32
    assert patient.lesions.dtype == np.uint16
    assert np.isfinite(patient.activity_suv).all()
    assert patient.activity_suv.min() >= 0
    assert patient.ct_hu.min() >= -1000


def test_truth_matches_the_activity(patient: SimulatedPatient) -> None:
    table = patient.lesion_table
    assert [lesion.id for lesion in table] == list(range(1, len(table) + 1))
    assert [lesion.volume_ml for lesion in table] == sorted((lesion.volume_ml for lesion in table), reverse=True)
    for lesion in table:
        found = lesion.shape.occupancy(patient.anatomy.grid)
        assert found is not None
        block, part = found
        inner = part > 0.95
        if inner.any():
            mean = float(patient.activity_suv[block][inner].mean())
            low, high = (0.5, 1.5) if lesion.necrosis else (0.8, 1.2)
            assert low * lesion.suv_mean < mean < high * lesion.suv_mean, lesion.place
        assert lesion.suv_mean <= lesion.suv_rim * 1.2
        assert lesion.suv_rim > 1.4 * lesion.suv_local


def test_truth_on_a_scanner_grid_keeps_volumes(patient: SimulatedPatient) -> None:
    fine = patient.anatomy.grid
    counts = [int(n * s / 3) + 1 for n, s in zip(fine.shape, fine.spacing_mm, strict=True)]
    grid = Grid.from_geometry((counts[0], counts[1], counts[2]), (3.0, 3.0, 3.0), fine.origin_mm)
    labels = patient.lesions_on(grid)
    assert set(np.unique(labels)) - {0} == {lesion.id for lesion in patient.lesion_table}
    volumes = np.bincount(labels.ravel(), minlength=len(patient.lesion_table) + 1) * grid.voxel_ml
    for lesion in patient.lesion_table:
        if lesion.volume_ml > 2:
            assert volumes[lesion.id] == pytest.approx(lesion.volume_ml, rel=0.25)


def test_foci_keep_clear_of_lesions(patient: SimulatedPatient) -> None:
    assert patient.foci
    assert [focus.id for focus in patient.foci] == list(range(1, len(patient.foci) + 1))
    foci = patient.foci_on(patient.anatomy.grid)
    small = [focus.id for focus in patient.foci if not focus.whole_organ]
    both = np.isin(foci, small) & (patient.lesions > 0)
    assert both.sum() <= 2
    for focus in patient.foci:
        assert patient.anatomy.grid.contains(focus.shape.centroid_mm)
        assert focus.suv > 0


def test_manifest_is_json(patient: SimulatedPatient) -> None:
    record = json.loads(json.dumps(patient.parameters, allow_nan=False))
    assert record["patient_id"] == patient.patient_id
    assert len(record["lesions"]) == len(patient.lesion_table)
    assert record["staging"]["m"] == patient.staging.m
    held = sum(lesion["suv_mean"] * lesion["volume_ml"] for lesion in record["lesions"])
    assert record["tumour_share"] == pytest.approx(held / (1000 * record["weight_kg"]), rel=1e-3)
    assert record["organ_suv"]["right lobe of the liver"] == pytest.approx(
        patient.organ_suv[Label.LIVER_RIGHT], rel=1e-3
    )


def test_mass_of_tracer_is_not_exceeded(patient: SimulatedPatient) -> None:
    total = patient.activity_suv.sum(dtype=np.float64) * patient.anatomy.grid.voxel_ml
    assert total < 1.05 * 1000 * patient.anatomy.weight_kg


def test_foci_of_each_tracer() -> None:
    kinds = {
        tracer: Counter(
            focus.kind
            for seed in range(3)
            for focus in simulate_patient(tracer, seed, CohortOptions(spacing_mm=6.0, diseased_fraction=0.0)).foci
        )
        for tracer in (TracerName.GA68_PSMA11, TracerName.GA68_DOTATATE)
    }
    psma, dotatate = kinds[TracerName.GA68_PSMA11], kinds[TracerName.GA68_DOTATATE]
    assert psma[FocusKind.GANGLION] >= 6
    assert FocusKind.GANGLION not in dotatate
    assert dotatate[FocusKind.UNCINATE] == 3
    assert dotatate[FocusKind.ADRENAL] == 6
    assert psma[FocusKind.URETER] > 0


def test_brown_fat_occurs_with_fdg() -> None:
    options = CohortOptions(spacing_mm=6.0, sex=Sex.FEMALE, diseased_fraction=0.0)
    from petlesion.phantom.draws import stream

    seed = next(s for s in range(200) if stream(s, "foci/brown fat/0").random() < 0.04)
    foci = simulate_patient(TracerName.F18_FDG, seed, options).foci
    assert Counter(focus.kind for focus in foci)[FocusKind.BROWN_FAT] >= 4


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="tracer f18-dcfpyl"):
        simulate_patient(TracerName.F18_DCFPYL, 1, OPTIONS)
    with pytest.raises(UsageError, match="seed -1 is negative"):
        simulate_patient(TracerName.F18_FDG, -1, OPTIONS)


@pytest.fixture(scope="module")
def baseline() -> SimulatedPatient:
    return simulate_patient(TracerName.GA68_DOTATATE, 7, OPTIONS)


@pytest.fixture(scope="module", params=list(Course))
def pair(request: pytest.FixtureRequest, baseline: SimulatedPatient) -> FollowUp:
    return simulate_follow_up(baseline, request.param)


def test_every_lesion_has_one_fate(pair: FollowUp) -> None:
    before = [c.baseline_id for c in pair.changes if c.baseline_id is not None]
    after = [c.follow_up_id for c in pair.changes if c.follow_up_id is not None]
    assert sorted(before) == [lesion.id for lesion in pair.baseline.lesion_table]
    assert sorted(after) == [lesion.id for lesion in pair.follow_up.lesion_table]


def test_changes_are_those_of_the_lesions(pair: FollowUp) -> None:
    first = {lesion.id: lesion for lesion in pair.baseline.lesion_table}
    second = {lesion.id: lesion for lesion in pair.follow_up.lesion_table}
    for change in pair.changes:
        if change.baseline_id is None or change.follow_up_id is None:
            assert change.change is (Change.NEW if change.baseline_id is None else Change.VANISHED)
            assert change.volume_ratio is None
            continue
        a, b = first[change.baseline_id], second[change.follow_up_id]
        assert a.place == b.place
        assert np.linalg.norm(np.subtract(a.shape.centroid_mm, b.shape.centroid_mm)) < 15
        assert change.volume_ratio == pytest.approx(b.volume_ml / a.volume_ml)
        assert change.suv_ratio == pytest.approx(b.suv_mean / a.suv_mean)
        grew = {Change.GROWN: b.volume_ml > a.volume_ml, Change.SHRUNK: b.volume_ml < a.volume_ml}
        assert grew.get(change.change, abs(change.volume_ratio - 1) <= 0.1)


def test_course_shows_in_the_tumour_volume(pair: FollowUp) -> None:
    before, after = (
        sum(lesion.volume_ml for lesion in visit.lesion_table) for visit in (pair.baseline, pair.follow_up)
    )
    kinds = Counter(change.change for change in pair.changes)
    if pair.course is Course.RESPONSE:
        assert after < 0.7 * before
        assert not kinds[Change.NEW]
    elif pair.course is Course.PROGRESSION:
        assert after > 1.2 * before
        assert kinds[Change.NEW]
    elif pair.course is Course.STABLE:
        assert after == pytest.approx(before, rel=0.2)
        assert kinds[Change.STABLE] >= 0.6 * sum(kinds.values())


def test_body_and_lasting_foci_stay(pair: FollowUp) -> None:
    assert pair.follow_up.anatomy is pair.baseline.anatomy
    assert pair.follow_up.patient_id.startswith(pair.baseline.patient_id)
    assert not np.array_equal(pair.follow_up.activity_suv, pair.baseline.activity_suv)
    ratio = pair.follow_up.organ_suv[Label.LIVER_RIGHT] / pair.baseline.organ_suv[Label.LIVER_RIGHT]
    assert 0.6 < ratio < 1.6


def test_follow_up_repeats(baseline: SimulatedPatient) -> None:
    a, b = (simulate_follow_up(baseline) for _ in range(2))
    assert a.course is b.course
    assert np.array_equal(a.follow_up.activity_suv, b.follow_up.activity_suv)
    with pytest.raises(ValueError, match="numbered from 1"):
        simulate_follow_up(baseline, visit=0)
