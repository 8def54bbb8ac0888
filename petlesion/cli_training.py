"""Command line of training: `petlesion train`, `petlesion retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from petlesion import cli_options as option
from petlesion.console import display, print_table


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file; docs/how-to/train.md explains it.")],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that preprocess.")] = 1,
    _debug: option.Debug = False,
) -> None:
    """Train a network, or go on where an earlier run of the same configuration was interrupted.

    For example:
      petlesion train config.yaml --jobs 2
    """
    from petlesion.training.loop import Status
    from petlesion.training.processes import train_on_this_machine

    with display() as progress:
        progress.step("preprocess")
        trains = False

        def watch(status: Status) -> None:
            nonlocal trains
            if not trains or status.validation is not None:
                trains = True
                score = "" if status.best_score is None else f", best {status.best_score:.3f}"
                progress.step(f"train, loss {status.loss:.3f}{score}")
            progress.count(status.step, status.steps, status.seconds_left)

        model = train_on_this_machine(config, watch=watch, progress=progress.count, jobs=jobs)
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
