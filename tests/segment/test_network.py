"""Inference on studies small enough to compute, with networks whose answer is known beforehand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.errors import ExitCode, ModelError, SegmentationError, UsageError  # noqa: E402
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig  # noqa: E402
from petlesion.networks.model_folder import Model, write_model  # noqa: E402
from petlesion.networks.unet import build_unet  # noqa: E402
from petlesion.organs import Organ  # noqa: E402
from petlesion.report import Reference, ReferenceOrgan, Review, SuvRecord  # noqa: E402
from petlesion.segment.methods import segment  # noqa: E402
from petlesion.segment.network import (  # noqa: E402
    NetworkOptions,
    load_models,
    models_sha256,
    segment_by_network,
)
from petlesion.segment.options import MethodName, SegmentOptions  # noqa: E402
from petlesion.segment.refinement import refine_to_threshold  # noqa: E402
from petlesion.study import Patient, PetCt  # noqa: E402
from petlesion.tracers import TRACERS, TracerName  # noqa: E402
from petlesion.volume import Grid, Volume  # noqa: E402

CONFIG = ModelConfig(
    name="ratio",
    architecture=ArchitectureConfig(filters=(2, 4, 8)),
    patch=(16, 16, 16),
    tracers=(TracerName.F18_FDG,),
)
THRESHOLD = 4.0
REFERENCE = Reference(ReferenceOrgan.LIVER, 2.0, 0.5, THRESHOLD)
RATIO, CT_PLANE = 1, 2
CPU = NetworkOptions(device="cpu", threads=1)


class RatioNetwork(torch.nn.Module):
    """Lesion where SUV reaches the threshold, liver where it lies between 0.4 and 1 of it."""

    def __init__(self, steepness: float = 20.0, largest: int = 10**9) -> None:
        super().__init__()
        self.steepness, self.largest, self.sizes = steepness, largest, set[tuple[int, ...]]()

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        if planes[0, 0].numel() > self.largest:
            raise torch.OutOfMemoryError("out of memory")
        ratio = planes[:, RATIO].float()
        logits = torch.full((len(planes), len(CONFIG.classes), *planes.shape[2:]), -50.0)
        logits[:, 0] = 0.0
        logits[:, 1] = self.steepness * (ratio - 1)
        logits[:, CONFIG.classes.index("liver")] = torch.where((ratio > 0.4) & (ratio < 0.9), 5.0, -50.0)
        return logits


def model(network: torch.nn.Module | None = None, config: ModelConfig = CONFIG) -> Model:
    return Model((network or RatioNetwork()).eval(), config, {}, "ab" * 32)


def ball(grid: Grid, center_mm: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    return np.asarray(np.linalg.norm(points - np.array(center_mm), axis=-1) <= radius_mm)


def make_study(grid: Grid, *, lesions: tuple[tuple[tuple[float, float, float], float], ...] = ()) -> PetCt:
    """An upright cylinder of SUV 1 with a liver of SUV 2.4 on the patient's right, and lesions of SUV 8."""
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    body = np.hypot(points[..., 0], points[..., 1]) < 80
    suv = np.where(body, 1.0, 0.0).astype(np.float32)
    suv[ball(grid, (-40.0, 0.0, 100.0), 30.0)] = 2.4
    for center, radius in lesions:
        suv[ball(grid, center, radius)] = 8.0
    ct = np.where(body, 40.0, -1000.0).astype(np.float32)
    return PetCt(
        pet=Volume(suv, grid),
        ct=Volume(ct, grid),
        tracer=TRACERS[TracerName.F18_FDG],
        patient=Patient(),
        suv=SuvRecord("g/ml", "START", None, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.3",
    )


GRID = Grid.from_geometry((50, 48, 48), (4.0, 4.0, 4.0), (-94.0, -94.0, 2.0))
LESIONS = (((40.0, 0.0, 60.0), 14.0), ((0.0, 30.0, 150.0), 10.0))


@pytest.fixture(scope="module")
def study() -> PetCt:
    return make_study(GRID, lesions=LESIONS)


def test_finds_exactly_the_voxels_that_the_network_sees(study: PetCt) -> None:
    result = segment_by_network(study, [model()], CPU, reference=REFERENCE)
    np.testing.assert_array_equal(result.lesions.labels > 0, study.pet.array >= THRESHOLD)
    assert result.lesions.count == 2
    assert result.lesions.labels[ball(GRID, *LESIONS[0])].tolist().count(1) > 0  # the larger one is the first
    assert set(result.lesions.confidences) == {1, 2}
    assert all(0.9 < value <= 1 for value in result.lesions.confidences.values())
    assert result.lesions.review is Review.FILTERED
    assert result.lesions.reference == REFERENCE
    assert result.lesions.method.name == "ratio"
    assert result.lesions.method.weights_sha256 == "ab" * 32
    assert result.lesions.warnings == ()
    assert result.probability is None
    assert result.entropy is None


def test_organs_lie_where_they_are_and_leave_lesions_out(study: PetCt) -> None:
    organs = segment_by_network(study, [model()], CPU, reference=REFERENCE).organs
    liver = organs.mask(Organ.LIVER)
    assert liver is not None
    np.testing.assert_array_equal(liver, np.isclose(study.pet.array, 2.4))
    assert organs.mask(Organ.SPLEEN) is None


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_result_does_not_depend_on_how_the_grid_is_stored(axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    study = make_study(GRID, lesions=LESIONS)
    view = np.ascontiguousarray(study.pet.array.transpose(axes)[tuple(slice(None, None, f) for f in flips)])
    affine = GRID.affine.copy()
    for column, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        affine[:3, column] = GRID.affine[:3, axis] * flip
        if flip < 0:
            affine[:3, 3] += GRID.affine[:3, axis] * (GRID.shape[axis] - 1)
    grid = Grid(view.shape, affine)
    stored = replace(study, pet=Volume(view, grid), ct=None)
    found = segment_by_network(stored, [model()], CPU, reference=REFERENCE).lesions
    assert found.grid is grid
    np.testing.assert_array_equal(found.labels > 0, view >= THRESHOLD)


def test_other_spacing_gives_the_volume_of_the_lesions_on_the_pet_grid() -> None:
    grid = Grid.from_geometry((62, 71, 71), (3.27, 2.73, 2.73), (-95.0, -95.0, 1.0))
    study = make_study(grid, lesions=LESIONS)
    found = segment_by_network(study, [model()], CPU, reference=REFERENCE).lesions
    truth = study.pet.array >= THRESHOLD
    dice = 2 * np.count_nonzero(truth & (found.labels > 0)) / (np.count_nonzero(truth) + np.count_nonzero(found.labels))
    assert dice > 0.93
    assert np.count_nonzero(found.labels) == pytest.approx(np.count_nonzero(truth), rel=0.05)


def test_windows_agree_with_a_single_window(study: PetCt) -> None:
    whole = CONFIG.model_copy(update={"patch": (64, 48, 48)})
    one = segment_by_network(study, [model(config=whole)], replace(CPU, maps=True), reference=REFERENCE)
    for overlap in (0.0, 0.25, 0.6):
        many = segment_by_network(study, [model()], replace(CPU, maps=True, overlap=overlap), reference=REFERENCE)
        assert one.probability is not None
        assert many.probability is not None
        np.testing.assert_allclose(many.probability.array, one.probability.array, atol=1e-5)


def test_maps_are_probabilities_on_the_grid_of_the_pet(study: PetCt) -> None:
    result = segment_by_network(study, [model(RatioNetwork(4.0))], replace(CPU, maps=True), reference=REFERENCE)
    assert result.probability is not None
    assert result.entropy is not None
    assert result.probability.grid is study.pet.grid
    lesion, body = study.pet.array >= THRESHOLD, np.isclose(study.pet.array, 1.0)
    # two classes with logits 4 (8/4 - 1) and 0; interpolation to 4 mm is exact here
    assert result.probability.array[lesion].mean() == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-4)
    p = 1 / (1 + np.exp(3.0))
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(len(CONFIG.classes))
    assert np.median(result.entropy.array[body]) == pytest.approx(entropy, abs=1e-4)


def test_folds_are_averaged_as_probabilities(study: PetCt) -> None:
    # logits 4 and -4 average to 0, which is lesion or not by chance; probabilities 0.98 and 0.02 with liver at -50
    folds = [model(RatioNetwork(4.0)), replace(model(RatioNetwork(-1.0)), sha256="cd" * 32)]
    result = segment_by_network(study, folds, replace(CPU, maps=True), reference=REFERENCE)
    expected = (1 / (1 + np.exp(-4.0)) + 1 / (1 + np.exp(1.0))) / 2
    assert result.probability is not None
    assert result.probability.array[study.pet.array >= THRESHOLD].mean() == pytest.approx(expected, abs=1e-4)
    assert result.lesions.method.weights_sha256 == models_sha256(folds) not in {fold.sha256 for fold in folds}
    assert result.lesions.method.parameters["folds"] == 2


class LeftHalf(torch.nn.Module):
    """Lesion in the left half of its window, whatever it shows."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(planes), len(CONFIG.classes), *planes.shape[2:]), -50.0)
        logits[:, 0] = 0.0
        logits[..., planes.shape[-1] // 2 :][:, 1] = 3.0
        return logits


def test_mirroring_averages_left_and_right_and_is_off_by_default(study: PetCt) -> None:
    whole = model(LeftHalf(), CONFIG.model_copy(update={"patch": (64, 48, 48)}))
    plain = segment_by_network(study, [whole], replace(CPU, maps=True), reference=REFERENCE)
    mirrored = segment_by_network(study, [whole], replace(CPU, maps=True, mirror=True), reference=REFERENCE)
    assert plain.probability is not None
    assert mirrored.probability is not None
    high = 1 / (1 + np.exp(-3.0))
    center = np.s_[20:30, 20:28, 12:36]
    assert plain.probability.array[center].max() == pytest.approx(high, abs=1e-4)
    np.testing.assert_allclose(mirrored.probability.array[center], (high + 0.0) / 2, atol=0.03)


def test_memory_errors_lead_to_smaller_windows_and_are_reported(study: PetCt) -> None:
    config = CONFIG.model_copy(update={"patch": (32, 32, 32)})
    found = segment_by_network(study, [model(RatioNetwork(largest=20_000), config)], CPU, reference=REFERENCE).lesions
    np.testing.assert_array_equal(found.labels > 0, study.pet.array >= THRESHOLD)
    assert found.warnings == ("memory did not suffice at first; computed on the CPU in windows of 16 × 32 × 32 voxels",)


def test_gives_up_when_no_window_fits(study: PetCt) -> None:
    with pytest.raises(SegmentationError, match="memory does not suffice") as caught:
        segment_by_network(study, [model(RatioNetwork(largest=1))], CPU, reference=REFERENCE)
    assert caught.value.exit_code is ExitCode.SEGMENTATION


def test_small_lesions_and_uptake_outside_the_body_are_removed() -> None:
    study = make_study(GRID, lesions=(*LESIONS, ((2.0, -30.0, 22.0), 2.5), ((90.0, 90.0, 10.0), 5.0)))
    assert study.pet.array[2, 46, 46] == 8.0  # contamination beside the patient
    found = segment_by_network(study, [model()], CPU, reference=REFERENCE).lesions
    assert found.count == 2
    all_sizes = segment_by_network(study, [model()], replace(CPU, min_volume_ml=0.0), reference=REFERENCE).lesions
    assert all_sizes.count == 3


def test_threads_are_capped_for_the_run_alone(study: PetCt) -> None:
    class Witness(RatioNetwork):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            assert torch.get_num_threads() == 1
            return super().forward(planes)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        segment_by_network(study, [model(Witness())], CPU, reference=REFERENCE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- bad input


def test_refuses_a_pet_with_nan(study: PetCt) -> None:
    array = study.pet.array.copy()
    array[3, 4, 5:7] = (np.nan, np.inf)
    with pytest.raises(SegmentationError, match="2 voxels of the PET are not finite"):
        segment_by_network(replace(study, pet=Volume(array, GRID)), [model()], CPU, reference=REFERENCE)


def test_takes_nan_in_the_ct_as_air(study: PetCt) -> None:
    assert study.ct is not None
    array = study.ct.array.copy()
    array[30, 20, 20] = np.nan
    found = segment_by_network(replace(study, ct=Volume(array, GRID)), [model()], CPU, reference=REFERENCE).lesions
    assert found.count == 2
    assert found.warnings == ("1 voxels of the CT are not finite: taken as air",)


def test_without_ct_the_network_sees_air_and_the_user_is_told(study: PetCt) -> None:
    class Witness(RatioNetwork):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            assert (planes[:, CT_PLANE] == -1).all()
            return super().forward(planes)

    found = segment_by_network(replace(study, ct=None), [model(Witness())], CPU, reference=REFERENCE).lesions
    assert found.count == 2
    assert found.warnings == ("there is no CT: the network saw the PET alone",)


def test_warns_of_a_tracer_it_was_not_trained_on(study: PetCt) -> None:
    other = replace(study, tracer=TRACERS[TracerName.GA68_PSMA11])
    found = segment_by_network(other, [model()], CPU, reference=REFERENCE).lesions
    assert found.warnings == (
        "the network was not trained on 68Ga-PSMA-11 (only on f18-fdg): check its lesions with care",
    )


@pytest.mark.parametrize("shape", [(1, 48, 48), (5, 7, 6), (4, 3, 5), (50, 1, 48)])
def test_a_pet_smaller_than_the_window_is_segmented(shape: tuple[int, int, int]) -> None:
    grid = Grid.from_geometry(shape, (4.0, 4.0, 4.0), (-2.0 * shape[2], -2.0 * shape[1], 0.0))
    suv = np.ones(shape, dtype=np.float32)
    suv[shape[0] // 2, shape[1] // 2, shape[2] // 2] = 9.0
    study = replace(make_study(GRID), pet=Volume(suv, grid), ct=None)
    found = segment_by_network(study, [model()], replace(CPU, min_volume_ml=0.0), reference=REFERENCE).lesions
    assert found.labels.shape == shape
    assert found.count == 1


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_nothing_is_found_where_there_is_no_body(value: float) -> None:
    study = make_study(GRID)
    empty = replace(study, pet=Volume(np.full(GRID.shape, value, dtype=np.float32), GRID), ct=None)
    result = segment_by_network(empty, [model()], replace(CPU, maps=True), reference=REFERENCE)
    assert result.lesions.count == 0
    assert "no body" in result.lesions.warnings[-1]
    assert result.probability is not None
    assert not result.probability.array.any()


def test_refuses_devices_and_numbers_that_do_not_exist(study: PetCt) -> None:
    for device in ("cuda:99", "tpu", "mps"):
        with pytest.raises(UsageError, match="no device"):
            segment_by_network(study, [model()], NetworkOptions(device=device), reference=REFERENCE)
    with pytest.raises(UsageError, match="overlap"):
        NetworkOptions(overlap=1.0)
    with pytest.raises(UsageError, match="threads"):
        NetworkOptions(threads=0)


# --- models on disk, and the real architecture


def test_models_on_disk_are_run_and_identified(tmp_path: Path, study: PetCt) -> None:
    folder = tmp_path
    torch.manual_seed(0)
    identities = [write_model(folder / str(n), build_unet(CONFIG).state_dict(), CONFIG, {}) for n in range(2)]
    first, second = load_models([folder / "0"], identities[0]), load_models([folder / "0", folder / "1"])
    assert models_sha256(first) == identities[0]
    result = segment_by_network(study, second, CPU)  # with its own reference
    assert result.lesions.labels.shape == GRID.shape
    assert result.lesions.method.weights_sha256 == models_sha256(second)
    again = segment_by_network(study, second, CPU)
    np.testing.assert_array_equal(result.lesions.labels, again.lesions.labels)
    with pytest.raises(ModelError, match="SHA-256"):
        load_models([folder / "0", folder / "1"], identities[0])
    other = CONFIG.model_copy(update={"spacing_mm": (5.0, 5.0, 5.0)})
    write_model(folder / "1", build_unet(other).state_dict(), other, {})
    with pytest.raises(ModelError, match="differs"):
        load_models([folder / "0", folder / "1"])
    with pytest.raises(ModelError, match="no model"):
        load_models([])


# --- touching lesions


def test_touching_lesions_are_split_if_asked_for() -> None:
    pair = (((20.0, 0.0, 60.0), 12.0), ((40.0, 0.0, 60.0), 12.0))
    base = make_study(GRID, lesions=pair)
    points = GRID.to_world(np.stack(np.indices(GRID.shape), axis=-1))
    distance = np.min([np.linalg.norm(points - np.array(center), axis=-1) for center, _ in pair], axis=0)
    peaked = np.where(base.pet.array == 8.0, 12.0 - distance / 3, base.pet.array).astype(np.float32)
    touching = replace(base, pet=Volume(peaked, GRID))
    models = [model(RatioNetwork())]
    one = segment_by_network(touching, models, CPU, reference=REFERENCE).lesions
    two = segment_by_network(touching, models, replace(CPU, split_touching=True), reference=REFERENCE).lesions
    assert (one.count, two.count) == (1, 2)
    np.testing.assert_array_equal(one.labels > 0, two.labels > 0)
    assert two.confidences.keys() == {1, 2}
    assert two.method.parameters["split_touching"] is True


# --- refinement


def test_refinement_expands_to_the_threshold_and_spares_physiological_uptake() -> None:
    suv = np.ones((1, 1, 20), dtype=np.float32)
    suv[..., 5:14] = 5.0
    lesion = np.zeros(suv.shape, dtype=bool)
    lesion[..., 8] = True
    physiological = np.zeros_like(lesion)
    physiological[..., 10:] = True
    found = refine_to_threshold(lesion, physiological, suv, 3.0, (4.0, 4.0, 4.0), expansion_mm=8.0)
    assert np.flatnonzero(found).tolist() == [6, 7, 8, 9]
    cold = refine_to_threshold(lesion, physiological, suv, 6.0, (4.0, 4.0, 4.0))
    assert not cold.any()
    assert not refine_to_threshold(np.zeros_like(lesion), physiological, suv, 3.0, (4.0, 4.0, 4.0)).any()


def test_refinement_is_an_option(study: PetCt) -> None:
    strict = model(RatioNetwork())
    shrunk = replace(REFERENCE, threshold=6.0)
    array = np.where(study.pet.array == 8.0, np.float32(7.0), study.pet.array)
    array[ball(GRID, LESIONS[0][0], 9.0)] = 8.0
    graded = replace(study, pet=Volume(array, GRID))
    plain = segment_by_network(graded, [strict], CPU, reference=shrunk).lesions
    refined = segment_by_network(graded, [strict], replace(CPU, refine=True), reference=shrunk).lesions
    np.testing.assert_array_equal(refined.labels > 0, plain.labels > 0)  # the network drew the threshold already
    lenient = model(LeftHalf(), CONFIG.model_copy(update={"patch": (64, 48, 48)}))
    cut = segment_by_network(graded, [lenient], replace(CPU, refine=True), reference=shrunk).lesions
    assert 0 < np.count_nonzero(cut.labels) <= np.count_nonzero(array >= 6.0)
    assert not cut.labels[array < 6.0].any()
    assert cut.method.parameters["threshold_suv"] == 6.0
    assert "threshold_suv" not in plain.method.parameters  # shown to the network, not applied


def test_model_of_known_identity_is_loaded_once_for_several_studies(tmp_path: Path) -> None:
    sha256 = write_model(tmp_path / "unet", build_unet(CONFIG).state_dict(), CONFIG, {})
    study = make_study(Grid.from_geometry((16, 20, 20), (8.0, 8.0, 8.0), (-80.0, -80.0, 0.0)))
    options = SegmentOptions(MethodName.UNET, models=(tmp_path / "unet",), model_sha256=sha256)
    first = segment(study, options)
    assert first.method.weights_sha256 == sha256
    shutil.rmtree(tmp_path / "unet")
    assert np.array_equal(segment(study, options).labels, first.labels)
    with pytest.raises(ModelError):
        segment(study, replace(options, model_sha256=None))
    with pytest.raises(ModelError):
        segment(study, replace(options, model_sha256="0" * 64))
