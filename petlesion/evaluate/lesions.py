"""Which predicted lesions are true, and how well they are found: F1 at any IoU rule, average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from petlesion.lesions import CONNECTIVITY


@dataclass(frozen=True)
class Match:
    """A predicted lesion and the true lesion it stands for, by label, with their overlap."""

    predicted: int
    truth: int
    iou: float
    dice: float


@dataclass(frozen=True)
class LesionMatching:
    """Who was found by whom, one to one.

    Attributes
    ----------
    matches
        True positives.
    missed
        Labels of true lesions without a match (false negatives).
    false
        Labels of predicted lesions without a match (false positives).
    """

    matches: tuple[Match, ...]
    missed: tuple[int, ...]
    false: tuple[int, ...]

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None when there is neither truth nor prediction."""
        total = 2 * len(self.matches) + len(self.false) + len(self.missed)
        return 2 * len(self.matches) / total if total else None

    @property
    def sensitivity(self) -> float | None:
        """TP / (TP + FN); None without truth."""
        total = len(self.matches) + len(self.missed)
        return len(self.matches) / total if total else None

    @property
    def ppv(self) -> float | None:
        """TP / (TP + FP); None without prediction."""
        total = len(self.matches) + len(self.false)
        return len(self.matches) / total if total else None


def as_instances(labels: NDArray[Any], *, numbered: bool = False) -> NDArray[np.int32]:
    """One integer a lesion: as the labels number them, or the 18-connected components where they have a single value.

    Parameters
    ----------
    labels
        (z, y, x) mask or label volume; what is not above 0 is background.
    numbered
        Whether a single value is known to be one lesion, too, which may be in several parts.
    """
    positive = labels > 0
    if numbered or len(np.unique(labels[positive])) > 1:
        return np.where(positive, labels, 0).astype(np.int32)
    components, _ = ndimage.label(positive, CONNECTIVITY)
    return np.asarray(components, dtype=np.int32)


def match_lesions(
    predicted: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    *,
    min_iou: float = 0.0,
    spare_overlapping: bool = False,
) -> LesionMatching:
    """Pair predicted with true lesions, one to one, so that the sum of IoU is largest.

    Parameters
    ----------
    predicted, truth
        (z, y, x) labels, one integer a lesion, 0 for background.
    min_iou
        A pair counts when its IoU is above this; 0 means that any common voxel counts.
    spare_overlapping
        Leave out of `false` a predicted lesion whose IoU with a true lesion is above `min_iou` though another
        prediction was matched to it. This is `allow_unmatched_candidates_with_minimal_overlap` of picai_eval.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction of shape {predicted.shape} against truth of shape {truth.shape}")
    predicted_ids, predicted_index, predicted_sizes = _sizes(predicted)
    truth_ids, truth_index, truth_sizes = _sizes(truth)
    common = _overlaps(predicted, truth, predicted_index, truth_index, (len(predicted_ids), len(truth_ids)))
    iou = common / np.maximum(predicted_sizes[:, None] + truth_sizes[None, :] - common, 1)
    allowed = iou > min_iou
    rows, columns = linear_sum_assignment(np.where(allowed, iou, 0.0), maximize=True)
    pairs = [(row, column) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]
    matches = tuple(
        Match(
            predicted=int(predicted_ids[row]),
            truth=int(truth_ids[column]),
            iou=float(iou[row, column]),
            dice=float(2 * common[row, column] / (predicted_sizes[row] + truth_sizes[column])),
        )
        for row, column in pairs
    )
    matched_rows, matched_columns = {row for row, _ in pairs}, {column for _, column in pairs}
    spared = set(np.flatnonzero(allowed.any(axis=1))) if spare_overlapping else set()
    return LesionMatching(
        matches=matches,
        missed=tuple(int(label) for i, label in enumerate(truth_ids) if i not in matched_columns),
        false=tuple(int(label) for i, label in enumerate(predicted_ids) if i not in matched_rows | spared),
    )


def average_precision(confidences: Sequence[float], correct: Sequence[bool], n_truth: int) -> float | None:
    """Area under the precision-recall curve over all candidates of a cohort.

    The curve ends at the highest recall that was reached: lesions without any candidate earn nothing. Appending them to
    the list with confidence 0, as is often done to use a classifier's metric, would credit them with the prevalence.

    Parameters
    ----------
    confidences
        Confidence of each candidate.
    correct
        Whether each candidate is a true positive.
    n_truth
        Number of true lesions, found or not.

    Returns
    -------
    float or None
        Sum over the distinct confidences, from high to low, of precision times the gain in recall; None without truth.
    """
    if not n_truth:
        return None
    recall, precision = precision_recall(confidences, correct, n_truth)
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def precision_recall(
    confidences: Sequence[float], correct: Sequence[bool], n_truth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision with all candidates of at least each distinct confidence, from high to low.

    Parameters as for `average_precision`, with one true lesion or more.
    """
    order = np.argsort(-np.asarray(confidences, dtype=np.float64), kind="stable")
    ranked = np.asarray(confidences, dtype=np.float64)[order]
    hits = np.cumsum(np.asarray(correct, dtype=bool)[order])
    last_of_tie = np.flatnonzero(np.diff(ranked, append=-np.inf) != 0)
    return hits[last_of_tie] / n_truth, hits[last_of_tie] / (last_of_tie + 1)


def _sizes(labels: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Labels that occur, a table from label to their position (-1: absent), and their sizes in voxels."""
    sizes = np.bincount(labels.ravel())
    sizes[:1] = 0
    ids = np.flatnonzero(sizes)
    index = np.full(sizes.size, -1, dtype=np.int64)
    index[ids] = np.arange(ids.size)
    return ids, index, sizes[ids]


def _overlaps(
    predicted: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    predicted_index: NDArray[np.int64],
    truth_index: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.int64]:
    """(predicted, truth) numbers of common voxels."""
    both = (predicted > 0) & (truth > 0)
    flat = predicted_index[predicted[both]] * max(shape[1], 1) + truth_index[truth[both]]
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
