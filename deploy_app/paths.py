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


@dataclass(frozen=True)
class Paths:
    """Where a run reads and writes."""

    input: Path
    output: Path
    models: Path

    def arguments(self) -> list[str]:
        """The same folders as a command line."""
        return ["-i", str(self.input), "-o", str(self.output), "-m", str(self.models)]


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


def _models() -> Path:
    """Folder of models where no option names one.

    The variable of petlesion wins over that of the MAP specification, because the image sets the latter for everybody.
    """
    if not os.environ.get(MODELS_VARIABLE):
        named = Path(os.environ.get(MODEL_PATH) or "models")
        if os.environ.get(MODEL_PATH) or named.is_dir():
            return named
    return models_folder()


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
