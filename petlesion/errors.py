"""Errors that end a command, each with the exit code that the caller of a container or a script relies on."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every front door (command line, container)."""

    DONE = 0
    USAGE = 2
    NO_DICOM = 10
    NO_PET = 11
    NO_CT = 12
    NO_SUV = 13
    GEOMETRY = 14
    MODEL = 20
    SEGMENTATION = 30
    OUTPUT = 40


class PetlesionError(Exception):
    """A condition that the user can act on; printed as one line, without a traceback.

    Parameters
    ----------
    what
        What is wrong, in lower case, naming the offending value.
    where
        The file, folder or series it was found in.
    remedy
        What the user can do about it.
    """

    exit_code: ClassVar[ExitCode]

    def __init__(self, what: str, *, remedy: str, where: str | Path | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        place = "" if where is None else f" in {where}"
        super().__init__(" ".join(f"{what}{place}; {remedy}".split()))

    def __reduce__(self) -> tuple[Callable[..., PetlesionError], tuple[object, ...]]:
        """Travel between processes: the default would call the class without its keyword arguments."""
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(cls: type[PetlesionError], what: str, where: str | Path | None, remedy: str) -> PetlesionError:
    return cls(what, where=where, remedy=remedy)


class UsageError(PetlesionError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = ExitCode.USAGE


class NoDicomError(PetlesionError):
    """The input holds no readable DICOM file (and no `pet.nii.gz`)."""

    exit_code = ExitCode.NO_DICOM


class NoPetError(PetlesionError):
    """No series of the input is a usable (attenuation- and decay-corrected) PET."""

    exit_code = ExitCode.NO_PET


class NoCtError(PetlesionError):
    """The method needs a CT, and none shares the study and FrameOfReferenceUID of the PET."""

    exit_code = ExitCode.NO_CT


class SuvError(PetlesionError):
    """SUV cannot be computed from what the header holds."""

    exit_code = ExitCode.NO_SUV


class GeometryError(PetlesionError):
    """Slices that do not form one static volume: dynamic, gated, gap, mixed orientation, multi-frame."""

    exit_code = ExitCode.GEOMETRY


class ModelError(PetlesionError):
    """A model folder is missing, incomplete, or its hash does not match."""

    exit_code = ExitCode.MODEL


class SegmentationError(PetlesionError):
    """Segmentation could not be carried out."""

    exit_code = ExitCode.SEGMENTATION


class OutputError(PetlesionError):
    """Outputs could not be written; nothing was left behind."""

    exit_code = ExitCode.OUTPUT


def reason(error: OSError) -> str:
    """What the operating system says, also where a library has wrapped the error in one of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__
    return str(error)


def why_no_folder(path: Path) -> str:
    """Why something is no folder to read from, as the end of a sentence; empty where it is one."""
    try:
        return "" if path.is_dir() else "is a file, not a folder" if path.exists() else "does not exist"
    except OSError as error:  # of a folder above it, as a rule
        return f"cannot be looked at ({reason(error)})"
