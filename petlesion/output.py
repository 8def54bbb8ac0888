"""Result folders that are complete or untouched: written in a staging folder, moved in at the end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from petlesion.errors import OutputError, UsageError, reason
from petlesion.lesions import ENTROPY_MAP, PROBABILITY_MAP

MAP_NAMES = tuple(f"{name}.nii.gz" for name in (PROBABILITY_MAP, ENTROPY_MAP))
"""Files of a network's maps."""
REPORT = "report.json"
RESULT_NAMES = (
    *("seg.dcm", "sr.dcm", "rtstruct.dcm", "report.pdf", REPORT, "lesions.csv", "lesions.nii.gz"),
    *MAP_NAMES,
)
"""Every file name a result folder may hold; contracts with scripts and containers."""
STAGING_PREFIX: Final = ".petlesion-"
"""Of the folders that results are written in before they are moved; a process that is killed leaves them."""
_LEFT_S: Final = 24 * 3600.0
"""Nobody writes any more in one of these in which no file has been begun for so long."""


@contextlib.contextmanager
def staged_results(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a staging folder whose files appear in `out` together, or not at all.

    The staging folder lies inside `out`, so that moving is a rename on the same file system even where `out` is
    the mount point of a container. Results of an earlier run are removed only after the new ones are complete, and what
    runs that were killed a day before or earlier have left there at the beginning.

    Parameters
    ----------
    out
        Folder of the results; created with its parents where missing. On failure, those that were created are removed
        again unless something else is in them.
    overwrite
        Whether results of an earlier run may be replaced.

    Yields
    ------
    Path
        Empty folder to write into.

    Raises
    ------
    OutputError
        If `out` cannot be created or written (permission, no space), or holds results and `overwrite` is False.
    """
    first_created = None
    try:
        first_created = _first_missing(out)
        _refuse_existing_results(out, overwrite)
        out.mkdir(parents=True, exist_ok=True)
        _remove_left(out)
        staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=out))
    except OSError as error:
        _remove_created(out, first_created)
        raise _not_written(out, error) from error
    try:
        yield staging
        _move_in(staging, out)
    except OSError as error:
        raise _not_written(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_created(out, first_created)


def keep_input(path: Path, out: Path) -> None:
    """Refuse to write results in place of the mask that they are made from.

    Raises
    ------
    UsageError
        If `path` is a file of results in `out`.
    """
    if path.name in RESULT_NAMES and path.resolve().parent == out.resolve():
        raise UsageError("the results would replace the mask", where=path, remedy="give another folder with -o")


def _refuse_existing_results(out: Path, overwrite: bool) -> None:
    existing = [name for name in RESULT_NAMES if (out / name).exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{existing[0]} exists already",
            where=out,
            remedy="give another folder with -o, or replace it with --overwrite",
        )


def _remove_left(out: Path) -> None:
    for left in out.glob(f"{STAGING_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone by now
            if left.stat().st_mtime < time.time() - _LEFT_S:
                shutil.rmtree(left)


def _move_in(staging: Path, out: Path) -> None:
    """Rename all files into `out`; when one fails, or the process is told to end, put everything back as it was.

    The report comes last: whoever finds it finds the others.
    """
    backup = staging / ".previous"
    backup.mkdir()
    moved: list[Path] = []
    new = [path for path in staging.iterdir() if path != backup]
    new.sort(key=lambda path: (path.name == REPORT, path.name))
    try:
        for name in RESULT_NAMES:
            if (out / name).exists():
                (out / name).replace(backup / name)
        for path in new:
            path.replace(out / path.name)
            moved.append(out / path.name)
    except BaseException:
        for path in moved:
            path.unlink()
        for path in backup.iterdir():
            path.replace(out / path.name)
        raise


def _first_missing(folder: Path) -> Path | None:
    """The topmost folder of `folder`'s path that does not exist yet."""
    missing = None
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            break
        missing = candidate
    return missing


def _remove_created(out: Path, first_created: Path | None) -> None:
    """Remove the folders that were created and hold nothing; another run may have begun to write into them since."""
    if first_created is None:
        return
    for folder in (out, *out.parents):
        with contextlib.suppress(OSError):
            folder.rmdir()
        if folder == first_created:
            return


def _not_written(out: Path, error: OSError) -> OutputError:
    return OutputError(
        f"results cannot be written ({reason(error)})",
        where=out,
        remedy="give a folder with -o that is writable and has space; nothing was left behind",
    )
