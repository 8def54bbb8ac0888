"""The five-point rating that a physician gave to predictions of S2 (Carlsen et al., 2022), computed from the truth."""

from __future__ import annotations

from enum import IntEnum

from petlesion.evaluate.lesions import LesionMatching


class Rating(IntEnum):
    """How much work a prediction leaves to the physician."""

    PERFECT = 1
    MINOR_OPTIMAL = 2
    MINOR_ACCEPTABLE = 3
    MAJOR_ACCEPTABLE = 4
    NON_USABLE = 5


PERFECT_IOU = 0.8
"""A matched lesion counts as drawn right from this IoU on; the paper's reader judged that by eye."""


def rate(matching: LesionMatching) -> Rating:
    """Rate one patient's prediction.

    Parameters
    ----------
    matching
        Predicted against true lesions, any overlap counting as found.

    Returns
    -------
    Rating
        1: no false positive, no false negative, every lesion drawn right; 2: all lesions found, only parts of a lesion
        wrong; 3: at most 3 missing and 2 false; 4: at most 6 missing and 4 false; 5: 7 or more missing, none found of
        those present, or 5 or more false.
    """
    missing, false = len(matching.missed), len(matching.false)
    none_found = missing > 0 and not matching.matches
    if missing >= 7 or false >= 5 or none_found:
        return Rating.NON_USABLE
    if missing > 3 or false > 2:
        return Rating.MAJOR_ACCEPTABLE
    if missing or false:
        return Rating.MINOR_ACCEPTABLE
    exact = all(match.iou >= PERFECT_IOU for match in matching.matches)
    return Rating.PERFECT if exact else Rating.MINOR_OPTIMAL
