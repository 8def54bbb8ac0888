"""What the deployed application says to other programs, and what it cleans up."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from logs import Log
from messages import Failure, Job, study_jobs
from results import (
    METADATA,
    RESULT,
    check_output,
    error_outcome,
    failed_outcome,
    place_machine_results,
    remove_unfinished,
    run_outcome,
    write_failure,
)

from petlesion.errors import ExitCode, OutputError, SuvError
from petlesion.output import REPORT, RESULT_NAMES, STAGING_PREFIX, staged_results

SECRET = "DOE^JANE"
NO_SUV = SuvError(f"no weight of {SECRET}", where="/in/x.dcm", remedy="give it")


def log() -> tuple[Log, StringIO]:
    stream = StringIO()
    return Log(stream), stream


def read(path: Path) -> dict[str, object]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document


def test_one_study_goes_to_the_folder_itself_several_to_folders_of_their_own(tmp_path: Path) -> None:
    assert [job.out for job in study_jobs(("1.2.3",), tmp_path)] == [tmp_path]
    assert [job.out for job in study_jobs((), tmp_path)] == [tmp_path]
    assert [job.out.name for job in study_jobs(("1.2.3", "1.2.4"), tmp_path)] == ["1.2.3", "1.2.4"]


@pytest.mark.parametrize("uid", ["../../etc", "", "..", "DOE JANE", "1/2"])
def test_what_is_no_uid_names_no_folder(tmp_path: Path, uid: str) -> None:
    job = study_jobs((uid, "1.2.4"), tmp_path)[0]
    assert job.out.parent == tmp_path
    assert job.out.name.startswith("study-")


def test_failure_says_all_in_metadata_and_nothing_of_the_header_in_result(tmp_path: Path) -> None:
    place_machine_results(error_outcome(NO_SUV), tmp_path)
    metadata = read(tmp_path / METADATA)
    assert metadata["status"] == "failed"
    assert metadata["exit_code"] == ExitCode.NO_SUV
    assert metadata["exception"] == "SuvError"
    assert SECRET in str(metadata["exception_message"])
    assert SECRET not in (tmp_path / RESULT).read_text()
    assert read(tmp_path / RESULT)["__mercure_notification"] == {
        "text": "petlesion: SUV cannot be computed from the header",
        "requested": True,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [METADATA, RESULT]


def test_code_of_a_run_is_that_of_its_first_failure(tmp_path: Path) -> None:
    jobs = [Job(number, 3, f"1.2.{number}", tmp_path / f"1.2.{number}") for number in (1, 2, 3)]
    unforeseen = failed_outcome(jobs[2], Failure(ValueError("x"), "segment"))
    outcome = run_outcome([error_outcome(NO_SUV, "1.2.1"), error_outcome(NO_SUV, "1.2.2"), unforeseen])
    assert outcome.exit_code is ExitCode.NO_SUV
    assert unforeseen.exit_code is ExitCode.SEGMENTATION
    assert outcome.values["n_failed"] == 3
    assert [study["folder"] for study in outcome.values["studies"]] == ["1.2.1", "1.2.2", "1.2.3"]


def test_results_of_an_earlier_run_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1.2.3").mkdir()
    check_output(tmp_path)
    (tmp_path / "1.2.3" / "seg.dcm").write_text("earlier")
    with pytest.raises(OutputError, match="earlier run"):
        check_output(tmp_path)
    write_failure(error_outcome(NO_SUV), tmp_path / "1.2.3", log()[0])
    assert [path.name for path in (tmp_path / "1.2.3").iterdir()] == ["seg.dcm"]


def test_what_a_killed_container_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    left = tmp_path / "1.2.3" / f"{STAGING_PREFIX}x"
    left.mkdir(parents=True)
    (left / "seg.dcm").write_text("half")
    (tmp_path / "notes.txt").write_text("not ours")
    check_output(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("study", [".", "1.2.3"])
def test_what_a_killed_container_had_half_moved_is_removed_by_the_next_run(tmp_path: Path, study: str) -> None:
    folder = tmp_path / study
    (folder / f"{STAGING_PREFIX}x").mkdir(parents=True)
    (folder / f"{STAGING_PREFIX}x" / REPORT).write_text("moves last")
    for name in ("seg.dcm", METADATA):
        (folder / name).write_text("moved already")
    check_output(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_complete_results_that_a_killed_run_was_to_replace_stay(tmp_path: Path) -> None:
    (tmp_path / f"{STAGING_PREFIX}x").mkdir()
    for name in ("seg.dcm", REPORT):
        (tmp_path / name).write_text("complete")
    with pytest.raises(OutputError, match="earlier run"):
        check_output(tmp_path)
    assert {(tmp_path / name).read_text() for name in ("seg.dcm", REPORT)} == {"complete"}


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for name in ("out", "x" * 300):  # which cannot even be looked for, as below a folder of another user
        with pytest.raises(OutputError, match="no folder"):
            check_output(tmp_path / name)


def test_folder_that_cannot_be_written_is_logged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer, stream = log()
    write_failure(error_outcome(NO_SUV), tmp_path / "file" / "out", writer)
    assert json.loads(stream.getvalue())["event"] == "outcome not written"


@pytest.mark.parametrize("study", [".", "1.2.3"])
def test_half_moved_results_are_removed(tmp_path: Path, study: str) -> None:
    finished, folder = tmp_path / "1.2.2", tmp_path / study
    for path in (finished, folder):
        path.mkdir(exist_ok=True)
    (finished / "seg.dcm").write_text("complete")
    staging = staged_results(folder)
    with staging as half_way:
        assert half_way.name.startswith(STAGING_PREFIX)
        (half_way / "sr.dcm").write_text("not moved yet")
        (folder / "report.json").write_text("moved already")
        (folder / "notes.txt").write_text("not ours")
        remove_unfinished(tmp_path)
        assert not half_way.exists()
        half_way.mkdir()
    assert (folder / "notes.txt").exists()
    assert not any((folder / name).exists() for name in RESULT_NAMES)
    assert (finished / "seg.dcm").exists()


def test_folder_that_only_held_unfinished_results_goes(tmp_path: Path) -> None:
    (tmp_path / "1.2.3" / f"{STAGING_PREFIX}x").mkdir(parents=True)
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove_unfinished(tmp_path / "never created")
