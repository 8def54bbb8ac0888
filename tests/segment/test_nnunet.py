"""Models of nnU-Net v2, held against its own predictor (make nnunet-tools installs it)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.errors import ModelError, NoCtError  # noqa: E402
from petlesion.networks.nnunet_folder import load_nnunet, nnunet_identity  # noqa: E402
from petlesion.networks.sampling import canonical  # noqa: E402
from petlesion.segment.methods import segment  # noqa: E402
from petlesion.segment.options import MethodName, NetworkOptions, SegmentOptions  # noqa: E402
from petlesion.volume import Volume  # noqa: E402

TOOLS = Path(__file__).parents[2] / "build" / "nnunet"

CONFIGURATION = {
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [32, 32, 32],
    "median_image_size_in_voxels": [100.0, 50.0, 50.0],
    "spacing": [8.0, 8.0, 8.0],
    "normalization_schemes": ["ZScoreNormalization", "CTNormalization"],
    "use_mask_for_norm": [False, False],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": [4, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * 2,
            "strides": [[1, 1, 1], [2, 2, 2]],
            "n_conv_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
    "batch_dice": False,
}
PROPERTIES = {"max": 3000.0, "mean": 0.0, "median": 0.0, "min": -1000.0, "std": 300.0}
PROPERTIES |= {"percentile_00_5": -1000.0, "percentile_99_5": 1500.0}


@pytest.fixture(scope="module", autouse=True)
def nnunet() -> Iterator[None]:
    """nnU-Net from the folder that `make nnunet-tools` fills; gone afterwards, so that no other test meets it."""
    sys.path.append(str(TOOLS))
    try:
        pytest.importorskip("nnunetv2", reason="nnU-Net is not installed (make nnunet-tools)")
        yield
    finally:
        sys.path.remove(str(TOOLS))


class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def write_model(folder: Path, *, channels: dict[str, str] | None = None, **architecture: Any) -> Path:
    """Write what nnU-Net leaves after training; the weights are random."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = json.loads(json.dumps(CONFIGURATION))
    plans = {
        "dataset_name": "Dataset001_Test",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [4.0, 4.0, 4.0],
        "original_median_shape_after_transp": [200, 100, 100],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": PROPERTIES, "1": PROPERTIES},
    }
    dataset = {"channel_names": channels or {"0": "PET", "1": "CT"}, "labels": {"background": 0, "lesion": 1}}
    dataset |= {"numTraining": 1, "file_ending": ".nii.gz"}
    built = configuration["architecture"]
    torch.manual_seed(1)
    network = get_network_from_plans(
        built["network_class_name"], built["arch_kwargs"], built["_kw_requires_import"], 2, 2, deep_supervision=False
    )
    built.update(architecture)
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset | {"numTraining": 1}))
    checkpoint = {
        "network_weights": network.state_dict(),
        "_best_ema": np.float64(0.5),
        "init_args": {"configuration": "3d_fullres", "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("nnunet") / "model")


def options(folder: Path, **network: Any) -> SegmentOptions:
    chosen = NetworkOptions(device="cpu", **network)
    return SegmentOptions(MethodName.NNUNET, models=(folder,), min_volume_ml=0.0, network=chosen)


def test_mask_is_that_of_the_predictor_of_nnunet(
    body: Callable[..., Any], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    built = body(spacing_mm=(8.0, 8.0, 8.0))
    study = built.study
    lesions = segment(study, options(model, maps=True))
    assert capsys.readouterr().out == ""  # a JSON document may go there
    oracle = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"))
    oracle.initialize_from_trained_model_folder(str(model), (0,))
    planes = np.stack([canonical(study.pet).array, canonical(study.ct).array]).astype(np.float32)
    expected = np.asarray(oracle.predict_single_npy_array(planes, {"spacing": [8.0, 8.0, 8.0]})) == 1
    found, inside = (
        canonical(Volume(array, lesions.grid)).array > 0 for array in (lesions.labels, built.masks["body"])
    )
    np.testing.assert_array_equal(found & inside, expected & inside)
    assert np.count_nonzero(found & inside) > 100
    assert not (found & ~expected).any()
    assert not (found & ~ndimage.binary_dilation(inside)).any()  # the blur of the skin is a voxel wide
    assert lesions.method.weights_sha256 == load_nnunet(model).sha256
    assert all(0.5 <= confidence <= 1 for confidence in lesions.confidences.values())


def test_model_is_read_once_while_its_files_stay_as_they_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    first = load_nnunet(folder)
    assert first.sha256 == nnunet_identity(folder)
    assert load_nnunet(folder) is first
    (folder / "dataset.json").write_text((folder / "dataset.json").read_text() + " ")
    assert load_nnunet(folder).sha256 != first.sha256


def test_a_model_that_needs_a_ct_says_so(body: Callable[..., Any], model: Path) -> None:
    with pytest.raises(NoCtError, match="needs a CT"):
        segment(body(spacing_mm=(8.0, 8.0, 8.0), ct=False).study, options(model))


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    torch.save({"network_weights": Hostile(tmp_path / "ran")}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match="weights cannot be read"):
        load_nnunet(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"network_class_name": "os.system"}, "no architecture of nnU-Net"),
        ({"arch_kwargs": CONFIGURATION["architecture"]["arch_kwargs"] | {"norm_op": "os.system"}}, "no layer"),  # type: ignore[index]
        (
            {"arch_kwargs": CONFIGURATION["architecture"]["arch_kwargs"] | {"features_per_stage": [5, 8]}},
            "fit its plans",
        ),  # type: ignore[index]
    ],
)
def test_plans_that_name_something_else_are_refused(tmp_path: Path, architecture: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_nnunet(write_model(tmp_path / "model", **architecture))


def test_channels_and_labels_must_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="channel 1 is called 'MRI'"):
        load_nnunet(write_model(tmp_path / "mri", channels={"0": "PET", "1": "MRI"}))
    folder = write_model(tmp_path / "labels")
    dataset = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(dataset | {"labels": {"background": 0, "a": 1, "b": 2}}))
    with pytest.raises(ModelError, match="which is the lesion"):
        load_nnunet(folder)


@pytest.mark.parametrize("missing", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = write_model(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(ModelError, match="weights" if "fold" in missing else missing):
        load_nnunet(folder)
