from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_cases import write_case, write_simulated_case

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.networks.inputs import body_spread  # noqa: E402
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig  # noqa: E402
from petlesion.nifti import read_image, read_labels, write_image, write_labels  # noqa: E402
from petlesion.tracers import TracerName  # noqa: E402
from petlesion.training.augmentation import Augmentation, Patches  # noqa: E402
from petlesion.training.cache import LISTED_VOXELS, CachedCase, prepare  # noqa: E402
from petlesion.training.cases import find_cases  # noqa: E402
from petlesion.training.config import AugmentationConfig, CohortConfig, LossConfig  # noqa: E402
from petlesion.training.dataset import PatchBatches, cut_padded, raised, source_size  # noqa: E402
from petlesion.training.losses import build_loss, merge_unknown  # noqa: E402
from petlesion.volume import Grid  # noqa: E402

CONFIG = ModelConfig(
    architecture=ArchitectureConfig(filters=(4, 8, 8)),
    patch=(16, 16, 16),
    classes=("background", "lesion", "physiological", "liver"),
)
OFF = {name: 0.0 for name in AugmentationConfig.model_fields if name not in ("elastic_grid_mm", "ct_gamma_range")}
NOTHING = AugmentationConfig.model_validate(OFF)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[CachedCase]:
    folder = tmp_path_factory.mktemp("patches")
    write_simulated_case(folder / "cases" / "a", 0)
    write_case(folder / "cases" / "b", 1, lesion=False)
    found = find_cases([CohortConfig(folder=folder / "cases", tracer=TracerName.F18_FDG)])
    return prepare(found, CONFIG, folder / "cache")


def batches(cases: list[CachedCase], **changes: object) -> PatchBatches:
    base = PatchBatches(cases, CONFIG, (16, 16, 16), batch=4, lesion_share=0.5, uptake_share=0.2, seed=0)
    return replace(base, **changes)  # type: ignore[arg-type]


# --- patches


def test_a_step_has_the_same_batch_whenever_it_is_asked_for(cases: list[CachedCase]) -> None:
    first, again, other = batches(cases)[7], batches(cases)[7], batches(cases)[8]
    assert all(np.array_equal(first[name], again[name]) for name in first)  # type: ignore[literal-required]
    assert not np.array_equal(first["suv"], other["suv"])
    assert not np.array_equal(first["suv"], batches(cases, rank=1)[7]["suv"])
    assert not np.array_equal(first["suv"], batches(cases, seed=1)[7]["suv"])


def test_patches_are_cut_from_the_images_and_padded_with_air(cases: list[CachedCase]) -> None:
    batch = batches(cases)[0]
    assert batch["suv"].shape == batch["ct"].shape == batch["classes"].shape == (4, 16, 16, 16)
    assert batch["suv"].dtype == np.float16
    beyond = batch["ct"] == -1024
    assert beyond.any()
    assert not batch["suv"][beyond].any()
    assert not batch["classes"][beyond].any()
    np.testing.assert_array_equal(batch["known"].any(axis=0), [True] * 4)
    np.testing.assert_array_equal(batch["tracer"], [[0, 0, 0, 1]] * 4)
    np.testing.assert_array_equal(batch["threshold"], [3.0] * 4)


def test_lesions_are_drawn_as_often_as_asked_and_lie_anywhere_in_the_patch(cases: list[CachedCase]) -> None:
    with_lesion = [case for case in cases if case.name == "a"]
    always = batches(with_lesion, lesion_share=1.0, uptake_share=0.0, batch=200)[0]["classes"] == 1
    assert always.any(axis=(1, 2, 3)).mean() > 0.99
    places = np.array([np.argwhere(patch).mean(axis=0) for patch in always if patch.any()])
    assert places.std(axis=0).min() > 2.5
    assert places.mean(axis=0) == pytest.approx([7.5] * 3, abs=1.0)
    by_weight = batches([replace(cases[0], weight=9.0), cases[1]], batch=300)[0]["known"][:, 3]
    assert by_weight.mean() == pytest.approx(0.9, abs=0.06)


