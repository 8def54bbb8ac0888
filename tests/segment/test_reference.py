"""Reference spheres: in the liver, even, away from lesions; in the spleen of a diseased liver; nowhere in a limb."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.organs import Organ, Organs
from petlesion.reader import read_study
from petlesion.report import Reference, ReferenceOrgan, Sphere
from petlesion.segment.reference import find_reference
from petlesion.segment.spheres import sphere_values, voxels_in
from petlesion.study import PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

TRACER_NAMES = (TracerName.F18_FDG, TracerName.GA68_DOTATATE, TracerName.GA68_PSMA11)
BUILDS: tuple[dict[str, Any], ...] = (
    {},
    {"ct": False},
    {"ct": False, "arms_down": True},
    {"size": 1.4, "arms_down": True},
    {"ct": False, "size": 0.8, "noise": 0.2},
    {"ct": False, "spacing_mm": (3.0, 2.5, 2.5), "z_mm": (-150.0, 250.0)},
)
HOT_LESIONS = tuple(
    ((x, y, z), radius, suv)
    for x, y, z, radius, suv in (
        (-40, -20, 60, 15, 18.0),
        (-110, 0, 30, 12, 25.0),
        (-70, 40, -10, 10, 14.0),
        (10, -45, 40, 10, 30.0),
        (-80, -50, 10, 8, 16.0),
    )
)
CONFLUENT = (((-70.0, -5.0, 25.0), 74.0, 26.0), ((15.0, -45.0, 40.0), 36.0, 30.0), ((-70.0, 0.0, -45.0), 40.0, 22.0))


def inside(reference: Reference, study: PetCt, mask: NDArray[np.bool_]) -> float:
    """The least fraction of a sphere that lies in the mask."""
    return min(float(mask.ravel()[voxels_in(study.pet.grid, sphere)].mean()) for sphere in reference.spheres)


@pytest.mark.parametrize("tracer", TRACER_NAMES)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: "-".join(map(str, build.values())) or "plain")
def test_spheres_lie_in_the_liver(body: Callable[..., Any], tracer: TracerName, build: dict[str, Any]) -> None:
    patient = body(tracer=tracer, **build)
    reference, warnings = find_reference(patient.study)
    assert reference.organ is ReferenceOrgan.LIVER
    assert warnings == ()
    assert inside(reference, patient.study, patient.masks["liver"]) == 1.0
    assert len(reference.spheres) == (1 if tracer is TracerName.F18_FDG else 3)
    assert {sphere.radius_mm for sphere in reference.spheres} == {15.0}
    true_suv = {TracerName.F18_FDG: 2.2, TracerName.GA68_DOTATATE: 5.5, TracerName.GA68_PSMA11: 5.2}[tracer]
    assert reference.mean == pytest.approx(true_suv, rel=0.06)


def test_threshold_follows_from_mean_and_sd_of_the_spheres(body: Callable[..., Any]) -> None:
    study = body(tracer=TracerName.GA68_DOTATATE).study
    reference, _ = find_reference(study)
    index = np.argwhere(np.ones(study.pet.array.shape, dtype=bool))
    points = study.pet.grid.to_world(index)
    chosen = np.zeros(len(index), dtype=bool)
    for sphere in reference.spheres:
        chosen |= np.linalg.norm(points - sphere.center_mm, axis=1) <= sphere.radius_mm
    values = study.pet.array.ravel()[chosen].astype(np.float64)
    assert reference.mean == pytest.approx(values.mean())
    assert reference.sd == pytest.approx(values.std())
    assert reference.threshold == pytest.approx(1.5 * values.mean() + 2 * values.std())


def test_spheres_do_not_overlap_in_a_normal_liver(body: Callable[..., Any]) -> None:
    reference, _ = find_reference(body(tracer=TracerName.GA68_DOTATATE).study)
    centers = np.array([sphere.center_mm for sphere in reference.spheres])
    distances = [np.linalg.norm(a - b) for i, a in enumerate(centers) for b in centers[:i]]
    assert min(distances) >= 29.5


def test_fdg_sphere_lies_in_the_right_lobe(body: Callable[..., Any]) -> None:
    patient = body(tracer=TracerName.F18_FDG)
    reference, _ = find_reference(patient.study)
    liver_x = patient.study.pet.grid.to_world(np.argwhere(patient.masks["liver"]))[:, 0]
    assert reference.spheres[0].center_mm[0] < liver_x.mean()


@pytest.mark.parametrize("ct", [True, False])
@pytest.mark.parametrize("tracer", [TracerName.GA68_DOTATATE, TracerName.GA68_PSMA11])
def test_spheres_keep_away_from_liver_lesions(body: Callable[..., Any], tracer: TracerName, ct: bool) -> None:
    patient = body(tracer=tracer, ct=ct, lesions=HOT_LESIONS)
    reference, _ = find_reference(patient.study)
    assert reference.organ is ReferenceOrgan.LIVER
    assert inside(reference, patient.study, patient.masks["liver"] & ~patient.masks["lesions"]) == 1.0


@pytest.mark.parametrize("ct", [True, False])
def test_spleen_replaces_a_liver_full_of_tumour(body: Callable[..., Any], ct: bool) -> None:
    patient = body(tracer=TracerName.GA68_DOTATATE, ct=ct, lesions=CONFLUENT)
    reference, warnings = find_reference(patient.study)
    assert reference.organ is ReferenceOrgan.SPLEEN
    assert inside(reference, patient.study, patient.masks["spleen"]) == 1.0
    assert reference.mean is not None
    assert reference.sd is not None
    assert reference.threshold == pytest.approx(0.67 * reference.mean + 2 * reference.sd)
    assert "spleen is the reference" in warnings[0]


def test_fdg_spleen_gives_no_threshold_below_the_fixed_one(body: Callable[..., Any]) -> None:
    hot = tuple((center, radius, 8.0) for center, radius, _ in CONFLUENT)
    reference, warnings = find_reference(body(tracer=TracerName.F18_FDG, lesions=hot).study)
    assert reference.organ is ReferenceOrgan.SPLEEN
    assert reference.threshold == 3.0
    assert any("too low for 18F-FDG" in warning for warning in warnings)


@pytest.mark.parametrize("ct", [True, False])
@pytest.mark.parametrize("tracer", TRACER_NAMES)
def test_limb_has_no_reference(body: Callable[..., Any], tracer: TracerName, ct: bool) -> None:
    sarcoma = (((-85.0, 0.0, -310.0), 55.0, 2.2 if tracer is TracerName.F18_FDG else 5.5),)
    patient = body(tracer=tracer, ct=ct, z_mm=(-420.0, -180.0), lesions=sarcoma)
    reference, warnings = find_reference(patient.study)
    assert reference.organ is ReferenceOrgan.NONE
    assert reference.threshold == TRACERS[tracer].fallback_suv
    assert reference.spheres == ()
    assert "neither normal liver nor spleen" in warnings[0]


@pytest.mark.parametrize("ct", [True, False])
def test_chest_and_head_have_no_reference(body: Callable[..., Any], ct: bool) -> None:
    reference, _ = find_reference(body(tracer=TracerName.F18_FDG, ct=ct, z_mm=(110.0, 420.0)).study)
    assert reference.organ is ReferenceOrgan.NONE


def test_psma1007_takes_a_fixed_threshold(body: Callable[..., Any]) -> None:
    study = dataclasses.replace(body(tracer=TracerName.GA68_PSMA11).study, tracer=TRACERS[TracerName.F18_PSMA1007])
    reference, warnings = find_reference(study)
    assert reference.organ is ReferenceOrgan.NONE
    assert reference.threshold == 3.0
    assert "18F-PSMA-1007" in warnings[0]


def test_unknown_tracer_takes_the_liver_with_a_warning_and_no_liver_that_may_excrete_it(
    body: Callable[..., Any],
) -> None:
    known = body(tracer=TracerName.GA68_PSMA11).study
    unknown = dataclasses.replace(known, tracer=TRACERS[TracerName.UNKNOWN])
    reference, warnings = find_reference(unknown)
    assert reference.organ is ReferenceOrgan.LIVER
    assert reference.threshold == pytest.approx(find_reference(known)[0].threshold, rel=0.02)
    assert "the tracer is not known" in warnings[0]
    hot = Volume(known.pet.array * np.float32(11.7 / reference.mean), known.pet.grid)
    reference, warnings = find_reference(dataclasses.replace(unknown, pet=hot))
    assert (reference.organ, reference.threshold) == (ReferenceOrgan.NONE, 3.0)
    assert "SUV 11.7 of the liver may be excretion" in warnings[0]


@pytest.mark.parametrize("tracer", [TracerName.F18_PSMA1007, TracerName.UNKNOWN])
def test_sphere_placed_by_hand_in_an_excreting_liver_draws_a_warning_with_both_thresholds(
    body: Callable[..., Any], tracer: TracerName
) -> None:
    study = body(tracer=TracerName.GA68_PSMA11).study
    hot = Volume(study.pet.array * np.float32(11.7 / 5.2), study.pet.grid)
    reference, warnings = find_reference(
        dataclasses.replace(study, pet=hot, tracer=TRACERS[tracer]), liver_sphere_mm=(-70.0, -5.0, 20.0)
    )
    assert reference.organ is ReferenceOrgan.LIVER
    assert reference.threshold is not None
    assert reference.threshold > 15
    assert "excret" in warnings[1]
    assert f"the threshold SUV {reference.threshold:.2f}, and SUV 3 would be used without it" in warnings[1]


def test_organ_mask_holds_the_spheres(body: Callable[..., Any]) -> None:
    patient = body(tracer=TracerName.GA68_DOTATATE)
    right_half = patient.masks["liver"].copy()
    right_half[: np.argwhere(right_half)[:, 0].max() - 20] = False  # only the upper 8 cm
    organs = Organs(right_half.astype(np.uint8), patient.study.pet.grid, {Organ.LIVER: (1,)})
    reference, _ = find_reference(patient.study, organs=organs)
    assert reference.organ is ReferenceOrgan.LIVER
    assert inside(reference, patient.study, right_half) > 0.98


def test_organ_mask_of_a_liver_full_of_tumour_leads_to_the_spleen(body: Callable[..., Any]) -> None:
    patient = body(tracer=TracerName.GA68_DOTATATE, lesions=CONFLUENT)
    labels = patient.masks["liver"] + 2 * patient.masks["spleen"].astype(np.uint8)
    organs = Organs(labels, patient.study.pet.grid, {Organ.LIVER: (1,), Organ.SPLEEN: (2,)})
    reference, _ = find_reference(patient.study, organs=organs)
    assert reference.organ is ReferenceOrgan.SPLEEN


def test_organs_on_another_grid_are_refused(body: Callable[..., Any]) -> None:
    patient = body(tracer=TracerName.GA68_DOTATATE)
    labels = np.ones((4, 4, 4), dtype=np.uint8)
    organs = Organs(labels, Grid.from_geometry((4, 4, 4), (4, 4, 4)), {Organ.LIVER: (1,)})
    with pytest.raises(UsageError, match="not on the grid of the PET"):
        find_reference(patient.study, organs=organs)


def test_sphere_placed_by_hand(body: Callable[..., Any]) -> None:
    study = body(tracer=TracerName.GA68_DOTATATE).study
    reference, warnings = find_reference(study, liver_sphere_mm=(-70.0, -5.0, 20.0))
    assert reference.spheres[0].center_mm == (-70.0, -5.0, 20.0)
    assert reference.mean == pytest.approx(5.5, rel=0.06)
    assert warnings == ("the reference sphere was placed by hand",)
    with pytest.raises(UsageError, match=r"\(900, 0, 0\) mm lies outside"):
        find_reference(study, liver_sphere_mm=(900.0, 0.0, 0.0))
    nothing = dataclasses.replace(study, pet=Volume(np.zeros_like(study.pet.array), study.pet.grid))
    with pytest.raises(UsageError, match=r"at \(-70, -5, 20\) mm holds no uptake"):
        find_reference(nothing, liver_sphere_mm=(-70.0, -5.0, 20.0))


def test_reference_does_not_depend_on_how_the_grid_stores_its_axes(body: Callable[..., Any]) -> None:
    study = body(tracer=TracerName.GA68_DOTATATE).study
    expected, _ = find_reference(study)
    sample = [((0, 1, 2), (-1, 1, 1)), ((0, 1, 2), (1, -1, -1)), ((2, 0, 1), (1, -1, 1)), ((1, 2, 0), (-1, -1, 1))]
    for axes, flips in sample:
        turned, _ = find_reference(reordered(study, axes, flips))
        assert turned.organ is expected.organ
        assert np.allclose([s.center_mm for s in turned.spheres], [s.center_mm for s in expected.spheres])
        assert turned.threshold == pytest.approx(expected.threshold, rel=1e-9)


def reordered(study: PetCt, axes: tuple[int, ...], flips: tuple[int, ...]) -> PetCt:
    """The same patient on a grid with permuted and flipped axes."""
    grid = study.pet.grid
    steps = [grid.affine[:3, axis] * flip for axis, flip in zip(axes, flips, strict=True)]
    corner = [0 if flip == 1 else grid.shape[axis] - 1 for axis, flip in zip(axes, flips, strict=True)]
    index = np.zeros(3)
    index[list(axes)] = corner
    affine = np.eye(4)
    affine[:3, :3] = np.stack(steps, axis=1)
    affine[:3, 3] = grid.to_world(index)
    turned = Grid(tuple(grid.shape[axis] for axis in axes), affine)  # type: ignore[arg-type]

    def turn(volume: Volume) -> Volume:
        view = volume.array.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)]
        return Volume(np.ascontiguousarray(view), turned)

    return dataclasses.replace(study, pet=turn(study.pet), ct=None if study.ct is None else turn(study.ct))


def test_sphere_values_count_every_voxel_once() -> None:
    volume = Volume(np.arange(1000, dtype=np.float32).reshape(10, 10, 10), Grid.from_geometry((10, 10, 10), (2, 2, 2)))
    one, other = Sphere((8.0, 8.0, 8.0), 4.0), Sphere((9.0, 8.0, 8.0), 4.0)
    both = sphere_values(volume, [one, other])
    assert len(set(both)) == len(both) < len(sphere_values(volume, [one])) + len(sphere_values(volume, [other]))
    assert sphere_values(volume, [Sphere((8.9, 8.0, 8.0), 0.1)]) == [444.0]


@pytest.mark.parametrize("patient", range(1, 31, 3))
def test_real_limbs_and_trunk_walls_have_no_liver(shared_data: Path, patient: int) -> None:
    study = read_study(shared_data / "sts" / f"STS_{patient:03d}", tracer=TracerName.F18_FDG)
    for case in (study, dataclasses.replace(study, ct=None)):
        reference, warnings = find_reference(case)
        assert reference.organ is ReferenceOrgan.NONE
        assert reference.threshold == 3.0
        assert warnings


def test_real_whole_body_has_its_sphere_in_the_right_lobe(shared_data: Path) -> None:
    study = read_study(shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image", tracer=TracerName.F18_FDG)
    reference, _ = find_reference(study)
    assert reference.organ is ReferenceOrgan.LIVER
    x, y, z = reference.spheres[0].center_mm  # box of the right lobe as seen on the images
    assert -125 < x < -35
    assert -40 < y < 90
    assert -425 < z < -335
    assert reference.mean == pytest.approx(2.03, abs=0.1)
    assert reference.sd is not None
    assert reference.sd < 0.4


@pytest.mark.parametrize(("low", "high"), [(0, 110), (178, 267)])
def test_real_pelvis_and_chest_have_no_liver(shared_data: Path, low: int, high: int) -> None:
    study = read_study(shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image", tracer=TracerName.F18_FDG)
    grid = study.pet.grid
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world((low, 0, 0))
    part = Volume(study.pet.array[low:high], Grid((high - low, *grid.shape[1:]), affine))
    reference, _ = find_reference(dataclasses.replace(study, pet=part))
    assert reference.organ is ReferenceOrgan.NONE
