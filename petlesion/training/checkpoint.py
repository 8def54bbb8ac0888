"""Checkpoints that are complete or absent, whenever the process is killed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from petlesion.errors import OutputError, UsageError, reason

FILE: Final = "checkpoint.pt"


@dataclass(eq=False)
class Progressed:
    """State of a run between two steps; with recipe, data and seed it decides everything that follows.

    Random numbers are no part of it: patches and their variation follow from the seed and the number of the step.

    Attributes
    ----------
    recipe, data, parent
        Identity of configuration, data, and the model that training starts from ("" for random weights).
    step
        Next step.
    seconds
        Time spent so far.
    network, optimiser
        State dictionaries after the last step.
    average
        State dictionary of the averaged network; empty unless weights are averaged.
    best, best_step
        State dictionary of the network that becomes the model, and its step.
    best_score, stale
        Of the best validation so far, and how many followed without improvement.
    history
        A row a validation.
    """

    recipe: str
    data: str
    parent: str = ""
    step: int = 0
    seconds: float = 0.0
    network: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    best_score: float | None = None
    best_step: int = 0
    stale: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save(state: Progressed, folder: Path) -> None:
    """Write the checkpoint beside the old one, and replace that once everything is on the disk.

    Raises
    ------
    OutputError
        If it cannot be written; the old one then stands.
    """
    import torch

    partial = folder / f".{FILE}.partial"
    try:
        with partial.open("wb") as stream:
            torch.save({name: getattr(state, name) for name in Progressed.__dataclass_fields__}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(folder / FILE)
    except OSError as error:
        raise OutputError(
            f"checkpoint cannot be written ({reason(error)})", where=folder, remedy="make room; then resume"
        ) from error


def resume(folder: Path, recipe: str, data: str, parent: str = "") -> Progressed:
    """State to go on from; that of a new run where there is no checkpoint.

    Raises
    ------
    UsageError
        If the checkpoint is of another recipe, other data or another parent, or cannot be read.
    """
    import torch

    path = folder / FILE
    if not path.is_file():
        return Progressed(recipe, data, parent)
    try:
        state = Progressed(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # what torch raises over a damaged file depends on where it is damaged
        raise UsageError("checkpoint cannot be read", where=path, remedy="remove it to start again") from error
    wanted = Progressed(recipe, data, parent)
    for what, name in (("another recipe", "recipe"), ("other data", "data"), ("another parent model", "parent")):
        if getattr(state, name) != getattr(wanted, name):
            raise UsageError(
                f"checkpoint belongs to {what}", where=path, remedy="give another out: folder, or remove the checkpoint"
            )
    return state
