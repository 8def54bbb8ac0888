"""The network through the whole way: models from the command line's options, maps beside the results."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_cases import GRID, write_case

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

import torch

from petlesion.errors import ModelError
from petlesion.networks.installed import MODELS_VARIABLE
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
from petlesion.networks.model_folder import write_model
from petlesion.networks.unet import build_unet
from petlesion.nifti import read_image
from petlesion.pipeline import OutputOptions, segment_to_folder
from petlesion.reader import read_study
from petlesion.segment.options import MethodName, NetworkOptions, SegmentOptions
from petlesion.study import PetCt
from petlesion.tracers import TracerName

CONFIG = ModelConfig(architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(16, 16, 16))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PetCt:
    folder = tmp_path_factory.mktemp("study") / "case"
    write_case(folder, 0)
    return read_study(folder, tracer=TracerName.F18_FDG)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("folds")
    for seed in (0, 1):
        torch.manual_seed(seed)
        write_model(folder / f"fold{seed}", build_unet(CONFIG).state_dict(), CONFIG, {})
    return folder / "fold0", folder / "fold1"


def options(*models: Path, **network: bool) -> SegmentOptions:
    return SegmentOptions(MethodName.UNET, models=models, network=NetworkOptions(device="cpu", threads=1, **network))


def test_maps_lie_beside_the_results_and_go_with_them(study: PetCt, folds: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = segment_to_folder(study, options(folds[0], maps=True), out)
    for name in ("probability", "entropy"):
        volume = read_image(out / f"{name}.nii.gz")
        assert volume.grid.is_close(GRID)
        assert 0 <= volume.array.min() < volume.array.max() <= 1
    assert report.method.weights_sha256
    segment_to_folder(study, options(folds[0]), out, OutputOptions(overwrite=True))
    assert not {"probability.nii.gz", "entropy.nii.gz"} & {path.name for path in out.iterdir()}


def test_windows_of_the_network_are_counted(study: PetCt, folds: tuple[Path, Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    segment_to_folder(
        study, options(folds[0]), tmp_path / "out", progress=lambda done, total: told.append((done, total))
    )
    assert told[-1][0] == told[-1][1] > 0


def test_folds_are_averaged(study: PetCt, folds: tuple[Path, Path], tmp_path: Path) -> None:
    maps = {}
    for name, models in (("first", folds[:1]), ("second", folds[1:]), ("both", folds)):
        report = segment_to_folder(study, options(*models, maps=True), tmp_path / name)
        assert report.method.parameters["folds"] == len(models)
        maps[name] = read_image(tmp_path / name / "probability.nii.gz").array
    assert abs(maps["both"] - (maps["first"] + maps["second"]) / 2).max() < 2e-3  # bfloat16 where the hardware has it


def test_without_any_model_the_remedy_is_said(study: PetCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    with pytest.raises(ModelError, match="name a model folder with --model"):
        segment_to_folder(study, options(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
