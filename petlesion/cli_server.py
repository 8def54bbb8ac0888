"""Command line of the annotation server: `petlesion serve`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petlesion import cli_options as option
from petlesion.console import display
from petlesion.tracers import TracerName

if TYPE_CHECKING:
    from petlesion.server.serve import Served

_LISTED = 10
"""Studies whose address is printed."""


def serve(
    studies: Annotated[
        str | None,
        typer.Option(metavar="PATH_OR_URL", help="Folder, or URL of a DICOMweb server; else an Orthanc is started."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Labels, fetched images, logs. [~/.local/share/petlesion]")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the annotation server.")] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in: there is no password.")] = "127.0.0.1",
    models: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Versions of models.")] = None,
    tracer: Annotated[
        TracerName | None, typer.Option("--tracer", help="Of NIfTI images that name none, and of simulated patients.")
    ] = None,
    cache_gb: Annotated[
        float, typer.Option(metavar="GB", min=0.1, max=999_999, help="Loaded images kept in memory.")
    ] = 4.0,
    fetched_gb: Annotated[
        float,
        typer.Option(metavar="GB", min=0, max=999_999, help="Files kept of what was fetched from the DICOMweb server."),
    ] = 100.0,
    copies_gb: Annotated[
        float, typer.Option(metavar="GB", min=0, max=999_999, help="Copies kept of DICOM images, for 3D Slicer.")
    ] = 20.0,
    retrain_after: Annotated[
        int, typer.Option(metavar="N", min=0, help="Retrain after N new labels; 0: only when asked to.")
    ] = 5,
    retrain_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="YAML; docs/how-to/own-the-model.md explains it."
        ),
    ] = None,
    patients: Annotated[int, typer.Option(min=0, help="Simulated patients, where there is no --studies.")] = 2,
    _debug: option.Debug = False,
) -> None:
    """Serve PET/CT to OHIF and 3D Slicer for annotation, until Ctrl+C.

    Without --studies: simulated patients in an Orthanc of its own (Debian: orthanc, orthanc-dicomweb), on this machine.
    Password of a DICOMweb server: MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD in the environment.

    For example:
      petlesion serve
      petlesion serve --studies http://127.0.0.1:8042/dicom-web --data /srv/clinic
      petlesion serve --studies /data/suv --data /srv/suv --tracer ga68-psma11 --port 8001
    """
    from petlesion.server.serve import ServeOptions, serve

    sizes = {"cache_gb": cache_gb, "fetched_gb": fetched_gb, "copies_gb": copies_gb}
    conf = {name: f"{size:g}" for name, size in sizes.items()} | {"retrain_after": str(retrain_after)}
    conf |= {} if tracer is None else {"tracer": str(tracer)}
    conf |= {} if retrain_config is None else {"retrain_config": str(retrain_config.resolve())}
    options = ServeOptions(
        data=(data or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "petlesion").resolve(),
        studies=studies,
        host=host,
        port=port,
        patients=patients,
        tracer=tracer or TracerName.F18_FDG,
        models=models,
        conf=conf,
    )
    with ExitStack() as running:
        with display() as progress:
            served = running.enter_context(serve(options, progress))
        _print_served(served)
        try:
            served.wait()
        except KeyboardInterrupt:
            print("Stopping.", flush=True)


def _print_served(served: Served) -> None:
    from petlesion.server.viewer import PAGE, ohif_folder

    own = ohif_folder() is not None
    viewer = f"{served.url}/{PAGE if own else 'ohif/monai-label'}?StudyInstanceUIDs="
    shown = list(served.viewable.items())[:_LISTED]
    more = len(served.viewable) - len(shown)
    rows = [
        ("server", served.url),
        *((f"OHIF, {name}", viewer + uid) for uid, name in shown),
        *([("OHIF", f"{more} more: {served.url}/{'' if own else 'ohif/'}")] if more else []),
        *([] if own else [("missing", "the mode PET lesions, with which lesions are corrected in OHIF: make viewer")]),
        ("3D Slicer", f"module MONAI Label, server {served.url}"),
        ("images", served.studies),
        ("labels", str(served.labels)),
        ("log", str(served.log)),
    ]
    # Not as a table of rich, which would cut addresses off at the width of the terminal.
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    print("Stop with Ctrl+C. Research software, not a medical device.", flush=True)
