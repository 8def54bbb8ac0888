"""Options of the command line that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from petlesion.dicom.seg_type import SegType
from petlesion.errors import ModelError, UsageError
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
Method = Annotated[
    MethodName | None,
    typer.Option(
        "--method", "-m", help="How lesions are found. Default: unet with --model or if installed, else percist."
    ),
]
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
Suv = Annotated[float, typer.Option(min=0.0, help="fixed: SUVbw from which a voxel counts.")]
Fraction = Annotated[float, typer.Option(min=0.01, max=1.0, help="relative: share of each SUVmax.")]
MinVolume = Annotated[float, typer.Option(metavar="ML", min=0.0, help="Smaller regions are removed.")]
Split = Annotated[bool, typer.Option("--split", help="Split touching lesions (h-maxima watershed).")]
SegTypeOption = Annotated[SegType, typer.Option("--seg-type", help="Kind of the segmentation object.")]
Nifti = Annotated[bool, typer.Option("--nifti", help="Write lesions.nii.gz as well (uint16, one integer a lesion).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say why this PET and CT were chosen and the others not.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

_NETWORKS = (MethodName.UNET, MethodName.NNUNET)
_WITH_REFERENCE = tuple(method for method in MethodName if method is not MethodName.FIXED)
METHODS_OF = {
    "model": _NETWORKS,
    "device": _NETWORKS,
    "mirror": _NETWORKS,
    "refine": (MethodName.UNET,),
    "maps": _NETWORKS,
    "suv": (MethodName.FIXED,),
    "fraction": (MethodName.RELATIVE,),
    "incremental": (MethodName.RELATIVE,),
    "liver_sphere": _WITH_REFERENCE,
    "organs": _WITH_REFERENCE,
}
"""Methods that use an option, where not all of them do."""


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


def chosen_method(context: typer.Context, method: MethodName | None) -> MethodName:
    """Find the method to run: the one that is named, else `unet` for a model that is, else the default.

    Raises
    ------
    UsageError
        If an option is given that the method does not use.
    ModelError
        If the method is a network and packages are missing.
    """
    from petlesion.segment import methods

    given = [name for name in METHODS_OF if _is_given(context, name)]
    if method is None:
        method = MethodName.UNET if "model" in given else default_method()
    for name in given:
        owners = METHODS_OF[name]
        if method not in owners:
            raise UsageError(
                f"--{name.replace('_', '-')} belongs to --method {'|'.join(owners)}, not to {method}",
                remedy="name the method that you mean, or leave the option out",
            )
    for rule in ("incremental", "point"):
        if method is MethodName.RELATIVE and context.params.get(rule):
            for name in {"liver_sphere", "organs"}.intersection(given):
                raise UsageError(
                    f"--{name.replace('_', '-')} has no effect on --method relative --{rule}, which needs no reference",
                    remedy="leave one of them out",
                )
    if method is MethodName.UNET and methods.lacks_packages():
        raise ModelError("the network needs more packages", remedy='run pip install "petlesion[network]"')
    return method


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def default_method() -> MethodName:
    """Method where none is named; says so where a network is there and cannot run."""
    from petlesion.networks.installed import installed_model
    from petlesion.segment import methods

    if methods.lacks_packages() and installed_model(MethodName.UNET) is not None:
        typer.echo('the network needs more packages (pip install "petlesion[network]"): thresholds are used', err=True)
    return methods.default_method()
