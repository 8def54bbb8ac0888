"""What travels between operators."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from petlesion.errors import ExitCode, PetlesionError

T = TypeVar("T")

_SAFE_UID = re.compile(r"[0-9][0-9.]{0,63}")


@dataclass(frozen=True)
class Job:
    """One study of the input, and where its results go.

    Attributes
    ----------
    number, count
        Its place among the studies of this run, from 1, and how many there are.
    study_uid
        StudyInstanceUID; None where the input holds no study with a PET.
    out
        Folder of its results.
    """

    number: int
    count: int
    study_uid: str | None
    out: Path

    @property
    def key(self) -> str:
        """Name of the study in logs: a hash, because UIDs lead to the patient for whoever has the archive."""
        return hashlib.sha256((self.study_uid or "").encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Failure:
    """Why there are no results of a study."""

    error: Exception
    step: str

    @property
    def exit_code(self) -> ExitCode:
        """Code of the error."""
        return exit_code_of(self.error)


@dataclass(frozen=True, eq=False)
class Message(Generic[T]):
    """What an operator found for a study, or the failure of it or of one before it."""

    job: Job
    value: T | Failure


def study_jobs(study_uids: tuple[str, ...], out: Path) -> tuple[Job, ...]:
    """Folder of results of each study: `out` for a single one, a sub-folder named by the UID for each of several.

    A UID that is no UID (letters, slashes) is not used as a name.
    """
    if len(study_uids) <= 1:
        return (Job(1, 1, study_uids[0] if study_uids else None, out),)
    return tuple(
        Job(number, len(study_uids), uid, out / _folder_name(uid)) for number, uid in enumerate(study_uids, start=1)
    )


def _folder_name(uid: str) -> str:
    return uid if _SAFE_UID.fullmatch(uid) else f"study-{hashlib.sha256(uid.encode()).hexdigest()[:12]}"


def exit_code_of(error: Exception) -> ExitCode:
    """Code of an error; one that nobody foresaw counts as failed segmentation, as in the command line."""
    return error.exit_code if isinstance(error, PetlesionError) else ExitCode.SEGMENTATION
