"""Which PET and which CT of a study are used, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from petlesion.dicom.attributes import text, values
from petlesion.dicom.scan import Series
from petlesion.dicom.series import SAME_POSITION_MM, Stack, stack_slices
from petlesion.dicom.suv import ENHANCED_PET
from petlesion.errors import GeometryError, NoPetError, UsageError

PET_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
"""SOP class of PET images, one frame a file (DICOM PS3.4 B.5)."""
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class of CT images, one frame a file."""
NO_VOLUME_IMAGE_TYPES = ("MIP", "PROJECTION", "LOCALIZER", "SCREEN SAVE", "REPROJECTION")
"""Words in ImageType (0008,0008) of images that are no slices of a volume."""
NO_SUV_UNITS = ("CPS", "PROPCNTS", "PROPCPS", "1CM")
"""Units (0054,1001) that SUV cannot be computed from (IBSI manual for SUV computation)."""
SAME_COVERAGE = 0.9
"""Series that cover this part of the longest one along the patient, or more, count as covering the same."""


@dataclass(frozen=True)
class _Candidate:
    """A series, with what it is judged by."""

    series: Series
    slices: int
    extent_mm: float
    static: bool

    def image_type(self, position: int) -> str:
        types = values(self.series.instances[0].header, "ImageType")
        return types[position].upper() if len(types) > position else ""

    @property
    def number(self) -> float:
        try:
            return float(text(self.series.instances[0].header, "SeriesNumber"))
        except ValueError:
            return float("inf")


@dataclass(frozen=True)
class _Criterion:
    """One step of the choice: of the remaining candidates, those with the highest score stay."""

    score: Callable[[_Candidate, Sequence[_Candidate]], float]
    lost: Callable[[_Candidate], str]
    """Why a candidate is out, as the end of a sentence that begins with its name."""


def choose_pet(
    series: Sequence[Series], folder: Path, uid: str | None = None
) -> tuple[Series, tuple[str, ...], tuple[str, ...]]:
    """Choose the PET of a study: attenuation-corrected, static, whole-body, original.

    Parameters
    ----------
    series
        All series of one study.
    folder
        How errors name the study.
    uid
        SeriesInstanceUID that the user wants.

    Returns
    -------
    tuple
        The series; why it was chosen and each other not, a sentence each; and a warning where nothing but its number
        speaks for it.

    Raises
    ------
    UsageError
        If `uid` is not the SeriesInstanceUID of a PET.
    NoPetError
        If no PET is usable; it says why.
    GeometryError
        If the only PET is an enhanced multi-frame one.
    """
    pets = [each for each in series if each.modality == "PT" and uid in (None, each.uid)]
    if uid is not None and not pets:
        known = ", ".join(each.uid for each in series if each.modality == "PT") or "none"
        raise UsageError(
            f"{uid} is the SeriesInstanceUID of no PET (there is {known})", where=folder, remedy="give one of these"
        )
    if not pets:
        held = ", ".join(sorted({each.modality for each in series})) or "nothing"
        raise NoPetError(
            f"no series of modality PT, only {held}", where=folder, remedy="add the PET images of the study"
        )
    reasons = {each.uid: why_unusable_pet(each) for each in pets}
    usable = [each for each in pets if not reasons[each.uid]]
    lost = [f"PET {each.title} not used: {reasons[each.uid]}." for each in pets if reasons[each.uid]]
    if not usable:
        raise _no_pet(pets, lost, folder)
    winner, losers, equals = _eliminate([_candidate(each) for each in usable], _PET_CRITERIA)
    why = _why(uid, len(usable), "usable PET")
    chosen = f"PET {winner.series.title}, {winner.slices} slices over {winner.extent_mm:.0f} mm: {why}."
    titles = " or ".join(f"PET {each.title}" for each in equals)
    arbitrary = f"PET {winner.series.title} is measured; as good a choice is {titles}, whose SUV may differ."
    return (
        winner.series,
        (chosen, *(f"PET {sentence}" for sentence in losers), *lost),
        (arbitrary,) if equals else (),
    )


