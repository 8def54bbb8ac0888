from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import train_beginner, write_case

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.cli import run as command_line  # noqa: E402
from petlesion.durable import exclusive  # noqa: E402
from petlesion.errors import ExitCode, ModelError, UsageError  # noqa: E402
from petlesion.networks.model_folder import CARD  # noqa: E402
from petlesion.networks.registry import Registry  # noqa: E402
from petlesion.nifti import read_labels, write_labels  # noqa: E402
from petlesion.training.cases import patient_name  # noqa: E402
from petlesion.training.config import LossConfig, SplitConfig  # noqa: E402
from petlesion.training.gate import Decision, judge  # noqa: E402
from petlesion.training.retrain import (  # noqa: E402
    CONFIG_FILE,
    RetrainStatus,
    Stage,
    read_status,
    retrain,
)
from petlesion.training.retrain_config import RetrainConfig, parse_retrain_config, write_retrain_config  # noqa: E402
from petlesion.training.split import validates  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
SHARE = 0.5
STEPS = {"steps": 90, "max_minutes": None, "validate_every": 30, "batch": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def write_labelled(folder: Path, count: int, *, first: int = 0, tracer: str = "f18-fdg") -> None:
    """Cases as the annotation server hands them over."""
    for n in range(first, first + count):
        write_case(folder / f"case-{n}", n)
        (folder / f"case-{n}" / "case.json").write_text(json.dumps({"patient_id": f"p{n}", "tracer": tracer}))


def shift_labels(folder: Path, voxels: int) -> None:
    for path in folder.glob("*/lesions.nii.gz"):
        labels = read_labels(path)
        write_labels(np.roll(labels.array, voxels, axis=2).astype(np.uint8), labels.grid, path)


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_beginner(tmp_path_factory.mktemp("beginner"))


@pytest.fixture
def models(tmp_path: Path, beginner: Path) -> Path:
    shutil.copytree(beginner, tmp_path / "models" / "unet")
    return tmp_path / "models"


def write_run(folder: Path, models: Path, **changes: object) -> Path:
    """A run over `folder/cases`."""
    folder.mkdir(parents=True, exist_ok=True)
    data: dict[str, object] = {
        "models": str(models),
        "cases": "cases",
        "held_out": SHARE,
        "min_patients": 3,
        "kept_share": 0.0,
        "optimiser": {"learning_rate": 0.02},
        "run": STEPS,
        "labels_sha256": "a" * 64,
    }
    write_retrain_config(parse_retrain_config(data | changes, folder / CONFIG_FILE), folder / CONFIG_FILE)
    return folder


def test_learns_from_labels_judges_by_others_and_publishes(tmp_path: Path, models: Path) -> None:
    write_labelled(tmp_path / "run" / "cases", 10)
    folder = write_run(tmp_path / "run", models, export=str(tmp_path / "deploy"), margins={"ttv_bias_ml": 2.5})
    seen: list[RetrainStatus] = []
    status = retrain(folder, watch=seen.append)
    assert status.stage is Stage.PUBLISHED, status.message
    assert read_status(folder) == status
    assert status.message.startswith("accepted: Dice")
    assert next(one.stage for one in seen if one.stage is not Stage.PREPARE) is Stage.TRAIN
    assert any(one.seconds_left is not None and one.total == 90 for one in seen)

    registry = Registry.of(models, "unet")
    current = registry.current()
    assert (current.number, status.version, status.parent) == (1, 1, 0)
    card = json.loads((current.folder / "card.json").read_text())
    assert card["parent_sha256"] == registry.version(0).sha256
    held_out = {f"case-{n}" for n in range(10) if validates(f"p{n}", SplitConfig(validation=SHARE))}
    assert {row["case"] for row in current.gate["cases"]} == held_out
    assert {row["name"] for row in card["data"]["training"]} == {f"case-{n}" for n in range(10)} - held_out
    assert card["data"]["validation"] == []
    assert current.gate["champion"]["version"] == 0
    assert current.gate["labels_sha256"] == "a" * 64
    assert (current.gate["margins"]["ttv_bias_ml"], current.gate["margins"]["dice"]) == (2.5, 0.02)
    assert (tmp_path / "deploy" / "unet" / "model.sha256").read_text().strip() == current.sha256
    assert not (folder / "cache").exists()

    assert retrain(folder) == status  # an ended run is not done again
    registry.rollback()
    assert retrain(folder) == status
    assert registry.current().number == 0

    poisoned = tmp_path / "poisoned"
    registry.promote(1)
    write_labelled(poisoned / "cases", 10)
    shift_labels(poisoned / "cases", 8)  # 3.2 cm
    write_labelled(tmp_path / "tests", 4, first=40)
    (tmp_path / "tests").rename(poisoned / "tests")
    tests = [{"folder": "tests"}]
    refused = retrain(write_run(poisoned, models, test_cohorts=tests, held_out=0.0))
    assert refused.stage is Stage.REFUSED
    assert registry.current().number == 1
    assert registry.version(2).gate["accepted"] is False
    with pytest.raises(UsageError, match="the gate refused"):
        registry.promote(2)


def test_what_a_person_puts_into_service_meanwhile_stays(
    tmp_path: Path, models: Path, beginner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labelled(tmp_path / "run" / "cases", 10)
    folder = write_run(tmp_path / "run", models, export=str(tmp_path / "deploy"))
    registry = Registry.of(models, "unet")
    other = shutil.copytree(beginner, tmp_path / "other")
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**card, "licence": "another"}))

    def promote_first(*arguments: Any, **options: Any) -> Decision:
        registry.promote(registry.add(other, {}).number)
        return judge(*arguments, **options)

    monkeypatch.setattr("petlesion.training.retrain.judge", promote_first)
    status = retrain(folder)
    assert (status.stage, status.version, registry.current().number) == (Stage.REFUSED, 2, 1)
    assert "the model in service changed while this one was judged; promote version 2 by hand" in status.message
    assert not (tmp_path / "deploy").exists()
    assert registry.version(2).gate["accepted"] is True
    assert registry.promote(2).version == 2


