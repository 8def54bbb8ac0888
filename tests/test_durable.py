from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from petlesion.durable import exclusive, write_durably

_LOCK = """
import sys
from pathlib import Path
from petlesion.durable import exclusive

with exclusive(Path(sys.argv[1]), wait=False) as held:
    print(held)
"""


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_who_may_read_is_as_the_umask_says(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_durably(tmp_path / "summary.csv", b"patient")
    finally:
        os.umask(before)
    assert (tmp_path / "summary.csv").read_bytes() == b"patient"
    assert (tmp_path / "summary.csv").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(OSError, match="folder"):
        write_durably(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "file"]


def test_lock_that_may_only_be_read_is_held_by_one(tmp_path: Path) -> None:
    """As one that a command of root's has made."""
    lock = tmp_path / ".lock"
    lock.touch(0o444)
    command = [sys.executable, "-c", _LOCK, str(lock)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write it, without setpriv (util-linux) to give that up")
        command = ["setpriv", "--bounding-set=-dac_override", *command]
    with exclusive(lock):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
