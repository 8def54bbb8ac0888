"""Figures of an evaluation as PNG: precision-recall curve, Bland-Altman plots, agreement of patients and ratings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from petlesion.errors import OutputError, reason
from petlesion.evaluate.agreement import agreement
from petlesion.evaluate.figures import lesion_average_precision
from petlesion.evaluate.lesions import precision_recall
from petlesion.evaluate.patients import PatientRow
from petlesion.evaluate.rating import Rating

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRECISION_RECALL, BLAND_ALTMAN, AGREEMENT = "precision_recall.png", "bland_altman.png", "agreement.png"
BLUE, VERMILION = "#0072B2", "#D55E00"
"""Of the palette of Okabe and Ito (2008), told apart by people with any colour vision."""
_DPI = 150


def write_plots(rows: Sequence[PatientRow], folder: Path, other: Sequence[PatientRow] | None = None) -> list[Path]:
    """Draw what the rows allow.

    Parameters
    ----------
    rows
        Of the method.
    folder
        Created where missing; files of the same names are replaced.
    other
        Rows of a second method on the same cases: its curve is added, and ratings are set against each other.

    Returns
    -------
    list of Path
        `agreement.png` always; `bland_altman.png` with two patients or more; `precision_recall.png` where there are
        true lesions and every prediction has a confidence.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    figures: dict[str, Figure] = {AGREEMENT: _agreement_figure(rows, other)}
    if len(rows) > 1:
        figures[BLAND_ALTMAN] = _bland_altman_figure(rows)
    if np.isfinite(lesion_average_precision(rows)):
        figures[PRECISION_RECALL] = _precision_recall_figure(rows, other)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=_DPI)
    except OSError as error:
        raise OutputError(
            f"plots cannot be written ({reason(error)})", where=folder, remedy="give a writable folder"
        ) from error
    return [folder / name for name in figures]


def _new(columns: int) -> tuple[Figure, list[Axes]]:
    """A figure with square axes side by side, without the global state of pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * columns, 4.2), layout="constrained")
    return figure, [figure.add_subplot(1, columns, n + 1) for n in range(columns)]


def _precision_recall_figure(rows: Sequence[PatientRow], other: Sequence[PatientRow] | None) -> Figure:
    figure, (axes,) = _new(1)
    for name, own, color in (("predicted", rows, BLUE), ("compared", other or (), VERMILION)):
        if not own or not np.isfinite(area := lesion_average_precision(own)):
            continue
        candidates = [candidate for row in own for candidate in row.candidates or ()]
        truth = sum(row.found + row.missed for row in own)
        recall, precision = precision_recall(
            [candidate.confidence for candidate in candidates], [candidate.correct for candidate in candidates], truth
        )
        # each precision holds for the recall gained with it, as the area is defined; nothing beyond the last
        first = precision[0] if len(precision) else 0.0
        axes.step([0.0, *recall], [first, *precision], where="pre", color=color, label=f"{name}, {area:.3f}")
    axes.set(xlabel="recall of lesions", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="lower left", title="area under the curve")
    return figure


def _bland_altman_figure(rows: Sequence[PatientRow]) -> Figure:
    volumes = [(row.voxels.predicted_ml, row.voxels.truth_ml) for row in rows]
    uptakes = [
        (row.predicted_uptake.tlu, row.true_uptake.tlu)
        for row in rows
        if row.predicted_uptake is not None and row.true_uptake is not None
    ]
    panels = [("total tumour volume, mL", volumes)]
    if len(uptakes) > 1:
        panels.append(("total lesion uptake, g", uptakes))
    figure, all_axes = _new(len(panels))
    for axes, (title, pairs) in zip(all_axes, panels, strict=True):
        found = agreement(*zip(*pairs, strict=True))
        measured, truth = np.array(pairs).T
        axes.scatter((measured + truth) / 2, measured - truth, s=18, color=BLUE, alpha=0.7, linewidths=0)
        axes.axhline(0, color="0.75", linewidth=0.8)
        for value, style, name in (
            (found.bias, "-", "bias"),
            (found.lower, "--", "-1.96 SD"),
            (found.upper, "--", "+1.96 SD"),
        ):
            axes.axhline(value, color=VERMILION, linestyle=style, label=f"{name} {value:.3g}")
        axes.set(title=title, xlabel="mean of predicted and true", ylabel="predicted - true")
        axes.legend(fontsize="small")
    return figure


def _agreement_figure(rows: Sequence[PatientRow], other: Sequence[PatientRow] | None) -> Figure:
    figure, (patients, ratings) = _new(2)
    _matrix(
        patients,
        rows,
        rows,
        (lambda row: int(row.voxels.truth_ml > 0), lambda row: int(row.voxels.predicted_ml > 0)),
        ("none", "lesions"),
    )
    patients.set(title="patients", ylabel="truth", xlabel="predicted")
    if other is not None:
        _matrix(
            ratings,
            other,
            rows,
            (lambda row: int(row.rating) - 1, lambda row: int(row.rating) - 1),
            tuple(str(int(rating)) for rating in Rating),
        )
        ratings.set(title="rating (1 perfect, 5 non-usable)", ylabel="compared", xlabel="predicted")
        return figure
    counts = [sum(row.rating is rating for row in rows) for rating in Rating]
    bars = ratings.bar([str(int(rating)) for rating in Rating], counts, color=BLUE)
    ratings.bar_label(bars)
    ratings.set(title="rating (1 perfect, 5 non-usable)", ylabel="patients")
    return figure


def _matrix(
    axes: Axes,
    first: Sequence[PatientRow],
    second: Sequence[PatientRow],
    classify: tuple[Callable[[PatientRow], int], Callable[[PatientRow], int]],
    names: tuple[str, ...],
) -> None:
    """How many patients fall into each pair of classes; rows of the matrix are of `first`."""
    counts = np.zeros((len(names), len(names)), dtype=int)
    for one, two in zip(first, second, strict=True):
        counts[classify[0](one), classify[1](two)] += 1
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, counts.max() * 1.4))
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center", color="black")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
