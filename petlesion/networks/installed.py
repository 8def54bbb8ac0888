"""Where models are that come with the product, or that a site has put into service since."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import petlesion

MODELS_VARIABLE: Final = "PETLESION_MODELS"
"""Environment variable that names a folder with a folder a model, instead of the places below."""
_PACKAGE: Final = Path(petlesion.__file__).parent
_PLACES: Final = (_PACKAGE.parent / "apps" / "petlesion" / "model", _PACKAGE / "models")
"""The annotation server's models where the package lies in its repository; what was installed with it elsewhere."""


def models_folder() -> Path:
    """Folder with a folder a model: the one the environment names, else the first place that exists."""
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(named)
    return next((place for place in _PLACES if place.is_dir()), _PLACES[0])


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
