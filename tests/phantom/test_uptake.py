"""Normal uptake: published means, spread, correlation with weight and tumour load, conservation."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from petlesion.errors import UsageError
from petlesion.phantom.activity import RETAINED, conserve, render_activity
from petlesion.phantom.anatomy import Anatomy, Layer, Sex, mass_out_of_view
from petlesion.phantom.attenuation import render_ct, tissue_hu
from petlesion.phantom.body.build import build_body
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import STRUCTURES, Label
from petlesion.phantom.uptake import draw_uptake, lean_mass_kg, table_of
from petlesion.phantom.uptake_tables import TABLES
from petlesion.tracers import TracerName


@cache
def body(contrast: bool = False) -> Anatomy:
    return build_body(3, TracerName.GA68_PSMA11, CohortOptions(spacing_mm=6.0, contrast=contrast)).anatomy


@pytest.mark.parametrize("tracer", list(TABLES))
def test_population_follows_the_table(tracer: TracerName) -> None:
    drawn = [draw_uptake(tracer, body(), seed, 0, 0.0) for seed in range(150)]
    for organ in TABLES[tracer].organs:
        if organ.modes:
            continue
        factor = drawn[0].weight_factor if organ.scales else 1.0
        values = np.array([uptake.of(organ.labels[0]) for uptake in drawn]) / factor
        assert values.mean() == pytest.approx(organ.mean, rel=0.25), organ.name
        assert 0.5 * organ.sd < values.std() < 1.4 * organ.sd, organ.name


def test_organs_rise_and_fall_together() -> None:
    drawn = [draw_uptake(TracerName.GA68_PSMA11, body(), seed, 0, 0.0) for seed in range(200)]
    liver = [uptake.of(Label.LIVER_RIGHT) for uptake in drawn]
    kidney = [uptake.of(Label.KIDNEY_LEFT) for uptake in drawn]
    other = [uptake.of(Label.KIDNEY_RIGHT) for uptake in drawn]
    assert 0.15 < np.corrcoef(liver, kidney)[0, 1] < 0.6
    assert np.corrcoef(other, kidney)[0, 1] > 0.9


def test_visits_of_a_patient_differ_less_than_patients() -> None:
    first, second = ([draw_uptake(TracerName.F18_FDG, body(), s, visit, 0.0) for s in range(60)] for visit in (0, 1))
    pairs = np.log([[a.of(Label.LIVER_RIGHT), b.of(Label.LIVER_RIGHT)] for a, b in zip(first, second, strict=True)])
    within = np.std(pairs[:, 0] - pairs[:, 1]) / np.sqrt(2)
    assert 0.02 < within < 0.6 * pairs[:, 0].std()


def test_tumour_sink_lowers_organs() -> None:
    # Gafita et al., J Nucl Med 2022: organs lose about a third and more in men with the largest tumour volumes.
    none, heavy = (draw_uptake(TracerName.GA68_PSMA11, body(), 1, 0, share) for share in (0.0, 0.2))
    for label in (Label.PAROTID_LEFT, Label.KIDNEY_LEFT, Label.LIVER_RIGHT, Label.SPLEEN):
        assert heavy.of(label) / none.of(label) == pytest.approx(0.64, abs=0.05)


def test_suv_of_lean_tissue_rises_with_fat() -> None:
    # Sarikaya et al., J Nucl Med Technol 2020: the FDG uptake of the liver is 4.1 in the obese, 3.0 at normal weight.
    slim = replace(body(), weight_kg=68.0, height_m=1.75)
    obese = replace(body(), weight_kg=104.0, height_m=1.75)
    a, b = (draw_uptake(TracerName.F18_FDG, anatomy, 1, 0, 0.0) for anatomy in (slim, obese))
    assert b.of(Label.LIVER_RIGHT) / a.of(Label.LIVER_RIGHT) == pytest.approx(4.1 / 3.0, rel=0.12)
    assert b.of(Label.BLADDER) == pytest.approx(a.of(Label.BLADDER))


def test_lean_mass() -> None:
    # Janmahasatian et al., Clin Pharmacokinet 2005, by hand: 9270 * 80 / (6680 + 216 * 25) and the female counterpart.
    assert lean_mass_kg(Sex.MALE, 80.0, np.sqrt(3.2)) == pytest.approx(61.39, abs=0.01)
    assert lean_mass_kg(Sex.FEMALE, 80.0, np.sqrt(3.2)) == pytest.approx(49.84, abs=0.01)


def test_tracer_without_table() -> None:
    with pytest.raises(UsageError, match="no simulated uptake for tracer f18-psma1007"):
        table_of(TracerName.F18_PSMA1007)


@pytest.mark.parametrize("tracer", list(TABLES))
def test_activity_is_conserved(tracer: TracerName) -> None:
    anatomy = body()
    for seed in range(3):
        uptake = draw_uptake(tracer, anatomy, seed, 0, 0.1)
        activity = render_activity(anatomy, uptake, seed, 0)
        assert activity.dtype == np.float32
        assert activity.min() >= 0
        conserve(activity, anatomy, uptake, 0.1)
        share = activity.sum(dtype=np.float64) * anatomy.grid.voxel_ml / (1000 * anatomy.weight_kg)
        assert 0.35 < share <= RETAINED - 0.1
        inside = (anatomy.labels != Label.AIR) & (anatomy.labels != Label.TABLE)
        assert activity[inside].mean() < 1 / (1 - mass_out_of_view(anatomy.arms_up))


def test_conservation_scales_an_overfull_body() -> None:
    anatomy = body()
    uptake = draw_uptake(TracerName.F18_FDG, anatomy, 1, 0, 0.0)
    activity = render_activity(anatomy, uptake, 1, 0) * np.float32(5)
    before = activity.sum(dtype=np.float64)
    scaled = conserve(activity, anatomy, uptake, 0.3)
    factor = activity.sum(dtype=np.float64) / before
    assert factor < 0.3
    assert scaled.of(Label.LIVER_RIGHT) / uptake.of(Label.LIVER_RIGHT) == pytest.approx(factor, rel=1e-3)
    assert scaled.blood / uptake.blood == pytest.approx(factor, rel=1e-3)


def test_organ_means_are_those_drawn() -> None:
    anatomy = body()
    uptake = draw_uptake(TracerName.GA68_PSMA11, anatomy, 2, 0, 0.0)
    activity = render_activity(anatomy, uptake, 2, 0)
    for label in (Label.LIVER_RIGHT, Label.MUSCLE, Label.LUNG_RIGHT):
        assert activity[anatomy.labels == label].mean() == pytest.approx(uptake.of(label), rel=0.25)
    assert activity[anatomy.labels == Label.AIR].max() < 1.5
    assert uptake.of(Label.KIDNEY_LEFT, Layer.CORE) < uptake.of(Label.KIDNEY_LEFT)


def test_ct_values() -> None:
    anatomy = body()
    ct = render_ct(anatomy, 3)
    assert ct.dtype == np.float32
    assert ct.min() == -1000.0
    values = tissue_hu(anatomy, 3)
    for label, low, high in (
        (Label.MUSCLE, 20, 70),
        (Label.LIVER_RIGHT, 20, 75),
        (Label.SPLEEN, 30, 60),
        (Label.LUNG_LEFT, -880, -700),
        (Label.FAT, -130, -30),
        (Label.L3, 80, 500),
        (Label.AIR, -1001, -900),
    ):
        assert low < np.median(ct[anatomy.labels == label]) < high, STRUCTURES[label].name
    assert values[Label.SPLEEN] == pytest.approx(48)


def test_contrast_medium_shows_in_vessels() -> None:
    plain, enhanced = (np.median(render_ct(body(c), 3)[body(c).labels == Label.AORTA]) for c in (False, True))
    assert 30 < plain < 60
    assert 100 < enhanced < 200
