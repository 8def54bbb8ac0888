"""What keeps figures of benchmarks honest: nobody judges who was trained on or counts twice, and no error is lost."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from training_cases import write_case, write_simulated_case

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.tracers import TracerName
from petlesion.training.cases import find_cases
from petlesion.training.config import CohortConfig

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module; they import each other by their bare names."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def write_card(model: Path, training: list[dict[str, str]], ancestors: list[dict[str, Any]]) -> Path:
    model.mkdir()
    card = {"data": {"training": training, "validation": []}, "ancestors": ancestors}
    (model / "card.json").write_text(json.dumps(card))
    return model


def test_nnunet_is_judged_by_patients_that_its_own_fold_holds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sarcoma = benchmark("sarcoma", monkeypatch)
    splits = sarcoma.splits_file(tmp_path)
    splits.parent.mkdir(parents=True)
    splits.write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    monkeypatch.setattr(sarcoma, "segment", lambda *_: SimpleNamespace(labels=0))
    monkeypatch.setattr(sarcoma, "dice", lambda *_: 0.5)
    links = tmp_path / "links"
    links.mkdir()
    assert sarcoma.by_nnunet(sarcoma.Patient("b", None, None), tmp_path, 0, links) == 0.5
    for name, fold in (("a", 0), ("b", 1)):
        with pytest.raises(SystemExit, match=f"fold {fold} does not hold out {name}"):
            sarcoma.by_nnunet(sarcoma.Patient(name, None, None), tmp_path, fold, links)


def test_no_patient_is_counted_for_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sarcoma = benchmark("sarcoma", monkeypatch)
    for name in ("b", "a"):
        (tmp_path / "data" / name).mkdir(parents=True)
    one, two = tmp_path / "one", tmp_path / "two"
    assert sarcoma.judged([one], tmp_path / "data", seen=True) == [(one, "a"), (one, "b")]
    with pytest.raises(SystemExit, match="a is judged by more than one model"):
        sarcoma.judged([one, two], tmp_path / "data", seen=True)


def test_learning_curve_refuses_a_model_that_has_seen_its_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_labels, data = benchmark("few_labels", monkeypatch), tmp_path / "data"
    write_case(data / "STS_001", 0)
    (case,) = find_cases([CohortConfig(folder=data, tracer=TracerName.F18_FDG)])
    other = {"name": "simulated", "sha256": "0"}
    few_labels.refuse_what_has_seen(write_card(tmp_path / "fresh", [other], []), data)
    parent = {"data": {"training_sha256": [case.content_sha256()]}}
    for model in (
        write_card(tmp_path / "trained", [{"name": case.name, "sha256": "of another label"}], []),
        write_card(tmp_path / "child", [other], [parent]),
    ):
        with pytest.raises(SystemExit, match="has seen STS_001"):
            few_labels.refuse_what_has_seen(model, data)


def test_learning_curve_never_trains_on_whom_it_is_judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_labels = benchmark("few_labels", monkeypatch)
    for n in range(30):
        (tmp_path / f"STS_{n:03}").mkdir()
    first = {fold: few_labels.learned_from(few_labels.Arm(fold, 5, True), tmp_path) for fold in range(few_labels.FOLDS)}
    assert len({tuple(paths) for paths in first.values()}) == few_labels.FOLDS
    for fold in range(few_labels.FOLDS):
        few, many = (few_labels.learned_from(few_labels.Arm(fold, count, True), tmp_path) for count in (5, 30))
        split = few_labels.SplitConfig(fold=fold, folds=few_labels.FOLDS)
        assert few == many[:5]
        assert {path.name for path in many} == {
            path.name for path in tmp_path.iterdir() if not few_labels.validates(path.name, split)
        }


def test_classes_of_prostate_cancer_are_printed_for_psma_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    organ_uptake = benchmark("organ_uptake", monkeypatch)
    staging = SimpleNamespace(n="N0", m="M1c")
    for tracer, text in ((TracerName.GA68_PSMA11, "2 lesions, N0 M1c"), (TracerName.F18_FDG, "2 lesions")):
        assert organ_uptake.disease(SimpleNamespace(tracer=tracer, lesion_table=(1, 2), staging=staging)) == text


def test_two_patients_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network_accuracy = benchmark("network_accuracy", monkeypatch)
    write_simulated_case(tmp_path / "one" / "patient", 0)
    assert [patient.folder.name for patient in network_accuracy.find_patients(tmp_path)] == ["patient"]
    write_simulated_case(tmp_path / "two" / "patient", 1)
    with pytest.raises(SystemExit, match="holds patient more than once"):
        network_accuracy.find_patients(tmp_path)


def test_an_answer_that_fails_while_others_compute_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydicom")
    server = benchmark("server", monkeypatch)
    monkeypatch.setattr(server, "infer", lambda *_: time.sleep(0.2))
    answer = SimpleNamespace(raise_for_status=lambda: None)
    monkeypatch.setattr(server.requests, "get", lambda *_, **__: answer)
    assert all(server.others_wait(SimpleNamespace(url="http://none")).values())

    def fail() -> None:
        raise RuntimeError("503")

    answer.raise_for_status = fail
    with pytest.raises(RuntimeError, match="503"):
        server.others_wait(SimpleNamespace(url="http://none"))


def test_annotation_loop_tells_why_a_round_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monailabel")
    loop = benchmark("annotation_loop", monkeypatch)
    folder = tmp_path / "labels-work" / "retraining" / "round-0001"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text('{"stage": "failed", "message": "no memory"}')
    with pytest.raises(RuntimeError, match="the round failed: no memory"):
        loop.Loop(tmp_path, None, loop.Log()).wait_for_verdict(1)