def test_mirroring_is_left_right_and_as_often_as_a_cohort_says(cases: list[CachedCase]) -> None:
    as_it_is, mirrored, half = (batches([replace(cases[0], mirror=share)], batch=100)[3] for share in (0.0, 1.0, 0.5))
    for name in ("suv", "ct", "classes"):
        np.testing.assert_array_equal(mirrored[name], as_it_is[name][..., ::-1])  # type: ignore[literal-required]
    differ = (half["suv"] != as_it_is["suv"]).any(axis=(1, 2, 3))
    assert 0.35 < differ.mean() < 0.65


def test_uptake_of_a_cohort_varies_around_suv_1(cases: list[CachedCase]) -> None:
    as_it_is, varied = (batches([replace(cases[0], suv_gamma_range=most)], batch=100)[3] for most in (1.0, 2.0))
    np.testing.assert_array_equal(varied["ct"], as_it_is["ct"])
    whole = body_spread(cases[0].array("suv"), CONFIG.normalisation)
    np.testing.assert_allclose(as_it_is["spread"], [whole] * 100, rtol=2e-3)
    assert np.ptp(varied["spread"][:, 1]) > whole[1] / 2
    before, after = as_it_is["suv"].astype(np.float64), varied["suv"].astype(np.float64)
    hot = before > 2
    powers = [np.log(a[h]).mean() / np.log(b[h]).mean() for b, a, h in zip(before, after, hot, strict=True) if h.any()]
    assert min(powers) == pytest.approx(0.5, abs=0.1)
    assert max(powers) == pytest.approx(2.0, abs=0.2)
    assert (after[before > 1.01] > 1).all()
    assert (after[before < 0.99] < 1).all()


def test_uptake_that_16_bits_do_not_hold_stays_finite() -> None:
    np.testing.assert_array_equal(raised(np.array([0, 1, 20, 60000], dtype=np.float16), 4.0), [0, 1, 65504, 65504])


def test_small_lesions_are_drawn_as_often_as_large_ones(tmp_path: Path) -> None:
    write_case(tmp_path / "cases" / "two", 0, lesion=False)
    path = tmp_path / "cases" / "two" / "lesions.nii.gz"
    labels = read_labels(path)
    labels.array[2:10, 2:12, 2:12] = 1  # 800 voxels, and one
    labels.array[22, 22, 22] = 1
    write_labels(labels.array, labels.grid, path)
    found = find_cases([CohortConfig(folder=tmp_path / "cases", tracer=TracerName.F18_FDG)])
    (case,) = prepare(found, CONFIG, tmp_path / "cache")
    drawn = batches([case], lesion_share=1.0, uptake_share=0.0, batch=300, size=(8, 8, 8))[0]["classes"] == 1
    alone = drawn.sum(axis=(1, 2, 3)) == 1
    assert 0.4 < alone.mean() < 0.65


def test_uptake_that_is_no_lesion_is_drawn_as_often_as_asked(tmp_path: Path) -> None:
    write_simulated_case(tmp_path / "cases" / "hot", 0)
    pet = tmp_path / "cases" / "hot" / "pet.nii.gz"
    suv = read_image(pet)
    suv.array[:5, :, 18:] = 9.0  # the bladder
    write_image(suv, pet)
    (case,) = prepare(find_cases([CohortConfig(folder=tmp_path / "cases")]), CONFIG, tmp_path / "cache")
    uptake = (case.array("suv") >= case.threshold) & (case.array("classes") != 1)
    listed = case.array("uptake_voxels")
    assert uptake[tuple(listed.T)].all()
    assert len(listed) == min(uptake.sum(), LISTED_VOXELS) > 0
    drawn = batches([case], lesion_share=0.0, uptake_share=1.0, batch=100)[0]
    assert ((drawn["suv"] >= case.threshold) & (drawn["classes"] != 1)).any(axis=(1, 2, 3)).mean() > 0.99


