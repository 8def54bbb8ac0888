"""Options of the command line that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from petlesion.dicom.seg_type import SegType
from petlesion.errors import UsageError
from petlesion.segment.options import MethodName
from petlesion.tracers import TracerName

Study = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="Folder of DICOM files (nested, mixed), or with pet.nii.gz (SUVbw) and, where there is one, ct.nii.gz.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the results; created where missing.")]
Tracer = Annotated[TracerName | None, typer.Option("--tracer", help="Tracer, where the header is silent or wrong.")]
PetSeries = Annotated[
    str | None,
    typer.Option("--pet-series", metavar="UID", help="SeriesInstanceUID of the PET, instead of the best one."),
]
StudyUid = Annotated[
    str | None,
    typer.Option("--study-uid", metavar="UID", help="StudyInstanceUID, where the folder holds several studies."),
]
Weight = Annotated[
    float | None, typer.Option("--weight", metavar="KG", min=0.1, help="Body weight, where the header is wrong.")
]
Dose = Annotated[
    float | None,
    typer.Option("--dose", metavar="MBQ", min=0.001, help="Administered activity, where the header is wrong."),
]
InjectionTime = Annotated[
    datetime | None,
    typer.Option(
        "--injection-time",
        metavar="YYYY-MM-DDThh:mm:ss",
        formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"],
        help="Injection by the scanner's clock, where the header is wrong.",
    ),
]
SegTypeOption = Annotated[SegType, typer.Option("--seg-type", help="Kind of the segmentation object.")]
Nifti = Annotated[bool, typer.Option("--nifti", help="Write lesions.nii.gz as well (uint16, one integer a lesion).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say why this PET and CT were chosen and the others not.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def parse_point(text: str | None, option: str) -> tuple[float, float, float] | None:
    """Read `x,y,z` (LPS, mm).

    Raises
    ------
    UsageError
        If `text` is not three numbers.
    """
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a point", remedy="give three numbers x,y,z in LPS mm, as report.json writes them"
        ) from None
    return x, y, z


def default_method() -> MethodName:
    """Method where none is named; says so where a network is there and cannot run."""
    from petlesion.networks.installed import installed_model
    from petlesion.segment import methods

    if methods.lacks_packages() and installed_model(MethodName.UNET) is not None:
        typer.echo('the network needs more packages (pip install "petlesion[network]"): thresholds are used', err=True)
    return methods.default_method()
