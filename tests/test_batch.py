"""Many studies in one run: each on its own, resumable, whatever happens to one of them."""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from petlesion.batch import BatchResult, frequent_warnings, process_batch
from petlesion.batch_tasks import BatchOptions, Task, input_sha256, process_study, run_in_processes
from petlesion.cli import run as command_line
from petlesion.errors import ExitCode, ModelError, UsageError
from petlesion.pipeline import OutputOptions
from petlesion.report import Report
from petlesion.segment.options import MethodName, SegmentOptions

OPTIONS = BatchOptions(SegmentOptions(MethodName.FIXED), OutputOptions(), jobs=2)


def write_study(folder: Path, suv: float) -> None:
    """PET of a body of SUV 1 with a cube of 8 x 8 x 8 voxels of 4 mm: 32.768 mL."""
    folder.mkdir(parents=True)
    pet = np.zeros((24, 24, 24), dtype=np.float32)
    pet[2:22, 2:22, 2:22] = 1.0
    pet[8:16, 8:16, 8:16] = suv
    nibabel.save(nibabel.Nifti1Image(pet, np.diag([4.0, 4.0, 4.0, 1.0])), folder / "pet.nii.gz")


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    write_study(folder / "a", 5.0)
    write_study(folder / "b", 2.0)
    (folder / "c").mkdir()
    (folder / "c" / "notes.txt").write_text("no image")
    return folder