def test_patches_elsewhere_lie_in_the_body_and_not_in_the_air_around_it(tmp_path: Path) -> None:
    write_case(tmp_path / "cases" / "thin", 0, lesion=False, grid=Grid.from_geometry((24, 48, 48), (4.0, 4.0, 4.0)))
    for name, air in (("pet.nii.gz", 0), ("ct.nii.gz", -1000)):
        image = read_image(tmp_path / "cases" / "thin" / name)
        image.array[:, 12:] = air
        write_image(image, tmp_path / "cases" / "thin" / name)
    found = find_cases([CohortConfig(folder=tmp_path / "cases", tracer=TracerName.F18_FDG)])
    (case,) = prepare(found, CONFIG, tmp_path / "cache")
    drawn = batches([case], lesion_share=0.0, uptake_share=0.0, batch=100)[0]
    assert (drawn["ct"][:, 7:9, 7:9, 7:9] > -500).any(axis=(1, 2, 3)).mean() > 0.95


def test_a_patch_lies_in_the_image_and_a_small_image_in_the_patch(cases: list[CachedCase]) -> None:
    inside = batches(cases, batch=100)[0]["ct"] > -1024
    assert inside.mean(axis=(1, 2, 3)).min() > 0.4  # half of each side beyond the image would leave an eighth
    small = batches(cases, batch=100, size=(44, 44, 44))[0]["ct"] > -1024
    assert (small.sum(axis=(1, 2, 3)) == np.prod(cases[0].shape)).all()
    assert len({int(np.argwhere(patch)[0][0]) for patch in small}) > 5  # not always in its middle


def test_cutting_beyond_the_image_on_any_side() -> None:
    array = np.arange(27).reshape(3, 3, 3)
    padded = np.pad(array, 9, constant_values=-1)
    for corner in ((-2, 0, 1), (2, 2, 2), (-8, -8, -8), (9, 0, 0), (-1, -1, -1)):
        z, y, x = (start + 9 for start in corner)
        expected = padded[z : z + 5, y : y + 4, x : x + 3]
        np.testing.assert_array_equal(cut_padded(array, np.array(corner), (5, 4, 3), -1)[: len(expected)], expected)


# --- augmentation


def patches(side: int = 20, count: int = 2) -> Patches:
    index = torch.stack(torch.meshgrid(*[torch.arange(side)] * 3, indexing="ij"), dim=-1).float()
    ball = (index - torch.tensor([8.0, 10.0, 12.0])).norm(dim=-1) <= 3
    suv = (1 + 4 * ball.float()).expand(count, -1, -1, -1).clone()
    return Patches(
        suv=suv,
        ct=torch.where(ball, 60.0, -100.0).expand(count, -1, -1, -1).clone(),
        classes=ball.to(torch.uint8).expand(count, -1, -1, -1).clone(),
        threshold=torch.full((count,), 3.0),
        spread=torch.tensor([[0.5, 0.2]] * count),
        tracer=torch.tensor([[0.0, 0.0, 0.0, 1.0]] * count),
        known=torch.ones(count, 4, dtype=torch.bool),
    )


def vary(options: dict[str, float], seed: int = 0, count: int = 2, side: int = 16) -> tuple[Patches, Patches]:
    before = patches(count=count)
    made = Augmentation(NOTHING.model_copy(update=options), (side,) * 3, (4.0, 4.0, 4.0))(before, seed)
    return before, made


def test_no_augmentation_is_the_middle_of_the_patch() -> None:
    before, after = vary({})
    middle = np.s_[:, 2:-2, 2:-2, 2:-2]
    torch.testing.assert_close(after.suv, before.suv[middle], atol=1e-4, rtol=0)
    torch.testing.assert_close(after.ct, before.ct[middle], atol=1e-2, rtol=0)
    assert torch.equal(after.classes, before.classes[middle])
    assert torch.equal(after.threshold, before.threshold)


