"""Folders of a run: `-i`, `-o`, `-m`, else the environment variables of the MAP specification, else its defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from petlesion.errors import UsageError
from petlesion.networks.installed import MODELS_VARIABLE, models_folder

MODEL_PATH: Final = "HOLOSCAN_MODEL_PATH"
"""Environment variable of the MAP specification that names the folder of models."""
MODELS: Final = "/opt/holoscan/models"
"""The one that images name, also those that hold no model."""


@dataclass(frozen=True)
class Paths:
    """Where a run reads and writes; `models` is None where nobody named a folder of models and none is installed."""

    input: Path
    output: Path
    models: Path | None

    def arguments(self) -> list[str]:
        """The same folders as a command line."""
        models = [] if self.models is None else ["-m", str(self.models)]
        return ["-i", str(self.input), "-o", str(self.output), *models]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what, _, given = message.partition(":")  # such as the name of a folder, which is not for the log
        raise UsageError(
            f"wrong command line, {what}", where=given.strip() or None, remedy="see python deploy_app --help"
        )


def add_path_options(parser: argparse.ArgumentParser) -> None:
    """Add `-i`, `-o` and `-m` to a command line."""
    for flag, name, variable, default, what in (
        ("-i", "--input", "HOLOSCAN_INPUT_PATH", "input", "DICOM files of one or more studies, nested and mixed"),
        ("-o", "--output", "HOLOSCAN_OUTPUT_PATH", "output", "results; must not hold those of an earlier run"),
    ):
        parser.add_argument(
            flag,
            name,
            type=Path,
            metavar="FOLDER",
            default=Path(os.environ.get(variable) or default),
            help=f"{what} (environment: {variable}; default: {default})",
        )
    parser.add_argument(
        "-m",
        "--model",
        type=Path,
        metavar="FOLDER",
        default=_models(),
        help="a folder a model, as petlesion export writes it; only for methods that need one (environment: "
        f"{MODELS_VARIABLE}, else {MODEL_PATH}; default: models, else the installed models)",
    )


def _models() -> Path | None:
    """Folder of models where no option names one: that of the environment, there or not, else one that is there.

    The variable of petlesion wins over that of the MAP specification, because the image sets the latter for everybody:
    where the image holds no such folder, nobody named it.
    """
    named = os.environ.get(MODELS_VARIABLE) or os.environ.get(MODEL_PATH)
    if named and (Path(named) != Path(MODELS) or Path(MODELS).exists()):
        return Path(named)
    return next((folder for folder in (Path("models"), models_folder()) if folder.is_dir()), None)


def new_parser(description: str) -> argparse.ArgumentParser:
    """A parser whose errors are `UsageError`."""
    return _Parser(prog="python deploy_app", description=description)


def parse_paths(arguments: Sequence[str]) -> Paths:
    """Read folders from a command line that holds nothing else.

    Raises
    ------
    UsageError
        If an option is unknown.
    """
    parser = new_parser("Run the graph.")
    add_path_options(parser)
    given = parser.parse_args(arguments)
    return Paths(given.input, given.output, given.model)