def test_each_study_has_its_folder_and_its_line(studies: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[tuple[int, int]]()
    result = process_batch(studies, out, OPTIONS, lambda done, total: told.append((done, total)))
    assert [(each.study, each.exit_code) for each in result.outcomes] == [
        ("a", ExitCode.DONE),
        ("b", ExitCode.DONE),
        ("c", ExitCode.NO_DICOM),
    ]
    assert (result.exit_code, result.kept) == (ExitCode.NO_DICOM, 0)
    assert (told[0], told[-1]) == ((0, 3), (3, 3))
    assert (out / "a" / "report.json").is_file()
    assert not (out / "c").exists()
    with (out / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["n_lesions"] for row in rows] == ["1", "0", ""]
    assert float(rows[0]["ttv_ml"]) == pytest.approx(32.768)
    assert "no DICOM file" in rows[2]["message"]
    assert [row["study"] for row in json.loads((out / "summary.json").read_text())] == ["a", "b", "c"]


def test_second_run_does_what_is_missing_and_keeps_the_rest(studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process_batch(studies, out, OPTIONS)
    before = (out / "a" / "report.pdf").stat().st_mtime_ns
    shutil.rmtree(out / "b")
    shutil.rmtree(studies / "c")
    write_study(studies / "c", 6.0)
    result = process_batch(studies, out, OPTIONS)
    assert (result.exit_code, result.kept) == (ExitCode.DONE, 1)
    assert [each.n_lesions for each in result.outcomes] == [1, 0, 1]
    assert (out / "a" / "report.pdf").stat().st_mtime_ns == before


def test_study_whose_files_have_changed_is_done_again(studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process_batch(studies, out, OPTIONS)
    shutil.rmtree(studies / "a")
    write_study(studies / "a", 0.5)
    result = process_batch(studies, out, OPTIONS)
    assert [(each.study, each.n_lesions) for each in result.outcomes] == [("a", 0), ("b", 0), ("c", None)]
    assert result.kept == 1
    assert Report.from_json((out / "a" / "report.json").read_text()).totals.n_lesions == 0
    (out / "summary.json").unlink()
    assert process_batch(studies, out, OPTIONS).kept == 0, "nobody knows what the results were made from"


def test_file_that_cannot_be_looked_at_ends_no_batch(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, is_file = input_sha256(studies / "a"), Path.is_file

    def refused(path: Path) -> bool:
        if path.name == "refused":
            raise PermissionError(path)
        return is_file(path)

    (studies / "a" / "refused").write_text("")
    assert input_sha256(studies / "a") != known
    monkeypatch.setattr(Path, "is_file", refused)
    assert input_sha256(studies / "a") == known


def test_study_that_cannot_be_looked_at_is_a_line_of_its_own(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = Path.stat

    def refused(path: Path, **options: Any) -> Any:
        if studies / "b" in (path, *path.parents):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return status(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setattr("petlesion.batch.run_in_processes", lambda tasks, _: map(process_study, tasks))
    result = process_batch(studies, tmp_path / "out", OPTIONS)
    assert [(each.study, each.exit_code) for each in result.outcomes] == [
        ("a", ExitCode.DONE),
        ("b", ExitCode.USAGE),
        ("c", ExitCode.NO_DICOM),
    ]
    assert "cannot be looked at (Permission denied)" in result.failed[0].message


def test_folder_of_studies_that_cannot_be_listed_is_named(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(UsageError, match=r"studies cannot be listed \(Permission denied\)"):
        process_batch(studies, tmp_path / "out", OPTIONS)


def test_other_folders_of_workers_do_not_matter(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Task] = []
    monkeypatch.setattr("petlesion.batch.run_in_processes", lambda tasks, _: seen.extend(tasks) or iter(()))
    monkeypatch.chdir(tmp_path)
    process_batch(Path("studies"), Path("out"), OPTIONS)
    assert {task.study for task in seen} == {studies / name for name in "abc"}
    assert {task.out.parent for task in seen} == {tmp_path / "out"}


def test_other_options_are_not_mixed_in(studies: Path, tmp_path: Path) -> None:
    process_batch(studies, tmp_path / "out", OPTIONS)
    other = BatchOptions(SegmentOptions(MethodName.FIXED, suv=4.0), OutputOptions())
    with pytest.raises(UsageError, match="other options"):
        process_batch(studies, tmp_path / "out", other)


def test_network_is_known_by_its_identity_wherever_it_lies(studies: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")
    from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
    from petlesion.networks.model_folder import write_model
    from petlesion.networks.unet import build_unet

    config = ModelConfig(architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(16, 16, 16))
    sha256 = write_model(tmp_path / "one", build_unet(config).state_dict(), config, {})
    shutil.copytree(tmp_path / "one", tmp_path / "other")

    def run(model: str) -> BatchResult:
        options = BatchOptions(SegmentOptions(MethodName.UNET, models=(tmp_path / model,)), OutputOptions())
        return process_batch(studies, tmp_path / "out", options)

    assert [each.exit_code for each in run("one").outcomes] == [ExitCode.DONE, ExitCode.DONE, ExitCode.NO_DICOM]
    report = Report.from_json((tmp_path / "out" / "a" / "report.json").read_text())
    assert report.method.weights_sha256 == sha256
    assert run("other").kept == 2
    write_model(tmp_path / "other", build_unet(config).state_dict(), config, {"note": "another"})
    with pytest.raises(UsageError, match="other options"):
        run("other")


def test_model_of_nnunet_is_known_by_its_identity(tmp_path: Path) -> None:
    model = tmp_path / "model"
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text("{}")
    (tmp_path / "studies" / "a").mkdir(parents=True)
    options = BatchOptions(SegmentOptions(MethodName.NNUNET, models=(model,)), OutputOptions())
    process_batch(tmp_path / "studies", tmp_path / "out", options)
    shutil.copytree(model, tmp_path / "moved" / "model")
    moved = replace(options, segment=replace(options.segment, models=(tmp_path / "moved" / "model",)))
    process_batch(tmp_path / "studies", tmp_path / "out", moved)
    (tmp_path / "moved" / "model" / "fold_0" / "checkpoint_final.pth").write_text("[]")
    with pytest.raises(UsageError, match="other options"):
        process_batch(tmp_path / "studies", tmp_path / "out", moved)
    with pytest.raises(ModelError, match="--model"):
        process_batch(
            tmp_path / "studies", tmp_path / "out", BatchOptions(SegmentOptions(MethodName.NNUNET), OutputOptions())
        )


class _Fatal:
    """Ends the process that receives it, as the kernel ends one when memory is short."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return signal.raise_signal, (signal.SIGKILL,)


def test_study_that_ends_its_process_takes_no_other_along(studies: Path, tmp_path: Path) -> None:
    fatal = BatchOptions(OPTIONS.segment, OPTIONS.output, tracer=_Fatal())  # type: ignore[arg-type]
    tasks = [Task(studies / name, tmp_path / "out" / name, OPTIONS) for name in ("a", "b")]
    outcomes = {each.study: each for each in run_in_processes([Task(studies / "c", tmp_path, fatal), *tasks], jobs=1)}
    assert outcomes["c"].exit_code == ExitCode.SEGMENTATION
    assert "the process ended" in outcomes["c"].message
    assert [outcomes[name].exit_code for name in ("a", "b")] == [ExitCode.DONE, ExitCode.DONE]


def test_process_of_a_batch_that_is_killed_does_not_wait_for_ever(tmp_path: Path) -> None:
    script = (
        "import os; from pathlib import Path; from petlesion.batch_tasks import *; from petlesion.batch_tasks import "
        "_Worker; from petlesion.pipeline import OutputOptions; options = BatchOptions(SegmentOptions(), OutputOptions"
        "()); _Worker().run(Task(Path('nowhere'), Path('out'), options)); os.kill(os.getpid(), 9)"
    )
    # returns once nobody holds stdout any more
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def test_most_frequent_warnings_come_first(studies: Path, tmp_path: Path) -> None:
    (studies / "b" / "case.json").write_text('{"tracer": "f18-fdg"}')
    options = replace(OPTIONS, segment=SegmentOptions(MethodName.PERCIST))
    warnings = frequent_warnings(tmp_path / "out", process_batch(studies, tmp_path / "out", options))
    counts = [count for _, count in warnings]
    assert counts == sorted(counts, reverse=True)
    assert warnings[0] == ("SUVbw as the file holds it; how it was computed is not known.", 2)
    reports = [Report.from_json((tmp_path / "out" / name / "report.json").read_text()) for name in "ab"]
    assert [report.study.tracer for report in reports] == ["unknown", "f18-fdg"]


def test_command_line_lists_failures_and_has_their_code(
    studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["batch", str(studies), "-o", str(tmp_path / "out"), "--method", "fixed"]
    assert command_line(arguments) == ExitCode.NO_DICOM
    printed = " ".join(capsys.readouterr().out.split())
    assert "c: no DICOM file" in printed
    assert "in 2 of 2 studies: SUVbw as the file holds it" in printed
    shutil.rmtree(studies / "c")
    assert command_line([*arguments, "--json"]) == ExitCode.DONE
    assert [row["study"] for row in json.loads(capsys.readouterr().out)] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda tmp: (tmp / "nowhere", tmp / "out"), "does not exist"),
        (lambda tmp: (tmp / "studies" / "c", tmp / "out"), "holds no folder"),
        (lambda tmp: (tmp / "studies", tmp / "studies" / "out"), "among the studies"),
    ],
)
def test_wrong_folders_are_named(studies: Path, tmp_path: Path, arguments: object, words: str) -> None:
    assert studies.is_dir()
    with pytest.raises(UsageError, match=words):
        process_batch(*arguments(tmp_path), OPTIONS)  # type: ignore[operator]


def test_ray_that_is_not_installed_is_named(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = BatchOptions(OPTIONS.segment, OPTIONS.output, ray="auto")
    with pytest.raises(UsageError, match="ray is not installed"):
        process_batch(studies, tmp_path / "out", options)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (pip install ray)")
def test_ray_gives_the_results_of_local_processes(studies: Path, tmp_path: Path) -> None:
    options = BatchOptions(OPTIONS.segment, OPTIONS.output, jobs=1, ray="local")
    result, expected = (process_batch(studies, tmp_path / str(n), each) for n, each in enumerate((options, OPTIONS)))
    assert [(each.study, each.exit_code, each.ttv_ml) for each in result.outcomes] == [
        (each.study, each.exit_code, each.ttv_ml) for each in expected.outcomes
    ]
