"""Settings of retraining, from `--conf` and a file of the model's owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from petlesion.errors import UsageError
from petlesion.training.retrain_config import read_server_options

RETRAIN_AFTER = 5
"""New final labels that start a retraining by default."""


@dataclass(frozen=True)
class RetrainingSettings:
    """How to retrain.

    Attributes
    ----------
    folder
        Of the rounds.
    after
        New final labels that start a retraining; 0 never starts one.
    score_cases
        Most unlabelled cases whose entropy is computed after a new version went into service.
    options
        Keys of `petlesion.training.retrain_config`.
    options_file
        Where they were read; paths in them are relative to it.
    """

    folder: Path
    after: int = RETRAIN_AFTER
    score_cases: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)
    options_file: Path | None = None


def retraining_settings(conf: Mapping[str, str], labels: Path, models: Path) -> RetrainingSettings:
    """Read the settings.

    Parameters
    ----------
    conf
        `--conf` options, all optional:

        - `retrain_after`: new final labels that start a retraining (5; 0: never).
        - `retrain_config`: YAML file with further options, see docs/how-to/own-the-model.md.
        - `retraining`: folder of the rounds. Default: beside the folder of labels.
        - `score_cases`: unlabelled cases to score after publishing (20; 0: none).
    labels
        Folder of the label store.
    models
        Folder of models.

    Raises
    ------
    UsageError
        If an option has no such value, or the file is not valid.
    """
    given = conf.get("retrain_config")
    path = None if not given else Path(given).resolve()
    return RetrainingSettings(
        folder=Path(conf.get("retraining") or labels.with_name(f"{labels.name}-work") / "retraining"),
        after=_count(conf, "retrain_after", RETRAIN_AFTER),
        score_cases=_count(conf, "score_cases", 20),
        options={} if path is None else read_server_options(path, models),
        options_file=path,
    )


def _count(conf: Mapping[str, str], name: str, default: int) -> int:
    text = conf.get(name, str(default))
    if not text.isdigit() or len(text) > 6:
        raise UsageError(f"{name} is {text[:40]!r}", remedy="give a whole number from 0 on")
    return int(text)
