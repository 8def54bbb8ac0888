"""Where the files of the viewer are: OHIF, which `make viewer` fetches, and our extension, which the package brings."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from petlesion.data_files import places

VARIABLE = "PETLESION_OHIF"
"""Environment variable: the folder that `make viewer` wrote, where it is not found by itself."""
PAGE = "pet-lesions"
"""Path of the mode's page."""


def ohif_folder() -> Path | None:
    """The OHIF distribution: where the variable says, in the working tree, or beside the installed package's data.

    Returns
    -------
    Path or None
        None where there is none: `make viewer` has not been run.
    """
    named = os.environ.get(VARIABLE)
    candidates = (Path(named),) if named else places("build/ohif", "ohif")
    return next((folder.resolve() for folder in candidates if (folder / "index.html").is_file()), None)


def extension_folder() -> Path:
    """Extension, mode and settings of OHIF, built from `viewer/`."""
    return Path(str(files("petlesion.server").joinpath("viewer")))