def test_killed_again_and_again_it_ends_with_one_whole_version(tmp_path: Path, models: Path) -> None:
    write_labelled(tmp_path / "run" / "cases", 8)
    folder = write_run(tmp_path / "run", models)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "petlesion", "retrain", str(folder)]
    rng, registry = random.Random(1), Registry.of(models, "unet")

    def stage_now() -> Stage | None:
        status = read_status(folder)
        return None if status is None else status.stage

    for stage in (Stage.TRAIN, Stage.JUDGE):
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 300
            try:
                while stage_now() is not stage:
                    assert process.poll() is None, f"ended before {stage}"
                    assert time.monotonic() < deadline, f"{stage} did not begin"
                    time.sleep(0.005)
                time.sleep(rng.uniform(0, 0.1))
            finally:
                process.kill()
        assert (process.returncode, stage_now()) == (-signal.SIGKILL, stage)
        registry.current().verify()
    status = retrain(folder)
    assert status.stage is Stage.PUBLISHED, status.message
    assert [version.number for version in registry.versions()] == [0, 1]
    registry.current().verify()


def test_any_failure_is_noted(tmp_path: Path, models: Path) -> None:
    write_labelled(tmp_path / "run" / "cases", 3)
    folder = write_run(tmp_path / "run", models, held_out=0.0)

    def run_out(status: RetrainStatus) -> None:
        if status.stage is Stage.TRAIN:
            raise MemoryError("CUDA out of memory\non this device")

    with pytest.raises(MemoryError):
        retrain(folder, watch=run_out)
    status = read_status(folder)
    assert status is not None
    assert (status.stage, status.message) == (Stage.FAILED, "MemoryError: CUDA out of memory on this device")


