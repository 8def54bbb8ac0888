"""Which patients train and which validate: decided by a hash of the patient's id, once and for all."""

from __future__ import annotations

import hashlib

from petlesion.training.config import SplitConfig


def position(patient_id: str) -> float:
    """Place of a patient in [0, 1), uniform over patients, the same on every machine and in every run.

    Examples
    --------
    >>> 0 <= position("patient 1") < 1
    True
    >>> position("patient 1") == position("patient 2")
    False
    """
    digest = hashlib.sha256(b"petlesion split\0" + patient_id.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def validates(patient_id: str, split: SplitConfig) -> bool:
    """Whether a patient validates.

    Every scan of a patient falls on the same side, and new patients move no one: a case that trained once never
    becomes validation later. A larger validation share keeps all who validated before.
    """
    place = position(patient_id)
    if split.fold is None:
        return place < split.validation
    return int(place * split.folds) == split.fold