def test_the_same_seed_gives_the_same_variation() -> None:
    everything = AugmentationConfig().model_dump()
    (_, first), (_, again), (_, other) = vary(everything), vary(everything), vary(everything, seed=1)
    assert torch.equal(first.suv, again.suv)
    assert torch.equal(first.ct, again.ct)
    assert not torch.equal(first.suv, other.suv)
    assert torch.isfinite(first.suv).all()
    assert (first.suv >= 0).all()


@pytest.mark.parametrize(
    "options",
    [{"affine": 1.0, "rotation_degrees": 40.0, "scale": 0.2}, {"elastic": 1.0, "elastic_mm": 8.0}],
)
def test_pet_ct_and_labels_move_together(options: dict[str, float]) -> None:
    before, after = vary(options, count=8, side=20)
    assert not torch.equal(after.classes, before.classes)
    for image, low, high in ((after.suv, 1.0, 5.0), (after.ct, -100.0, 60.0)):
        hot = image > (low + high) / 2
        both, sizes = (hot & (after.classes > 0)).sum(dim=(1, 2, 3)), hot.sum(dim=(1, 2, 3))
        overlap = 2 * both / (sizes + after.classes.sum(dim=(1, 2, 3)))
        assert overlap.min() > 0.85


def test_rotation_keeps_volumes_and_scale_changes_them_within_bounds() -> None:
    truth = int(patches().classes[0].sum())
    _, turned = vary({"affine": 1.0, "rotation_degrees": 180.0}, count=20, side=20)
    assert turned.classes.sum(dim=(1, 2, 3)).float().mean() == pytest.approx(truth, rel=0.05)
    _, scaled = vary({"affine": 1.0, "scale": 0.2}, count=40, side=20)
    sizes = scaled.classes.sum(dim=(1, 2, 3)) / truth
    assert 0.5 < sizes.min() < 0.75
    assert 1.4 < sizes.max() < 2.1


def test_misregistration_moves_the_ct_alone() -> None:
    before, after = vary({"misregistration": 1.0, "misregistration_mm": 8.0}, count=10, side=20)
    torch.testing.assert_close(after.suv, before.suv, atol=1e-4, rtol=0)
    assert torch.equal(after.classes, before.classes)
    index = torch.stack(torch.meshgrid(*[torch.arange(20.0)] * 3, indexing="ij"), dim=-1)
    weight = ((after.ct + 100) / 160).clamp(0, 1)[..., None]
    inside = (weight * index).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))
    shift = (inside - torch.tensor([8.0, 10.0, 12.0])).abs()
    assert shift.max() <= 2.2
    assert shift.max() > 0.8


def test_suv_changes_within_calibration_alone() -> None:
    before, after = vary({"calibration": 0.1, "threshold": 0.1}, count=200, side=20)
    ratio = after.suv / before.suv
    assert 0.9 <= ratio.min() < 0.92
    assert 1.08 < ratio.max() <= 1.1 + 1e-5
    assert (ratio.amax(dim=(1, 2, 3)) - ratio.amin(dim=(1, 2, 3))).max() < 1e-4  # one factor a patch
    assert 2.7 <= after.threshold.min() < after.threshold.max() <= 3.3


def test_noise_grows_with_the_square_root_of_uptake_and_has_no_bias() -> None:
    before, after = vary({"pet_noise": 1.0, "pet_noise_level": 0.3}, count=60, side=20)
    difference = after.suv - before.suv
    cold, hot = before.suv == 1, before.suv == 5
    assert abs(float(difference[cold].mean())) < 0.01
    assert float(difference[cold].std()) == pytest.approx(0.3 / math.sqrt(3), rel=0.1)  # levels are even from 0 to 0.3
    assert float(difference[hot].std() / difference[cold].std()) == pytest.approx(math.sqrt(5), rel=0.1)