def test_too_few_held_out_patients_publish_nothing(tmp_path: Path, models: Path) -> None:
    write_labelled(tmp_path / "run" / "cases", 3)
    short = {**STEPS, "steps": 1, "validate_every": 1}
    status = retrain(write_run(tmp_path / "run", models, held_out=0.0, run=short))
    assert status.stage is Stage.REFUSED
    assert "0 held-out patients, 3 are needed" in status.message
    assert Registry.of(models, "unet").current().number == 0


def test_what_was_trained_on_never_judges(tmp_path: Path, models: Path) -> None:
    """The share of held-out patients was raised between two rounds, and each of them has a second scan now."""
    short = {**STEPS, "steps": 1, "validate_every": 1}
    for name, share in (("first", 0.2), ("second", 0.8)):
        write_labelled(tmp_path / name / "cases", 10)
        if name == "second":
            for n in range(10):
                write_case(tmp_path / name / "cases" / f"case-{n}-later", 50 + n)
                record = {"patient_id": f"p{n}", "tracer": "f18-fdg"}
                (tmp_path / name / "cases" / f"case-{n}-later" / "case.json").write_text(json.dumps(record))
        retrain(write_run(tmp_path / name, models, held_out=share, run=short, min_patients=2))
    registry = Registry.of(models, "unet")
    trained = json.loads((registry.version(1).folder / "card.json").read_text())["data"]["training"]
    judged = {row["case"] for row in registry.version(2).gate["cases"]}
    unseen = {f"case-{n}" for n in range(10) if validates(f"p{n}", SplitConfig(validation=0.2))}
    assert judged == unseen | {f"{name}-later" for name in unseen}
    assert not judged & {row["name"] for row in trained}


def test_cases_of_this_very_training_do_not_judge_it(tmp_path: Path, models: Path) -> None:
    """A cohort that is both trained on and judged by, and a second scan of a patient who is trained on."""
    write_labelled(tmp_path / "run" / "cases", 10)
    write_labelled(tmp_path / "own", 3, first=20)
    write_labelled(tmp_path / "test", 3, first=30)
    (tmp_path / "test" / "case-30" / "case.json").write_text(json.dumps({"patient_id": "p20", "tracer": "f18-fdg"}))
    cohorts = [{"folder": str(tmp_path / "own")}]
    tests = [{"folder": str(tmp_path / "test")}]
    short = {**STEPS, "steps": 1, "validate_every": 1}
    folder = write_run(tmp_path / "run", models, run=short, cohorts=cohorts, test_cohorts=tests, held_out=0.0)
    status = retrain(folder)
    assert {row["case"] for row in Registry.of(models, "unet").version(1).gate["cases"]} == {"case-31", "case-32"}
    assert "left out because they were trained on: 1" in status.message
    folder = write_run(tmp_path / "again", models, run=short, cohorts=cohorts, test_cohorts=cohorts, held_out=0.0)
    shutil.copytree(tmp_path / "run" / "cases", folder / "cases")
    assert "0 held-out patients" in retrain(folder).message


def test_patients_of_a_test_cohort_are_known_under_the_names_of_the_server(tmp_path: Path, models: Path) -> None:
    """The server hides the ids of its patients and adds its label to a case; a third scan has no id at all."""
    cases, test = tmp_path / "run" / "cases", tmp_path / "test"
    write_labelled(cases, 10)
    write_labelled(test, 3, first=20)
    for name, patient in (("case-0", patient_name("p20")), ("case-1", patient_name("somebody"))):
        (cases / name / "case.json").write_text(json.dumps({"patient_id": patient, "tracer": "f18-fdg", "label": {}}))
    shutil.copyfile(cases / "case-1" / "pet.nii.gz", test / "case-21" / "pet.nii.gz")
    short = {**STEPS, "steps": 1, "validate_every": 1}
    tests = [{"folder": str(test)}]
    status = retrain(write_run(tmp_path / "run", models, run=short, test_cohorts=tests, held_out=0.0))
    assert [row["case"] for row in Registry.of(models, "unet").version(1).gate["cases"]] == ["case-22"]
    assert "left out because they were trained on: 2" in status.message


