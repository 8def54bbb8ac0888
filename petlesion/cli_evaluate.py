"""Command line of evaluation: `petlesion evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petlesion import cli_options as option
from petlesion.console import display, print_rows, print_table

if TYPE_CHECKING:
    from petlesion.evaluate.agreement import Agreement
    from petlesion.evaluate.cohort import CohortTable
    from petlesion.evaluate.comparison import Difference
    from petlesion.evaluate.resampling import Interval


def evaluate(
    predictions: Annotated[Path, typer.Option("--pred", metavar="DIR", help="Predicted masks, NIfTI or DICOM SEG.")],
    truth: Annotated[Path, typer.Option("--truth", metavar="DIR", help="True masks of the same names.")],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="DIR", help="Masks of another method: paired differences.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Draw curves and agreement here.")
    ] = None,
    min_iou: Annotated[float, typer.Option(min=0, max=1, help="A lesion is found when its IoU is above.")] = 0.0,
    tolerance: Annotated[float, typer.Option(metavar="MM", min=0, help="Of the surface Dice.")] = 0.0,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Compare predicted masks with their truth: voxels, lesions, patients, with intervals.

    For example:
      petlesion evaluate --pred RESULTS --truth COHORT --min-iou 0.1
      petlesion evaluate --pred UNET --against PERCIST --truth COHORT --plots FIGURES
    """
    from petlesion.evaluate.cohort import by_tracer, evaluate_folders, tabulate, without_confidence
    from petlesion.evaluate.comparison import compare
    from petlesion.evaluate.patients import Rules

    rules = Rules(min_iou=min_iou, surface_tolerance_mm=tolerance)
    with display() as progress:
        progress.step("evaluate")
        rows = evaluate_folders(predictions, truth, rules, progress.count)
        other = None
        if against is not None:
            progress.step("evaluate the other method")
            other = evaluate_folders(against, truth, rules, progress.count)
        progress.step("resample patients")
        table, tracers = tabulate(rows, rules), by_tracer(rows, rules)
        differences = {} if other is None else compare(rows, other)
        drawn: list[Path] = []
        if plots is not None:
            from petlesion.evaluate.plots import write_plots

            progress.step("draw")
            drawn = write_plots(rows, plots, other)
    if as_json:
        document: dict[str, Any] = asdict(table)
        document["by_tracer"] = {name: _without_rows(own) for name, own in tracers.items()}
        document["against"] = {name: asdict(difference) for name, difference in differences.items()}
        document["plots"] = [str(path) for path in drawn]
        print(json.dumps(document, indent=2, allow_nan=False))
        return
    notes = [*table.notes, *(f"--against: {note}" for note in without_confidence(other or ()))]
    notes += [f"drawn: {', '.join(path.name for path in drawn)}"] if drawn else []
    print_table(_summary(table), notes)
    if tracers:
        _print_tracers(tracers)
    if differences:
        _print_differences(differences)


def _without_rows(table: CohortTable) -> dict[str, Any]:
    document = asdict(table)
    document["patients"] = len({row["patient"] for row in document.pop("rows")})
    return document


def _summary(table: CohortTable) -> list[tuple[str, str]]:
    rows = [("patients", _patients(table))]
    rows += [(name, _shown(figure)) for name, figure in table.figures.items()]
    rows += _agreement("TTV, mL", table.ttv) + _agreement("TLU, g", table.tlu)
    rows.append(("rating", ", ".join(f"{rating}: {count}" for rating, count in sorted(table.ratings.items()))))
    return rows


def _patients(table: CohortTable) -> str:
    patients, cases = len({row.patient for row in table.rows}), len(table.rows)
    return str(patients) if patients == cases else f"{patients}, with {cases} cases"


def _agreement(name: str, found: Agreement | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    correlations = [
        f"{kind} {value:.3f}"
        for kind, value in (("Pearson", found.pearson), ("Lin", found.concordance))
        if value is not None
    ]
    limits = f"bias {found.bias:.2f}, limits of agreement {found.lower:.2f} to {found.upper:.2f}"
    return [(name, ", ".join([limits, *correlations]))]


def _print_tracers(tracers: Mapping[str, CohortTable]) -> None:
    names = list(dict.fromkeys(name for table in tracers.values() for name in table.figures))
    rows = [["patients", *map(_patients, tracers.values())]]
    for name in names:
        cells = [_shown(table.figures[name]) if name in table.figures else "-" for table in tracers.values()]
        rows.append([name, *cells])
    print_rows(["", *tracers], rows)


def _print_differences(differences: Mapping[str, Difference]) -> None:
    rows = [
        [
            name,
            f"{found.first:.3f}",
            f"{found.second:.3f}",
            _shown(found.difference),
            f"{found.p_value:.4f}",
            f"{found.adjusted_p_value:.4f}",
        ]
        for name, found in differences.items()
    ]
    print_rows(["paired", "--pred", "--against", "difference", "p", f"p × {len(rows)}"], rows)


def _shown(figure: Interval) -> str:
    return f"{figure.estimate:.3f} ({figure.lower:.3f} to {figure.upper:.3f})"
