"""Plots are drawn from the rows, and only those that the rows allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from petlesion.errors import OutputError
from petlesion.evaluate import plots
from petlesion.evaluate.patients import Candidate, PatientRow, Uptake
from petlesion.evaluate.rating import Rating
from petlesion.evaluate.voxels import voxel_scores


def row(predicted: int, truth: int, rating: Rating = Rating.PERFECT) -> PatientRow:
    line = np.arange(10).reshape(1, 1, 10)
    return PatientRow(
        case=f"{predicted}-{truth}",
        patient=f"{predicted}-{truth}",
        tracer=None,
        voxels=voxel_scores(line < predicted, line < truth, 1.0),
        surface_dice=None,
        found=2,
        missed=1,
        false=1,
        lesion_f1=None,
        rating=rating,
        predicted_uptake=Uptake(2.0, 2.0 * predicted),
        true_uptake=Uptake(2.0, 2.0 * truth),
        candidates=(Candidate(0.9, True), Candidate(0.8, True), Candidate(0.7, False)),
    )


ROWS = [row(5, 4), row(0, 0), row(3, 0, Rating.NON_USABLE), row(0, 6, Rating.NON_USABLE)]


def test_curve_ends_at_the_recall_that_was_reached() -> None:
    axes = plots._precision_recall_figure(ROWS[:1], None).axes[0]
    recall, precision = axes.lines[0].get_data()
    assert recall == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert precision == pytest.approx([1, 1, 1, 2 / 3])
    assert axes.lines[0].get_label() == "predicted, 0.667"


def test_method_that_finds_nothing_has_a_curve_without_area() -> None:
    axes = plots._precision_recall_figure([replace(ROWS[0], candidates=())], None).axes[0]
    assert axes.lines[0].get_label() == "predicted, 0.000"


def test_differences_against_means_with_bias_and_limits() -> None:
    figure = plots._bland_altman_figure(ROWS)
    volume, uptake = figure.axes
    assert volume.collections[0].get_offsets().tolist() == [[4.5, 1.0], [0.0, 0.0], [1.5, 3.0], [3.0, -6.0]]
    assert uptake.collections[0].get_offsets().tolist() == [[9.0, 2.0], [0.0, 0.0], [3.0, 6.0], [6.0, -12.0]]
    heights = [line.get_ydata()[0] for line in volume.lines]
    spread = 1.96 * np.std([1, 0, 3, -6], ddof=1)
    assert heights == pytest.approx([0, -0.5, -0.5 - spread, -0.5 + spread])


def test_patients_and_ratings_are_counted() -> None:
    patients, ratings = plots._agreement_figure(ROWS, None).axes
    assert [text.get_text() for text in patients.texts] == ["1", "1", "1", "1"]
    assert [bar.get_height() for bar in ratings.patches] == [2, 0, 0, 0, 2]
    other = [replace(r, rating=Rating.MAJOR_ACCEPTABLE) for r in ROWS]
    _, matrix = plots._agreement_figure(ROWS, other).axes
    counts = np.array([int(text.get_text()) for text in matrix.texts]).reshape(5, 5)
    assert counts[3].tolist() == [2, 0, 0, 0, 2]
    assert counts.sum() == 4


def test_only_what_the_rows_allow_is_written(tmp_path: Path) -> None:
    every = plots.write_plots(ROWS, tmp_path / "all")
    assert {path.name for path in every} == {plots.AGREEMENT, plots.BLAND_ALTMAN, plots.PRECISION_RECALL}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in every)
    few = plots.write_plots([replace(ROWS[0], candidates=None)], tmp_path / "few")
    assert [path.name for path in few] == [plots.AGREEMENT]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        plots.write_plots(ROWS, tmp_path / "file")
