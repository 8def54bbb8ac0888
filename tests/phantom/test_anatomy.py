"""Bodies: every structure there, volumes of published size, weight, order and sides."""

from __future__ import annotations

import numpy as np
import pytest

from petlesion.organs import Organ
from petlesion.phantom.anatomy import Anatomy, Sex, mass_out_of_view
from petlesion.phantom.body.build import Body, build_body, density_of
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import BONES, VERTEBRAE, Label
from petlesion.phantom.render import composite
from petlesion.tracers import TracerName

SEEDS = (0, 1, 2, 3, 4)
SPACING = 5.0
# Range of single patients, mL, wide enough for small women and tall men, narrow enough to notice a wrong decimal.
VOLUMES_ML = {
    "liver": ((Label.LIVER_RIGHT, Label.LIVER_LEFT, Label.LIVER_VESSELS), 900, 2400),
    "spleen": ((Label.SPLEEN,), 70, 430),
    "one kidney": ((Label.KIDNEY_LEFT,), 70, 300),
    "brain": ((Label.BRAIN,), 900, 1600),
    "lungs": ((Label.LUNG_LEFT, Label.LUNG_RIGHT), 2000, 5500),
    "heart": ((Label.HEART, Label.MYOCARDIUM, Label.BLOOD_POOL), 280, 900),
    "pancreas": ((Label.PANCREAS, Label.UNCINATE), 35, 130),
    "bladder": ((Label.BLADDER,), 30, 560),
    "parotid": ((Label.PAROTID_LEFT,), 10, 45),
    "thyroid": ((Label.THYROID,), 6, 35),
    "adrenal": ((Label.ADRENAL_LEFT,), 1.2, 8),
    "aorta": ((Label.AORTA,), 110, 320),
    "L3": ((Label.L3,), 25, 90),
    "bones": (BONES, 2200, 6000),
    "stomach": ((Label.STOMACH, Label.STOMACH_LUMEN), 120, 800),
}


@pytest.fixture(scope="module")
def bodies() -> list[Body]:
    return [build_body(seed, TracerName.F18_FDG, CohortOptions(spacing_mm=SPACING)) for seed in SEEDS]


def volume_ml(anatomy: Anatomy, labels: tuple[Label, ...]) -> float:
    return float(np.count_nonzero(anatomy.mask(*labels))) * anatomy.grid.voxel_ml


@pytest.mark.parametrize("name", list(VOLUMES_ML))
def test_volumes_are_those_of_people(name: str, bodies: list[Body]) -> None:
    labels, low, high = VOLUMES_ML[name]
    volumes = [volume_ml(body.anatomy, labels) for body in bodies]
    assert low < min(volumes), volumes
    assert max(volumes) < high, volumes
    assert np.std(volumes) > 0.02 * np.mean(volumes), "the same in every patient"


def test_every_structure_is_there(bodies: list[Body]) -> None:
    male = {Label.PROSTATE, Label.SEMINAL_VESICLES, Label.TESTES}
    female = {Label.UTERUS, Label.OVARIES, Label.BREASTS}
    for body in bodies:
        anatomy = body.anatomy
        absent = {Label(v) for v in set(Label) - set(np.unique(anatomy.labels))}
        absent -= female if anatomy.sex is Sex.MALE else male
        if anatomy.arms_up:
            absent -= {Label.FOREARM_LEFT, Label.FOREARM_RIGHT}
        # An air bubble need not be there in every patient.
        assert absent <= {Label.BOWEL_GAS}, absent


def test_both_sexes_and_both_positions_occur(bodies: list[Body]) -> None:
    assert {body.anatomy.sex for body in bodies} == set(Sex)
    assert len({body.anatomy.grid.shape for body in bodies}) > 1


@pytest.mark.parametrize("seed", range(3))
def test_men_for_psma(seed: int) -> None:
    body = build_body(seed, TracerName.GA68_PSMA11, CohortOptions(spacing_mm=6.0, sex=Sex.FEMALE))
    assert body.anatomy.sex is Sex.MALE
    assert volume_ml(body.anatomy, (Label.PROSTATE,)) > 10


