from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")
pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import annotate, open_folder, write_studies  # noqa: E402
from lib.learning import MODEL, Learning  # noqa: E402
from lib.retraining.rounds import Rounds  # noqa: E402
from lib.retraining.settings import RetrainingSettings, retraining_settings  # noqa: E402
from lib.retraining.snapshot import case_name  # noqa: E402
from lib.scoring.entropy import EntropyScoring  # noqa: E402
from lib.scoring.scores import Scores  # noqa: E402
from lib.trainers.network import NetworkTrainer  # noqa: E402
from training_cases import train_beginner  # noqa: E402

from petlesion.errors import ModelError, SegmentationError, UsageError  # noqa: E402
from petlesion.networks.registry import Registry  # noqa: E402
from petlesion.training.retrain import RetrainStatus, Stage, read_status  # noqa: E402

OPTIONS: dict[str, Any] = {
    "held_out": 0.5,
    "min_patients": 3,
    "kept_share": 0.0,
    "optimiser": {"learning_rate": 0.02},
    "run": {"steps": 90, "max_minutes": None, "validate_every": 30, "device": "cpu"},
}
SHORT = {"run": {"steps": 1}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_beginner(tmp_path_factory.mktemp("beginner"))


@pytest.fixture
def models(tmp_path: Path, beginner: Path) -> Path:
    shutil.copytree(beginner, tmp_path / "models" / MODEL)
    return tmp_path / "models"


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    write_studies(tmp_path / "studies", 10)
    return tmp_path / "studies"


def rounds_of(studies: Path, models: Path, **options: Any) -> Rounds:
    settings = RetrainingSettings(studies.parent / "work", after=5, options={**OPTIONS, **options})
    return Rounds(open_folder(studies), models, settings)


def stages(studies: Path) -> list[Stage]:
    """Of all rounds, the oldest first."""
    found = (read_status(folder) for folder in sorted((studies.parent / "work").glob("round-*")))
    return [status.stage for status in found if status is not None]


def test_learns_from_submitted_labels_and_scores_what_is_left(studies: Path, models: Path) -> None:
    stores = open_folder(studies)
    options = studies.parent / "retrain.yaml"
    options.write_text(json.dumps(OPTIONS | {"held_out": 0.6}))
    conf = {"retrain_config": str(options), "retraining": str(studies.parent / "work"), "retrain_after": "8"}
    learning = Learning(stores, models, conf)
    trainer = learning.trainers[MODEL]
    assert trainer.config()["steps"] == 90
    annotate(stores, studies, range(7))
    assert learning.training_due() is None
    assert trainer({"model": MODEL, "new_labels": 8}, None) == {}
    annotate(stores, studies, range(7, 8))
    request = learning.training_due()
    assert request == {"new_labels": 8}
    result = trainer({"model": MODEL, **request}, None)
    assert result["stage"] is Stage.PUBLISHED, result["message"]
    assert trainer.stats() | {"stage": "published"} == {
        "waiting_labels": 0,
        "retrain_after": 8,
        "published_version": 1,
        **result,
    }
    assert not learning.rounds.due()
    assert not learning.rounds.interrupted()

    version = Registry.of(models, MODEL).current()
    text = (version.folder / "card.json").read_text() + (version.folder / "gate.json").read_text()
    assert case_name("image-0") in text
    assert "image-" not in text
    assert "Doe" not in text
    snapshot = json.loads((studies.parent / "work" / "round-0001" / "snapshot.json").read_text())
    assert [row["image_id"] for row in snapshot["labels"]] == [f"image-{n}" for n in range(8)]
    assert version.gate["labels_sha256"] == snapshot["sha256"] == stores.labels.snapshot().sha256

    answer = learning.strategies["entropy"]({"client_id": "ada"}, None)  # both others were scored after publishing
    assert answer is not None
    assert answer["id"] in ("image-8", "image-9")
    assert "of 2 scored cases" in answer["reason"]
    scores = learning.scoring_methods["entropy"]({}, None)["scores"]
    assert all(0 <= row["entropy"] <= 1 and row["lesions"] >= 0 for row in scores.values())
    dice = learning.scoring_methods["dice"]({}, None)
    assert dice["means"]["dice"] > 0.3
    assert len(dice["cases"]) == 8
    assert learning.scoring_methods["dice"]({"predict": "fixed"}, None)["means"]["dice"] > 0.9

    Registry.of(models, MODEL).rollback()
    assert (trainer.stats()["published_version"], trainer.stats()["version"]) == (0, 1)
    assert learning.strategies["entropy"]({"client_id": "bob"}, None)["reason"].startswith(
        "at random: no case is scored"
    )


def test_labels_of_a_round_stay_as_they_were_when_it_began(
    studies: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it trained; meanwhile a label was corrected."""
    rounds = rounds_of(studies, models)
    stores = open_folder(studies)
    trainer = NetworkTrainer(rounds, EntropyScoring(stores, models, Scores(studies / "scores.json")))
    annotate(stores, studies, range(6))

    def stop(status: RetrainStatus) -> None:
        if status.stage is Stage.TRAIN:
            assert trainer.stats()["stage"] is Stage.TRAIN
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.carry_out({}, watch=stop)
    assert rounds.interrupted()
    assert (trainer.stats()["stage"], trainer.stats()["seconds_left"]) == ("interrupted", None)
    annotate(stores, studies, range(1), empty=True)
    assert rounds.waiting() == 1
    status = rounds.carry_out({}, at_least=5)  # an interrupted round goes on, however few labels are new
    assert status is not None
    assert status.stage.ended
    assert [path.name for path in (studies.parent / "work").glob("round-*")] == ["round-0001"]
    assert rounds.waiting() == 1
    assert rounds.carry_out({}, at_least=2) is None
    second = rounds.carry_out(SHORT, at_least=1)
    assert second is not None
    assert second.labels_sha256 == stores.labels.snapshot().sha256 != status.labels_sha256


def test_a_round_that_failed_is_left_for_new_labels_and_options(studies: Path, models: Path) -> None:
    rounds, stores = rounds_of(studies, models, held_out=1.0), open_folder(studies)
    with pytest.raises(UsageError, match="no label was submitted"):
        rounds.carry_out({})

    def fail(expected: int) -> None:
        with pytest.raises(UsageError, match="belong to held-out patients"):
            rounds.carry_out({})
        rounds.note_stop()
        status = rounds.status()
        assert status is not None
        assert "belong to held-out patients" in status.message
        assert len(stages(studies)) == expected
        assert not rounds.interrupted()

    annotate(stores, studies, range(2))
    fail(expected=1)
    fail(expected=1)
    annotate(stores, studies, range(2, 4))
    fail(expected=2)
    status = rounds_of(studies, models, held_out=0.0).carry_out(SHORT)
    assert status is not None
    assert stages(studies) == [Stage.FAILED, Stage.FAILED, Stage.REFUSED]


def test_a_full_disk_is_recorded_and_the_round_goes_on(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)
    images = studies.parent / "work" / "images"
    images.parent.mkdir()
    images.write_text("no folder can be made here")
    with pytest.raises(FileExistsError):
        rounds.carry_out(SHORT)
    status = rounds.status()
    assert status is not None
    assert (status.stage, "File exists" in status.message) == (Stage.FAILED, True)
    images.unlink()
    assert rounds.carry_out(SHORT) is not None
    assert stages(studies) == [Stage.REFUSED]


def test_a_round_that_is_killed_again_and_again_gives_way(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)

    def kill(_: RetrainStatus) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            rounds.carry_out(SHORT, watch=kill)
    assert rounds.interrupted()
    with pytest.raises(SegmentationError, match="killed 3 times in a row; give it more memory"):
        rounds.carry_out(SHORT)
    annotate(open_folder(studies), studies, range(4, 5))
    assert rounds.carry_out(SHORT, at_least=1) is not None
    assert stages(studies) == [Stage.FAILED, Stage.REFUSED]


def test_a_round_whose_server_is_restarted_again_and_again_goes_on(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)

    def restart(_: RetrainStatus) -> None:
        rounds.note_stop()
        raise KeyboardInterrupt

    def kill(_: RetrainStatus) -> None:
        raise KeyboardInterrupt

    for end in (kill, restart, restart, restart, kill, restart):
        with pytest.raises(KeyboardInterrupt):
            rounds.carry_out(SHORT, watch=end)
        assert rounds.interrupted()
    assert rounds.carry_out(SHORT) is not None
    assert stages(studies) == [Stage.REFUSED]
    rounds.note_stop()
    assert stages(studies) == [Stage.REFUSED]


def test_a_copy_that_somebody_made_of_a_round_is_none(studies: Path, tmp_path: Path) -> None:
    rounds = rounds_of(studies, tmp_path / "models")
    for name in ("round-0001", "round-0001.bak"):
        (studies.parent / "work" / name).mkdir(parents=True)
        (studies.parent / "work" / name / "snapshot.json").write_text('{"labels": []}')
    annotate(open_folder(studies), studies, range(1))
    with pytest.raises(ModelError, match="no model is in service"):
        rounds.carry_out(SHORT)
    assert (studies.parent / "work" / "round-0002").is_dir()


@pytest.mark.parametrize("damage", ["configuration", "models elsewhere", "status"])
def test_an_interrupted_round_that_cannot_go_on_gives_way_at_once(
    studies: Path, models: Path, tmp_path: Path, damage: str
) -> None:
    """After an upgrade, or another `--models`: its labels were never learned from, and no new one may come."""
    annotate(open_folder(studies), studies, range(4))

    def kill(_: RetrainStatus) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds_of(studies, models, held_out=0.0).carry_out(SHORT, watch=kill)
    first = studies.parent / "work" / "round-0001"
    if damage == "configuration":
        (first / "retrain.yaml").write_text("option_of_another_version: 1\n")
    elif damage == "status":
        (first / "status.json").write_text('{"stage": "resting"}')
    else:
        models = Path(shutil.copytree(models, tmp_path / "elsewhere"))
    rounds = rounds_of(studies, models, held_out=0.0)
    status = rounds.carry_out(SHORT, at_least=0 if damage == "status" else 5)
    assert status is not None
    assert status.stage is Stage.REFUSED
    assert status.labels_sha256 == open_folder(studies).labels.snapshot().sha256
    assert len(stages(studies)) == (1 if damage == "status" else 2)


def test_what_a_round_worked_with_goes_once_the_next_begins(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)

    def work(number: int) -> set[str]:
        folder = studies.parent / "work" / f"round-000{number}"
        names = ("cases", "training", "cache", "out/model", "out/checkpoint.pt")
        return {name for name in names if (folder / name).exists()}

    def fail(status: RetrainStatus) -> None:
        if status.stage is Stage.JUDGE:
            raise RuntimeError

    for _ in range(2):  # it is gone on with
        with pytest.raises(RuntimeError):
            rounds.carry_out(SHORT, watch=fail)
        assert work(1) == {"cases", "training", "cache", "out/model", "out/checkpoint.pt"}
    for number in (2, 3):
        annotate(open_folder(studies), studies, range(2 + number, 3 + number))
        assert rounds.carry_out(SHORT) is not None
        assert work(number) == {"out/model", "out/checkpoint.pt"}
        assert work(number - 1) == set()
    assert stages(studies) == [Stage.FAILED, Stage.REFUSED, Stage.REFUSED]
    assert len(list(studies.parent.glob("work/*/snapshot.json"))) == 3
    assert [version.number for version in Registry.of(models, MODEL).versions()] == [0, 1, 2]


@pytest.mark.parametrize("stage", [Stage.TRAIN, Stage.JUDGE])
def test_a_label_that_is_withdrawn_while_a_round_is_interrupted_is_not_learned_from(
    studies: Path, models: Path, stage: Stage
) -> None:
    stores = open_folder(studies)
    annotate(stores, studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)

    def stop(status: RetrainStatus) -> None:
        if status.stage is stage and (studies.parent / "work/round-0001/out/checkpoint.pt").is_file():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.carry_out({"run": {"steps": 2, "validate_every": 1}}, watch=stop)
    stores.labels.withdraw("image-2", "final")
    status = rounds.carry_out({})
    assert status is not None
    assert (status.stage, status.training_cases) == (Stage.REFUSED, 3)
    card = (Registry.of(models, MODEL).version(1).folder / "card.json").read_text()
    assert [case_name(f"image-{n}") in card for n in range(4)] == [True, True, False, True]


def test_an_image_that_can_be_read_again_joins_an_interrupted_round(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    image = studies / "image-2.nii.gz"

    def stop(status: RetrainStatus) -> None:
        if status.stage is Stage.TRAIN:
            raise KeyboardInterrupt

    image.rename(studies.parent / image.name)
    with pytest.raises(KeyboardInterrupt):
        rounds_of(studies, models, held_out=0.0).carry_out(SHORT, watch=stop)
    (studies.parent / image.name).rename(image)
    status = rounds_of(studies, models, held_out=0.0).carry_out({})
    assert status is not None
    assert (status.stage, status.training_cases) == (Stage.REFUSED, 4)


def test_an_image_that_is_gone_is_left_out_and_named(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    (studies / "image-2.nii.gz").unlink()
    told: list[str] = []
    status = rounds_of(studies, models, held_out=0.0).carry_out(SHORT, tell=told.append)
    assert status is not None
    assert status.training_cases == 3
    assert list(json.loads((studies.parent / "work" / "round-0001" / "left-out.json").read_text())) == ["image-2"]
    assert any("image-2 is left out" in line for line in told)


def test_a_label_that_somebody_removed_from_the_disk_is_left_out_and_named(studies: Path, models: Path) -> None:
    annotate(open_folder(studies), studies, range(4))
    rounds = rounds_of(studies, models, held_out=0.0)

    def remove(_: str) -> None:
        shutil.rmtree(studies / "label-versions" / "image-2", ignore_errors=True)

    status = rounds.carry_out(SHORT, tell=remove)
    assert status is not None
    assert status.training_cases == 3
    left_out = json.loads((studies.parent / "work" / "round-0001" / "left-out.json").read_text())
    assert left_out == {"image-2": "its label was withdrawn, or is gone"}


@pytest.mark.parametrize("steps", [float("inf"), float("nan"), 1.5, -1, "many"])
def test_options_of_a_request_are_checked(studies: Path, tmp_path: Path, steps: object) -> None:
    scoring = EntropyScoring(open_folder(studies), tmp_path / "none", Scores(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="give a whole number from 0 on"):
        NetworkTrainer(rounds_of(studies, tmp_path / "none"), scoring)({"steps": steps}, None)


def test_settings_are_checked(tmp_path: Path) -> None:
    found = retraining_settings({"retrain_after": "0"}, tmp_path / "labels", tmp_path / "models")
    assert (found.after, found.folder) == (0, tmp_path / "labels-work" / "retraining")
    for conf, message in (
        ({"retrain_after": "many"}, "retrain_after is 'many'"),
        ({"score_cases": "-1"}, "score_cases"),
    ):
        with pytest.raises(UsageError, match=message):
            retraining_settings(conf, tmp_path, tmp_path)
    for text, message in (
        ("cases: elsewhere", "cases is set by the server"),
        ("run: {setps: 5}", "run.setps"),
        ("heldout: 0.3", "heldout"),
        ("export: models/../models", "the folder of the versions"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UsageError, match=message):
            retraining_settings({"retrain_config": str(tmp_path / "bad.yaml")}, tmp_path, tmp_path / "models")