def test_blur_keeps_the_total_and_lowers_the_peak() -> None:
    before, after = vary({"pet_blur": 1.0, "pet_blur_mm": 6.0}, count=10, side=20)
    center = np.s_[:, 8, 10, 12]
    assert (after.suv[center] <= before.suv[center] + 1e-4).all()
    inner = np.s_[:, 4:16, 4:16, 4:16]
    torch.testing.assert_close(after.suv[inner].sum(), before.suv[inner].sum(), rtol=0.03, atol=0)


def test_ct_varies_and_pet_does_not() -> None:
    before, after = vary({"ct_noise": 1.0, "ct_noise_hu": 40.0, "ct_gamma": 1.0}, count=10, side=20)
    torch.testing.assert_close(after.suv, before.suv, atol=1e-4, rtol=0)
    assert 5 < float((after.ct - before.ct).std()) < 400


def test_network_sees_patients_without_ct_and_tracer() -> None:
    _, after = vary({"no_ct": 0.5, "no_tracer": 0.5}, count=200)
    without_ct = (after.ct == -1024).all(dim=-1).all(dim=-1).all(dim=-1)
    assert without_ct.float().mean() == pytest.approx(0.5, abs=0.12)
    assert (after.tracer.sum(dim=1) == 0).float().mean() == pytest.approx(0.5, abs=0.12)


def test_larger_patches_are_cut_for_turning() -> None:
    assert source_size((16, 16, 16), wider=True) == (22, 22, 22)
    assert source_size((96, 64, 17), wider=True) == (126, 84, 23)  # as even or odd: no shift by half a voxel
    assert source_size((16, 16, 16), wider=False) == (16, 16, 16)


# --- loss


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))


def test_unknown_classes_add_their_probability_to_the_background() -> None:
    known = torch.tensor([[True, True, False, False], [True, True, True, True]])
    given, merged = logits().softmax(dim=1), merge_unknown(logits(), known).softmax(dim=1)
    torch.testing.assert_close(merged[1], given[1])
    torch.testing.assert_close(merged[0, 0], given[0, [0, 2, 3]].sum(dim=0))
    torch.testing.assert_close(merged[0, 1], given[0, 1])
    assert not merged[0, 2:].any()


NOT_AVID = torch.zeros(2, 3, 3, 3, dtype=torch.bool)


def test_a_mistake_in_avid_uptake_weighs_more() -> None:
    options = LossConfig(dice=0.0, avid_weight=10.0, lesion_weight=3.0, faint_lesion_weight=5.0)
    loss = build_loss(options, CONFIG, CPU)
    classes, known = torch.full((2, 3, 3, 3), 2), torch.ones(2, 4, dtype=torch.bool)
    classes[0, 0, 0, 0] = classes[0, 1, 0, 0] = 1
    right = torch.nn.functional.one_hot(classes, 4).movedim(-1, 1) * 60.0 - 30
    avid = NOT_AVID.clone()
    avid[0, 0, 0, :2] = True  # the lesion, and uptake that is none

    def cost(x: int, z: int = 0) -> float:
        wrong = right.clone()
        wrong[0, :, z, 0, x] = wrong[0, :, z, 0, x].roll(1)
        return float(loss([wrong], classes, avid, known))

    assert cost(1) == pytest.approx(10 * cost(2), rel=1e-5)
    assert cost(0) == pytest.approx(30 * cost(2), rel=1e-5)
    assert cost(0, z=1) == pytest.approx(5 * cost(2), rel=1e-5)  # a part of the lesion below the threshold