def why_unusable_pet(series: Series) -> str:
    """Why SUV cannot be measured in a series of modality PT, as the end of a sentence; empty if it can."""
    header = series.instances[0].header
    sop_class = series.instances[0].sop_class_uid
    image_type = [part.upper() for part in values(header, "ImageType")]
    corrected = {part.upper() for instance in series.instances for part in values(instance.header, "CorrectedImage")}
    method = text(header, "AttenuationCorrectionMethod").upper()
    stated = corrected or method in ("", "NONE")
    no_slices = [word for word in NO_VOLUME_IMAGE_TYPES if word in image_type]
    if sop_class in ENHANCED_PET:
        return "it is an enhanced multi-frame PET"
    if sop_class != PET_IMAGE_STORAGE:
        return f"its SOP class {sop_class} is not PET Image Storage"
    if no_slices:
        return f"its ImageType says {no_slices[0]}"
    if "REPROJECTION" in (part.upper() for part in values(header, "SeriesType")):
        return "its SeriesType says REPROJECTION"
    if stated and "ATTN" not in corrected:
        return "it is not attenuation-corrected (no ATTN in CorrectedImage)"
    if stated and "DECY" not in corrected and text(header, "DecayCorrection").upper() != "NONE":
        return "it is not decay-corrected (no DECY in CorrectedImage)"
    if not any(instance.has_geometry for instance in series.instances):
        damage = next((instance.damage for instance in series.instances if instance.damage), "")
        return f"its files are damaged ({damage})" if damage else "its images have no position in the patient"
    return ""


def choose_ct(
    series: Sequence[Series], pet: Stack, folder: Path, uid: str | None = None
) -> tuple[Stack | None, tuple[str, ...]]:
    """Choose the CT that was made with a PET: same frame of reference, most of the PET covered, finest.

    Parameters
    ----------
    series
        All series of the PET's study.
    pet
        The PET.
    folder
        How errors name the study.
    uid
        SeriesInstanceUID that the user wants.

    Returns
    -------
    tuple
        The slices, or None where no CT fits; and why, a sentence each.

    Raises
    ------
    UsageError
        If `uid` is not the SeriesInstanceUID of a CT, or of one that does not fit.
    """
    cts = [each for each in series if each.modality == "CT" and uid in (None, each.uid)]
    stacks: dict[str, Stack] = {}
    lost: list[str] = []
    for each in cts:
        stack = _fitting_ct(each, pet)
        if isinstance(stack, str):
            lost.append(f"CT {each.title} not used: {stack}.")
        else:
            stacks[each.uid] = stack
    if not stacks:
        if uid is not None:
            raise UsageError(
                "".join(lost).rstrip(".") or f"{uid} is the SeriesInstanceUID of no CT of this study",
                where=folder,
                remedy="give another series, or none",
            )
        return None, (*lost, "No CT of this study fits the PET." if cts else "The study has no CT.")
    candidates = [_candidate(each) for each in cts if each.uid in stacks]
    winner, losers, _ = _eliminate(candidates, _ct_criteria(pet, stacks))
    stack = stacks[winner.series.uid]
    why = _why(uid, len(stacks), "fitting CT")
    covered = 100 * pet.grid.length_within(stack.grid)
    chosen = f"CT {winner.series.title}, covering {covered:.0f} % of the PET's length: {why}."
    return stack, (chosen, *(f"CT {sentence}" for sentence in losers), *lost)


def _why(asked_uid: str | None, count: int, what: str) -> str:
    if asked_uid is not None:
        return "as asked for"
    return f"the only {what}" if count == 1 else f"the best of {count} {what}s"


def _no_pet(pets: Sequence[Series], lost: Sequence[str], folder: Path) -> NoPetError | GeometryError:
    if any(each.instances[0].sop_class_uid in ENHANCED_PET for each in pets):
        return GeometryError(
            "the PET is enhanced multi-frame, which is not supported",
            where=folder,
            remedy="export it as classic single-frame PET images, or convert it (dcm4che's emf2sf, for instance)",
        )
    return NoPetError(
        f"no usable PET: {'; '.join(sentence.rstrip('.') for sentence in lost)}",
        where=folder,
        remedy="add the attenuation- and decay-corrected PET slices of the study",
    )


def _candidate(series: Series) -> _Candidate:
    located = [instance for instance in series.instances if instance.has_geometry]
    directions = np.array(located[0].orientation)
    normal = np.cross(directions[:3], directions[3:])
    along = np.sort([np.dot(instance.position, normal) for instance in located])
    steps = np.diff(along)
    places = 1 + int(np.count_nonzero(steps > SAME_POSITION_MM))
    spacing = float(np.median(steps[steps > SAME_POSITION_MM])) if places > 1 else 0.0
    kind = values(located[0].header, "SeriesType")
    static = places == len(located) and not (kind and kind[0].upper() in ("DYNAMIC", "GATED"))
    return _Candidate(series, places, float(along[-1] - along[0]) + spacing, static)


