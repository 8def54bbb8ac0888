"""Body contour and block means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from petlesion.segment.body import body_mask, remove_outside
from petlesion.segment.coarse import Coarse, refine

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


@given(SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 8, width=16))), st.data())
def test_blocks_are_means(array: Any, data: Any) -> None:
    target = data.draw(st.sampled_from([1.0, 4.0, 8.0]))
    coarse = Coarse.of(array, (2.0, 3.0, 4.0), target)
    z, y, x = coarse.factors
    for index in np.ndindex(coarse.array.shape):
        i, j, k = index
        block = array[i * z : (i + 1) * z, j * y : (j + 1) * y, k * x : (k + 1) * x]
        assert coarse.array[index] == pytest.approx(block.mean(), abs=1e-4)
        inside = coarse.fine_index(np.array(index))
        assert np.allclose(inside, np.add(np.indices(block.shape).reshape(3, -1).mean(axis=1), (i * z, j * y, k * x)))
    assert refine(coarse.array > 4, coarse.factors, array.shape).shape == array.shape


def test_refined_mask_repeats_blocks_and_extends_to_incomplete_ones() -> None:
    mask = np.array([[[True, False]], [[False, True]]])
    fine = refine(mask, (2, 1, 2), (5, 1, 5))
    assert fine[:, 0].astype(int).tolist() == [[1, 1, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 1]] * 3


@pytest.mark.parametrize("plan", [{}, {"arms_down": True}, {"size": 1.4}, {"ct": False}], ids=str)
def test_contour_holds_the_body_and_little_air(body: Callable[..., Any], plan: dict[str, Any]) -> None:
    patient = body(**plan)
    spacing = patient.study.pet.grid.spacing_mm
    pet = Coarse.of(patient.study.pet.array, spacing, 8.0)
    ct = None if patient.study.ct is None else Coarse.of(patient.study.ct.array, spacing, 8.0)
    found = refine(body_mask(pet, ct), pet.factors, patient.study.pet.array.shape)
    true = patient.masks["body"]
    assert found[true].mean() > 0.995
    assert not found[ndimage.distance_transform_edt(~true, sampling=spacing) > 25].any()
    assert found[patient.masks["lung"]].all()


def test_urine_bag_beside_the_patient_is_outside(body: Callable[..., Any]) -> None:
    patient = body()
    suv = patient.study.pet.array.copy()
    suv[60:70, 20:28, 5:11] = 30.0
    coarse = [Coarse.of(array, patient.study.pet.grid.spacing_mm, 8.0) for array in (suv, patient.study.ct.array)]
    mask = suv > 10
    assert mask[60:70, 20:28, 5:11].all()
    remove_outside(mask, body_mask(*coarse), coarse[0].factors)
    assert not mask[60:70, 20:28, 5:11].any()
    assert mask[patient.masks["bladder"]].any()


def test_where_the_ct_does_not_reach_the_pet_decides(body: Callable[..., Any]) -> None:
    patient = body(arms_down=True)
    spacing = patient.study.pet.grid.spacing_mm
    pet = Coarse.of(patient.study.pet.array, spacing, 8.0)
    alone = body_mask(pet)
    depth, _, width = patient.study.pet.array.shape
    for beyond in (np.s_[: depth // 2], np.s_[:, :, : width // 3]):
        short = patient.study.ct.array.copy()
        short[beyond] = -1024
        found = body_mask(pet, Coarse.of(short, spacing, 8.0))
        unseen = Coarse.of(short, spacing, 8.0).array <= -1024
        assert alone[unseen].any()
        np.testing.assert_array_equal(found[unseen] | ~alone[unseen], True)
        true = patient.masks["body"]
        assert refine(found, pet.factors, true.shape)[true].mean() > 0.99


def test_contour_scales_with_the_image(body: Callable[..., Any]) -> None:
    study = body(ct=False).study
    once = body_mask(Coarse.of(study.pet.array, study.pet.grid.spacing_mm, 8.0))
    twice = body_mask(Coarse.of(study.pet.array * np.float32(2), study.pet.grid.spacing_mm, 8.0))
    assert np.array_equal(once, twice)


def test_empty_image_has_no_body() -> None:
    assert not body_mask(Coarse.of(np.zeros((5, 6, 7), dtype=np.float32), (8, 8, 8), 8.0)).any()


def test_real_tumours_lie_inside_the_contour(shared_data: Any) -> None:
    from petlesion.nifti import read_image

    for number in (1, 5, 13, 19, 28):
        folder = shared_data / "sts" / f"STS_{number:03d}"
        pet, tumour = read_image(folder / "pet.nii.gz"), read_image(folder / "gtv.nii.gz")
        coarse = Coarse.of(pet.array, pet.grid.spacing_mm, 8.0)
        assert refine(body_mask(coarse), coarse.factors, pet.array.shape)[tumour.array > 0].mean() > 0.99
