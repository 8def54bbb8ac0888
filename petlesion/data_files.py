"""Where files of the product lie that are no part of the package: the annotation app, models, the viewer."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import petlesion


def places(in_repository: str, installed: str) -> tuple[Path, Path]:
    """Where a folder may be: in the repository around the package, or where pip puts the data of a wheel.

    The latter is not below `sys.prefix` everywhere: Debian's Python, which is in `/usr`, installs to `/usr/local`.

    Parameters
    ----------
    in_repository
        Path from the root of the repository.
    installed
        Path below `share/petlesion`.
    """
    repository = Path(petlesion.__file__).resolve().parents[1]
    return repository / in_repository, Path(sysconfig.get_path("data")) / "share" / "petlesion" / installed