def _eliminate(
    candidates: Sequence[_Candidate], criteria: Sequence[_Criterion]
) -> tuple[_Candidate, list[str], list[Series]]:
    """Winner; why each other is out, in order of the criteria; and those that no criterion tells from the winner."""
    remaining = sorted(candidates, key=lambda candidate: (candidate.number, candidate.series.uid))
    lost: list[str] = []
    for criterion in criteria:
        scores = [criterion.score(candidate, remaining) for candidate in remaining]
        best = max(scores)
        out = [candidate for candidate, score in zip(remaining, scores, strict=True) if score < best]
        lost += [f"{candidate.series.title} not used: {criterion.lost(candidate)}." for candidate in out]
        remaining = [candidate for candidate in remaining if candidate not in out]
    winner, *equals = remaining
    lost += [f"{other.series.title} not used: as good, but listed later." for other in equals]
    return winner, lost, [other.series for other in equals]


def _covers(candidate: _Candidate, remaining: Sequence[_Candidate]) -> float:
    return float(candidate.extent_mm >= SAME_COVERAGE * max(other.extent_mm for other in remaining))


_PET_CRITERIA = (
    _Criterion(
        lambda candidate, _: float(text(candidate.series.instances[0].header, "Units").upper() not in NO_SUV_UNITS),
        lambda candidate: f"its Units {text(candidate.series.instances[0].header, 'Units')} lead to no SUV",
    ),
    _Criterion(
        lambda candidate, _: float(candidate.static), lambda _: "it is dynamic or gated, and a static one exists"
    ),
    _Criterion(_covers, lambda candidate: f"it covers {candidate.extent_mm:.0f} mm only"),
    _Criterion(
        lambda candidate, _: float(candidate.image_type(0) != "DERIVED"), lambda _: "it is derived, not original"
    ),
    _Criterion(
        lambda candidate, _: float(candidate.image_type(1) != "SECONDARY"), lambda _: "it is secondary, not primary"
    ),
    _Criterion(
        lambda candidate, _: round(candidate.extent_mm),
        lambda candidate: f"it covers {candidate.extent_mm:.0f} mm only",
    ),
    _Criterion(lambda candidate, _: candidate.slices, lambda candidate: f"it has {candidate.slices} slices only"),
)


def _fitting_ct(series: Series, pet: Stack) -> Stack | str:
    """Slices of a CT, or why it does not fit, as the end of a sentence."""
    first = series.instances[0]
    reference = text(pet.instances[0].header, "FrameOfReferenceUID")
    if first.sop_class_uid != CT_IMAGE_STORAGE:
        return f"its SOP class {first.sop_class_uid} is not CT Image Storage"
    image_type = [part.upper() for part in values(first.header, "ImageType")]
    if any(word in image_type for word in NO_VOLUME_IMAGE_TYPES):
        return f"its ImageType is {'/'.join(image_type)}"
    if not reference or text(first.header, "FrameOfReferenceUID") != reference:
        return "its FrameOfReferenceUID is not that of the PET"
    try:
        stack = stack_slices(series.instances, series.title)
    except GeometryError as error:
        return error.what
    return stack if pet.grid.length_within(stack.grid) > 0 else "it does not overlap the PET"


def _ct_criteria(pet: Stack, stacks: dict[str, Stack]) -> tuple[_Criterion, ...]:
    def overlap(candidate: _Candidate) -> float:
        return pet.grid.length_within(stacks[candidate.series.uid].grid)

    def covers(candidate: _Candidate, remaining: Sequence[_Candidate]) -> float:
        return float(overlap(candidate) >= SAME_COVERAGE * max(overlap(other) for other in remaining))

    def fineness(candidate: _Candidate, _: Sequence[_Candidate]) -> float:
        return -round(stacks[candidate.series.uid].grid.spacing_mm[0], 2)

    return (
        _Criterion(covers, lambda candidate: f"it covers {100 * overlap(candidate):.0f} % of the PET's length only"),
        _Criterion(lambda candidate, _: float(candidate.image_type(0) != "DERIVED"), lambda _: "it is derived"),
        _Criterion(fineness, lambda candidate: f"its slices are {-fineness(candidate, ()):g} mm apart"),
        _Criterion(lambda candidate, _: candidate.slices, lambda candidate: f"it has {candidate.slices} slices only"),
    )
