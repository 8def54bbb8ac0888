"""Result folders are complete or untouched."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from petlesion.errors import OutputError, UsageError
from petlesion.output import keep_input, staged_results


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    with staged_results(out) as staging:
        (staging / "report.json").write_text("{}")
        (staging / "seg.dcm").write_bytes(b"seg")
        assert not (out / "report.json").exists()
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "seg.dcm"]


def test_failure_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_results(tmp_path / "new" / "folder") as staging:
        (staging / "report.json").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_results_of_a_run_beside_it(tmp_path: Path) -> None:
    """Where the run that fails created the folder that both write into."""
    with pytest.raises(ZeroDivisionError), staged_results(tmp_path / "new" / "fails"):
        with staged_results(tmp_path / "new" / "done") as staging:
            (staging / "report.json").write_text("{}")
        raise ZeroDivisionError
    assert [path.name for path in sorted((tmp_path / "new").rglob("*"))] == ["done", "report.json"]


def test_folder_that_somebody_removes_hides_no_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_results(tmp_path / "new" / "folder"):
        shutil.rmtree(tmp_path / "new")
        raise ZeroDivisionError


def test_failure_keeps_results_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("earlier")
    with pytest.raises(OutputError, match="No space left"), staged_results(tmp_path, overwrite=True) as staging:
        (staging / "report.json").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (tmp_path / "report.json").read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_that_cannot_even_be_looked_for_is_an_error_of_the_results(tmp_path: Path) -> None:
    """As one below a folder of another user is, too."""
    with pytest.raises(OutputError, match="File name too long"), staged_results(tmp_path / ("x" * 300)):
        pass


def test_what_killed_runs_have_left_goes_after_a_day(tmp_path: Path) -> None:
    for name, age_s in ((".petlesion-old", 25 * 3600), (".petlesion-new", 0), ("old", 25 * 3600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seg.dcm").write_bytes(b"half")
        os.utime(tmp_path / name, times=(time.time() - age_s,) * 2)
    with staged_results(tmp_path) as staging:
        (staging / "report.json").write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".petlesion-new", "old", "report.json"]


def test_overwriting_removes_results_that_the_new_run_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "seg.dcm").write_text("lesions of the earlier run")
    (tmp_path / "notes.txt").write_text("the user's own")
    with staged_results(tmp_path, overwrite=True) as staging:
        (staging / "report.json").write_text("none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "report.json"]


def test_existing_results_are_refused_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("earlier")
    with pytest.raises(OutputError, match="--overwrite"), staged_results(tmp_path):
        pytest.fail("must not start")
    assert (tmp_path / "report.json").read_text() == "earlier"


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), staged_results(tmp_path / "file" / "out"):
        pytest.fail("must not start")


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "seg.dcm").write_text("corrected by hand")
    with pytest.raises(UsageError, match="would replace the mask"):
        keep_input(tmp_path / "seg.dcm", tmp_path / "x" / "..")
    keep_input(tmp_path / "seg.dcm", tmp_path / "other")
    keep_input(tmp_path / "corrected.dcm", tmp_path)


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_told_to_end_while_moving_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    (tmp_path / "report.json").write_text("earlier")
    rename = Path.replace

    def ended(path: Path, target: Path) -> Path:
        if path.name == "seg.dcm":
            raise end
        return rename(path, target)

    with pytest.raises(end), staged_results(tmp_path, overwrite=True) as staging:
        (staging / "report.json").write_text("new")
        (staging / "seg.dcm").write_bytes(b"seg")
        monkeypatch.setattr(Path, "replace", ended)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.json", "earlier")]


def test_the_report_appears_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: (moved.append(path.name), rename(path, target))[1])
    with staged_results(tmp_path) as staging:
        for name in ("report.json", "seg.dcm", "lesions.csv"):
            (staging / name).write_text("")
    assert moved == ["lesions.csv", "seg.dcm", "report.json"]


def test_a_failed_move_puts_everything_back(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("earlier")
    (tmp_path / "seg.dcm").mkdir()
    (tmp_path / "seg.dcm" / "in-the-way").write_text("")
    with pytest.raises(OutputError), staged_results(tmp_path, overwrite=True) as staging:
        (staging / "report.json").write_text("new")
        (staging / "zzz").write_text("moves last")
        (tmp_path / "zzz").mkdir()
    assert (tmp_path / "report.json").read_text() == "earlier"
    assert (tmp_path / "seg.dcm").is_dir()


def test_reason_is_found_under_a_library_s_own_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"), staged_results(tmp_path):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise OSError("with tag (7FE0,0010) Traceback ...") from error
