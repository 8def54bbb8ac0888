"""Whether coordinates of one DICOM object hold in the space of the PET."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydicom import Dataset

from petlesion.dicom.attributes import items, text
from petlesion.errors import UsageError
from petlesion.study import PetCt

_DEPTH = 4
"""Levels of nesting at which objects refer to images."""


def refers_to_pet(dataset: Dataset, study: PetCt) -> bool:
    """Whether an object refers to images of the PET series."""
    return study.pet_series_instance_uid in referenced_series(dataset)


def frame_of_reference_warnings(dataset: Dataset, uids: Iterable[str], study: PetCt, path: Path) -> tuple[str, ...]:
    """Compare frames of reference with that of the PET.

    Some writers invent a frame of reference although the coordinates are those of the images (pydicom-seg 0.4); when
    the object refers to the PET series, this is tolerated.

    Parameters
    ----------
    dataset
        The object.
    uids
        FrameOfReferenceUIDs that its coordinates claim; empty ones are ignored.
    study
        With the PET.
    path
        File of the object, for messages.

    Returns
    -------
    tuple of str
        What was tolerated.

    Raises
    ------
    UsageError
        If a frame of reference differs and nothing shows that the object belongs to the PET.
    """
    if study.source is None:
        return ("the PET has no frame of reference; coordinates of the mask are taken as they are",)
    expected = text(study.source.pet_headers[0], "FrameOfReferenceUID")
    others = sorted({uid for uid in uids if uid and uid != expected})
    if not others or not expected:
        return ()
    if refers_to_pet(dataset, study):
        return (f"FrameOfReferenceUID {others[0]} differs from the PET's; used, as the mask refers to the PET series",)
    raise UsageError(
        f"mask has FrameOfReferenceUID {others[0]}, the PET {expected}",
        where=path.name,
        remedy="give a mask drawn on this PET or its CT, or one resampled to the PET as NIfTI",
    )


def referenced_series(dataset: Dataset, depth: int = _DEPTH) -> set[str]:
    """SeriesInstanceUIDs in the reference sequences of an object, `depth` levels down."""
    found = set()
    for keyword in (
        "ReferencedSeriesSequence",
        "ReferencedFrameOfReferenceSequence",
        "RTReferencedStudySequence",
        "RTReferencedSeriesSequence",
        "StudiesContainingOtherReferencedInstancesSequence",
    ):
        for item in items(dataset, keyword):
            found.add(text(item, "SeriesInstanceUID"))
            if depth:
                found |= referenced_series(item, depth - 1)
    return found
