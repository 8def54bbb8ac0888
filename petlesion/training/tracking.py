"""Curves for TensorBoard and MLflow, where they are wanted."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from petlesion.errors import UsageError
from petlesion.training.config import Tracking

Log = Callable[[int, Mapping[str, float]], None]
"""Called with a step and named numbers."""


def open_tracking(kinds: Iterable[Tracking], folder: Path, first_step: int) -> Log:
    """Start tracking. TensorBoard replaces what an interrupted run wrote from `first_step` on; MLflow begins a new run.

    Raises
    ------
    UsageError
        If the package is not installed.
    """
    logs = [_OPENERS[kind](folder, first_step) for kind in kinds]

    def log(step: int, values: Mapping[str, float]) -> None:
        for write in logs:
            write(step, values)

    return log


def _tensorboard(folder: Path, first_step: int) -> Log:
    _require("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def log(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log


def _mlflow(folder: Path, _first_step: int) -> Log:
    mlflow = _require("mlflow")
    mlflow.set_experiment("petlesion")
    mlflow.start_run(run_name=folder.name)

    def log(step: int, values: Mapping[str, float]) -> None:
        mlflow.log_metrics(dict(values), step=step)

    return log


_OPENERS: dict[Tracking, Callable[[Path, int], Log]] = {Tracking.TENSORBOARD: _tensorboard, Tracking.MLFLOW: _mlflow}


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(
            f"tracking needs {package}, which is not installed", remedy=f"pip install {package}, or leave it out"
        ) from error
