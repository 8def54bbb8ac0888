"""Command line of training and evaluation: `petlesion train`, `petlesion retrain`, `petlesion evaluate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petlesion import cli_options as option
from petlesion.console import display, print_table

if TYPE_CHECKING:
    from petlesion.evaluate.cohort import CohortTable


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file; docs/how-to/train.md explains it.")],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that preprocess.")] = 1,
    _debug: option.Debug = False,
) -> None:
    """Train a network, or go on where an earlier run of the same configuration was interrupted.

    For example:
      petlesion train config.yaml --jobs 2
    """
    from petlesion.training.loop import Status, train

    with display() as progress:
        progress.step("preprocess")

        def watch(status: Status) -> None:
            if status.step == 1 or status.validation is not None:
                score = "" if status.best_score is None else f", best {status.best_score:.3f}"
                progress.step(f"train, loss {status.loss:.3f}{score}")
            progress.count(status.step, status.steps, status.seconds_left)

        model = train(config, watch=watch, progress=progress.count, jobs=jobs)
    print_table([("model", str(model))], [])


def retrain(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder with retrain.yaml; docs/how-to/own-the-model.md explains it.")
    ],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that preprocess.")] = 1,
    _debug: option.Debug = False,
) -> None:
    """Retrain a model on new labels, judge it, and put it into service if it is better.

    Interrupted, the same command goes on where it was.

    For example:
      petlesion retrain runs/2026-11
    """
    from petlesion.training.retrain import RetrainStatus, retrain

    with display() as progress:
        progress.step("prepare")
        shown = ""

        def watch(status: RetrainStatus) -> None:
            nonlocal shown
            if status.stage != shown:
                progress.step(status.stage)
                shown = status.stage
            if status.total:
                progress.count(status.done, status.total)

        status = retrain(run, watch=watch, jobs=jobs)
    version = "none" if status.version is None else f"v{status.version:04d}"
    print_table([("result", status.stage), ("version", version), ("verdict", status.message)], [])


def evaluate(
    predictions: Annotated[Path, typer.Option("--pred", metavar="DIR", help="Predicted masks, NIfTI or DICOM SEG.")],
    truth: Annotated[Path, typer.Option("--truth", metavar="DIR", help="True masks of the same names.")],
    min_iou: Annotated[float, typer.Option(min=0, max=1, help="A lesion is found when its IoU is above.")] = 0.0,
    tolerance: Annotated[float, typer.Option(metavar="MM", min=0, help="Of the surface Dice.")] = 0.0,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Compare predicted masks with their truth: voxels, lesions, patients, with intervals.

    For example:
      petlesion evaluate --pred RESULTS --truth COHORT --min-iou 0.1
    """
    from petlesion.evaluate.cohort import Rules, evaluate_folders

    with display() as progress:
        progress.step("evaluate")
        table = evaluate_folders(predictions, truth, Rules(min_iou=min_iou, surface_tolerance_mm=tolerance))
    if as_json:
        print(json.dumps(asdict(table), indent=2))
    else:
        _print(table)


def _print(table: CohortTable) -> None:
    rows = [("patients", str(len(table.rows)))]
    for name, figure in table.figures.items():
        rows.append((name, f"{figure.estimate:.3f} ({figure.lower:.3f} to {figure.upper:.3f})"))
    if table.average_precision is not None:
        rows.append(("average precision", f"{table.average_precision:.3f}"))
    for name, agreement in (("TTV, mL", table.ttv), ("TLU, g", table.tlu)):
        if agreement is not None:
            limits = f"{agreement.lower:.2f} to {agreement.upper:.2f}"
            rows.append((f"bias of {name}", f"{agreement.bias:.2f} (limits of agreement {limits})"))
    rows.append(("rating", ", ".join(f"{rating}: {count}" for rating, count in sorted(table.ratings.items()))))
    print_table(rows, [])