def test_both_terms_are_those_of_monai_and_pytorch() -> None:
    from monai.losses.dice import DiceLoss

    classes = torch.randint(4, (2, 3, 3, 3), generator=torch.Generator().manual_seed(1))
    weight = torch.tensor([2.0, 1.0, 1.0]) * 3 / 4
    dice = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        smooth_nr=0.0,
        smooth_dr=1e-5,
        weight=weight,
    )
    options = LossConfig(
        dice=1.0, cross_entropy=3.0, lesion_dice_weight=2.0, lesion_weight=1.0, faint_lesion_weight=1.0
    )
    known = torch.ones(2, 4, dtype=torch.bool)
    mine, theirs = logits().requires_grad_(), logits().requires_grad_()
    cost = build_loss(options, CONFIG, CPU)([mine], classes, NOT_AVID, known)
    expected = dice(theirs, classes[:, None]) + 3 * torch.nn.functional.cross_entropy(theirs, classes)
    torch.testing.assert_close(cost, expected)
    cost.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_unknown_classes_get_no_gradient_for_being_told_apart() -> None:
    known = torch.tensor([[True, True, False, False]] * 2)
    x = logits().requires_grad_()
    classes = torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    build_loss(LossConfig(), CONFIG, CPU)([x], classes, classes > 0, known).backward()
    assert x.grad is not None
    share = x.detach()[:, [0, 2, 3]].softmax(dim=1)
    # the three share one gradient in proportion to their probabilities
    found = x.grad[:, [0, 2, 3]]
    torch.testing.assert_close(found, found.sum(dim=1, keepdim=True) * share, atol=1e-6, rtol=1e-4)


def test_a_class_that_is_absent_has_no_dice_gradient() -> None:
    dice = build_loss(LossConfig(cross_entropy=0.0), CONFIG, CPU)
    x = logits().requires_grad_()
    dice([x], torch.zeros(2, 3, 3, 3, dtype=torch.uint8), NOT_AVID, torch.ones(2, 4, dtype=torch.bool)).backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) < 1e-6


def test_an_absent_class_does_not_dilute_the_others() -> None:
    dice = build_loss(LossConfig(cross_entropy=0.0), CONFIG, CPU)
    classes = torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    classes[:, 0] = 1
    known = torch.ones(2, 4, dtype=torch.bool)
    probability = logits().softmax(dim=1)[:, 1]
    expected = 1 - 2 * probability[classes == 1].sum() / (probability.sum() + (classes == 1).sum())
    assert float(dice([logits()], classes, NOT_AVID, known)) == pytest.approx(float(expected), rel=1e-5)


def test_perfect_prediction_of_all_classes_costs_nothing() -> None:
    classes = torch.arange(27 * 2).reshape(2, 3, 3, 3) % 4
    perfect = torch.nn.functional.one_hot(classes, 4).movedim(-1, 1) * 60.0 - 30
    loss = build_loss(LossConfig(), CONFIG, CPU)
    known = torch.ones(2, 4, dtype=torch.bool)
    assert float(loss([perfect], classes, NOT_AVID, known)) == pytest.approx(0.0, abs=1e-4)
    assert float(loss([-perfect], classes, NOT_AVID, known)) > 10


def test_outputs_of_deep_supervision_count_half_each_time() -> None:
    known, classes = torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    loss = build_loss(LossConfig(), CONFIG, CPU)
    parts = [float(loss([logits(seed)], classes, NOT_AVID, known)) for seed in range(3)]
    together = float(loss([logits(seed) for seed in range(3)], classes, NOT_AVID, known))
    assert together == pytest.approx((parts[0] + parts[1] / 2 + parts[2] / 4) / 1.75, rel=1e-5)


def test_coarse_outputs_are_compared_with_the_middle_of_their_voxels() -> None:
    classes = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    classes[0, 1, 1, 3] = 1  # the middle of a coarse voxel at the upper right
    fine, coarse = torch.full((1, 4, 4, 4, 4), -30.0), torch.full((1, 4, 2, 2, 2), -30.0)
    fine[:, 0], coarse[:, 0] = 30.0, 30.0
    fine[0, :2, 1, 1, 3], coarse[0, :2, 0, 0, 1] = torch.tensor([-30.0, 30.0]), torch.tensor([-30.0, 30.0])
    loss = build_loss(LossConfig(dice=0.0), CONFIG, CPU)
    known = torch.ones(1, 4, dtype=torch.bool)
    assert float(loss([fine, coarse], classes, classes > 0, known)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss([fine, coarse.flip(-1)], classes, classes > 0, known)) > 1
