"""Files of a case on disk: its images, and what says whose they are and the tracer, which NIfTI files do not name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from petlesion.errors import UsageError
from petlesion.nifti import SUFFIXES
from petlesion.tracers import TracerName

PET, CT = "pet", "ct"
"""Names of the images, SUVbw and HU, without their endings."""
SIMULATED_TRUTH: Final = "truth/truth.json"
"""Truth of a simulated patient (`petlesion simulate`); goes before `CASE_FILE`."""
CASE_FILE: Final = "case.json"
"""May say `patient_id` and `tracer` of a case."""


@dataclass(frozen=True)
class CaseFacts:
    """What the files of a case say; None where they do not.

    Attributes
    ----------
    patient_id
        Whose images they are.
    tracer
        What was injected.
    file
        Name of the file that says so; empty where there is none.
    """

    patient_id: str | None = None
    tracer: TracerName | None = None
    file: str = ""


def image_file(folder: Path, name: str) -> Path | None:
    """File of an image, such as `PET`: of the endings of NIfTI the first that exists; None where there is none."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def case_facts(folder: Path) -> CaseFacts:
    """Read patient and tracer of a case from the simulator's truth, or from `case.json`.

    Parameters
    ----------
    folder
        Of the case; may hold neither.

    Raises
    ------
    UsageError
        If the file is no JSON object, or names a tracer that does not exist.
    """
    path = next((path for name in (SIMULATED_TRUTH, CASE_FILE) if (path := folder / name).is_file()), None)
    if path is None:
        return CaseFacts()
    try:
        record = {**json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"{path.name} cannot be read", where=path.parent, remedy="correct or remove it") from error
    patient_id, tracer = record.get("patient_id"), record.get("tracer")
    if tracer is not None and tracer not in list(TracerName):
        raise UsageError(
            f"{path.name} names the tracer {str(tracer)[:40]!r}, which is not known",
            where=path.parent,
            remedy=f"correct it to one of {', '.join(TracerName)}",
        )
    return CaseFacts(
        None if patient_id is None else str(patient_id), None if tracer is None else TracerName(tracer), path.name
    )