def test_options_fix_what_they_name() -> None:
    options = CohortOptions(spacing_mm=6.0, sex=Sex.FEMALE, arms_up=False, contrast=True)
    anatomy = build_body(1, TracerName.F18_FDG, options).anatomy
    assert (anatomy.sex, anatomy.arms_up, anatomy.contrast) == (Sex.FEMALE, False, True)
    assert volume_ml(anatomy, (Label.FOREARM_LEFT,)) > 20


def test_mass_is_the_weight(bodies: list[Body]) -> None:
    for body in bodies:
        anatomy = body.anatomy
        mass = composite(anatomy.parts, anatomy.grid.shape, density_of).sum(dtype=np.float64)
        mass *= anatomy.grid.voxel_ml / 1000
        assert mass == pytest.approx(anatomy.weight_kg * (1 - mass_out_of_view(anatomy.arms_up)), rel=0.03)
        assert anatomy.weight_kg == pytest.approx(body.habitus.weight_kg, rel=0.15)


def test_sides_and_heights_are_right(bodies: list[Body]) -> None:
    for anatomy in (body.anatomy for body in bodies):
        marks = anatomy.landmarks
        heights = [marks[v.name][0, 2] for v in VERTEBRAE]
        assert heights == sorted(heights, reverse=True)
        centers = {
            label: anatomy.grid.to_world(np.argwhere(anatomy.labels == label).mean(axis=0))
            for label in (Label.LIVER_RIGHT, Label.SPLEEN, Label.BLADDER, Label.BRAIN, Label.AORTA, Label.L3)
        }
        # LPS: the left is at positive x, the back at positive y, the head at positive z.
        assert centers[Label.LIVER_RIGHT][0] < 0 < centers[Label.SPLEEN][0]
        assert centers[Label.BLADDER][2] < centers[Label.L3][2] < centers[Label.SPLEEN][2] < centers[Label.BRAIN][2]
        assert centers[Label.BLADDER][1] < marks["SACRUM"][1, 1]
        for line in ("aorta", "URETER_LEFT", "external iliac right"):
            inside = [anatomy.grid.contains(point) for point in marks[line]]
            assert all(inside)


def test_organs_for_segmenters(bodies: list[Body]) -> None:
    organs = bodies[0].anatomy.organs()
    for organ in set(Organ) - {Organ.PROSTATE}:
        mask = organs.mask(organ)
        assert mask is not None, organ
    liver = organs.mask(Organ.LIVER)
    assert liver is not None
    assert liver.sum() == bodies[0].anatomy.mask(Label.LIVER_RIGHT, Label.LIVER_LEFT, Label.LIVER_VESSELS).sum()


def test_finer_grid_is_the_same_body() -> None:
    coarse, fine = (
        build_body(2, TracerName.F18_FDG, CohortOptions(spacing_mm=spacing)).anatomy for spacing in (6.0, 4.0)
    )
    assert coarse.height_m == fine.height_m
    for labels in ((Label.SPLEEN,), (Label.KIDNEY_LEFT,), (Label.BRAIN,), (Label.HEART,)):
        assert volume_ml(coarse, labels) == pytest.approx(volume_ml(fine, labels), rel=0.2)


def test_nothing_of_the_body_is_cut_off(bodies: list[Body]) -> None:
    for anatomy in (body.anatomy for body in bodies):
        body_mask = (anatomy.labels != Label.AIR) & (anatomy.labels != Label.TABLE)
        for face in (body_mask[:, 0], body_mask[:, -1], body_mask[:, :, 0], body_mask[:, :, -1]):
            assert not face.any()


@pytest.mark.parametrize("value", [1.0, 7.0])
def test_spacing_out_of_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"between 1\.5 and 6 mm"):
        CohortOptions(spacing_mm=value)


def test_fraction_out_of_range() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        CohortOptions(diseased_fraction=1.5)
