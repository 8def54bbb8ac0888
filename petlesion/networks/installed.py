"""Where models are that come with the product, or that a site has put into service since."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from petlesion.data_files import places
from petlesion.errors import ModelError

MODELS_VARIABLE: Final = "PETLESION_MODELS"
"""Environment variable that names a folder with a folder a model, instead of the places below."""
_PLACES: Final = places("apps/petlesion/model", "model")
"""The annotation server's models where the package lies in its repository; else what its wheel brought along."""


def models_folder() -> Path:
    """Folder with a folder a model: the one the environment names, else the first place that exists."""
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(named)
    return next((place for place in _PLACES if place.is_dir()), _PLACES[0])


def verified_model(models: Path, name: str, expected_sha256: str | None = None) -> tuple[Path, str]:
    """The version in service of a model of some folder, and its identity, checked against all that is known of it.

    Parameters
    ----------
    models
        Folder with a folder a model: of a registry, or written by `petlesion export`.
    name
        Of the model.
    expected_sha256
        Identity that it must have. None: the one that `petlesion export` or the registry wrote beside it, if any.

    Raises
    ------
    ModelError
        If the model is missing or its identity is another.
    UsageError
        If `name` is none that a model can have.
    """
    from petlesion.networks.registry import Registry

    if not models.is_dir():
        raise ModelError("the folder of models does not exist", where=models, remedy="correct its name, or mount it")
    version = Registry.of(models, name).current()
    version.verify()
    if expected_sha256 is not None and version.sha256 != expected_sha256.lower():
        raise ModelError(
            f"model has SHA-256 {version.sha256}, not {expected_sha256}",
            where=version.folder,
            remedy="restore its files, or give the hash of this model if the change was meant",
        )
    return version.folder, version.sha256


def installed_model(name: str) -> Path | None:
    """Folder of the version in service of a model; None where there is none.

    Raises
    ------
    ModelError
        If the record of its versions is damaged.
    UsageError
        If `name` is none that a model can have.
    """
    from petlesion.networks.registry import Registry

    version = Registry.of(models_folder(), name).find_current()
    return None if version is None else version.folder