def test_run_can_be_named_from_any_folder(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {**STEPS, "steps": 1, "validate_every": 1}
    write_labelled(tmp_path / "runs" / "a" / "cases", 10)
    write_run(tmp_path / "runs" / "a", models, run=short)
    monkeypatch.chdir(tmp_path)
    assert retrain(Path("runs/a")).stage.ended


def test_refuses_what_makes_no_sense(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labelled(tmp_path / "run" / "cases", 2)
    folder = write_run(tmp_path / "run", models, held_out=1.0)
    with pytest.raises(UsageError, match="all 2 labelled cases belong to held-out patients"):
        retrain(folder)
    status = read_status(folder)
    assert status is not None
    assert status.stage is Stage.FAILED
    with exclusive(folder / ".lock"), pytest.raises(UsageError, match="another process"):
        retrain(folder)
    with pytest.raises(ModelError, match="no model is in service"):
        retrain(write_run(folder, tmp_path / "nowhere", held_out=0.0))
    assert command_line(["retrain", str(tmp_path)]) == ExitCode.USAGE
    for data, message in (
        ({"helt_out": 1}, "helt_out"),
        ({"min_patients": 1}, "min_patients"),
        ({"margins": {"dice": 0}}, "margins.dice: Input should be greater than 0"),
        ({"margins": {"ttv": 1}}, "margins.ttv"),
        ({"model": {"name": "x"}}, "from_scratch"),
        ({"export": "x/../m"}, "the folder of the versions"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_retrain_config({"models": "m", "cases": "c", **data}, folder)
    config = parse_retrain_config({"models": "m", "cases": "c", "run": {"batch": 4}}, folder)
    assert (config.run.steps, config.run.batch, config.optimiser.learning_rate) == (1500, 4, 2e-4)
    parents = (models / "unet", None)
    assert [config.training(folder, folder, folder, init).kept_share for init in parents] == [0.5, 0.0]


def test_starts_from_scratch_where_there_is_no_model(tmp_path: Path) -> None:
    write_labelled(tmp_path / "run" / "cases", 8)
    model = {
        "architecture": {"filters": [4, 8, 8]},
        "spacing_mm": [4, 4, 4],
        "patch": [16, 16, 16],
        "classes": ["background", "lesion"],
    }
    status = retrain(write_run(tmp_path / "run", tmp_path / "models", from_scratch=True, model=model))
    assert status.stage is Stage.PUBLISHED, status.message
    assert status.message.startswith("accepted: the first model")


def test_learns_by_the_loss_of_the_model_in_service_unless_another_is_given(tmp_path: Path) -> None:
    for name, card in (("told", {"recipe": {"loss": {"avid_weight": 3.0, "of_later": 1}}}), ("silent", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / CARD).write_text(json.dumps(card))
    config = RetrainConfig(models=tmp_path, cases=tmp_path)
    other = config.model_copy(update={"loss": LossConfig(avid_weight=5.0)})

    def weight(config: RetrainConfig, init: Path | None) -> float:
        return config.training(tmp_path, tmp_path, tmp_path, init).loss.avid_weight

    assert weight(config, tmp_path / "told") == 3.0
    assert weight(config, tmp_path / "silent") == weight(config, None) == LossConfig().avid_weight
    assert weight(other, tmp_path / "told") == 5.0
    (tmp_path / "silent" / CARD).write_text(json.dumps({"recipe": {"loss": {"avid_weight": -1}}}))
    with pytest.raises(UsageError, match="avid_weight"):
        weight(config, tmp_path / "silent")
