"""Command line of many studies: `petlesion batch`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petlesion import cli_options as option
from petlesion.console import display, print_table
from petlesion.dicom.seg_type import SegType
from petlesion.segment.options import FIXED_SUV, FRACTION, MIN_VOLUME_ML, SegmentOptions

if TYPE_CHECKING:
    from petlesion.batch import BatchResult

_SHOWN_FAILURES = 20
_SHOWN_WARNINGS = 5


def batch(
    context: typer.Context,
    studies: Annotated[Path, typer.Argument(metavar="STUDIES", help="Folder with a folder a study, DICOM or NIfTI.")],
    output: option.Output,
    method: option.Method = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="unet: instead of the installed model. nnunet: its trained model."),
    ] = None,
    tracer: option.Tracer = None,
    suv: option.Suv = FIXED_SUV,
    fraction: option.Fraction = FRACTION,
    min_volume: option.MinVolume = MIN_VOLUME_ML,
    split: option.Split = False,
    seg_type: option.SegTypeOption = SegType.BINARY,
    nifti: option.Nifti = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Studies at a time on this machine.")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to run on (auto, ray://HOST:10001, local).")
    ] = None,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> int:
    """Segment many studies, each into its own folder, and write summary.csv and summary.json.

    A run that was stopped goes on where it was: give the same command again. A study that fails is listed with its exit
    code and ends no other; the exit code of the command is that of the first one that failed.

    For example:
      petlesion batch STUDIES -o RESULTS --jobs 4
      petlesion batch STUDIES -o RESULTS --method percist --tracer ga68-dotatate
      petlesion batch STUDIES -o RESULTS --ray ray://head:10001
    """
    from petlesion.batch import process_batch
    from petlesion.batch_tasks import BatchOptions
    from petlesion.pipeline import OutputOptions

    options = BatchOptions(
        SegmentOptions(
            method=option.chosen_method(context, method),
            models=() if model is None else (model,),
            suv=suv,
            fraction=fraction,
            min_volume_ml=min_volume,
            split_touching=split,
        ),
        OutputOptions(seg_type, nifti),
        tracer,
        jobs,
        ray,
    )
    with display() as progress:
        progress.step("segment studies")
        result = process_batch(studies, output, options, progress.count)
    if as_json:
        print(json.dumps([asdict(outcome) for outcome in result.outcomes], indent=1))
        return result.exit_code
    rows = [
        ("studies", str(len(result.outcomes))),
        ("done before", str(result.kept)),
        ("failed", str(len(result.failed))),
        ("summary", str(output / "summary.csv")),
    ]
    print_table(rows, [*_failures(result), *_warnings(output, result)])
    return result.exit_code


def _failures(result: BatchResult) -> list[str]:
    failures = [f"{each.study}: {each.message} (code {each.exit_code})" for each in result.failed]
    more = len(failures) - _SHOWN_FAILURES
    return [*failures[:_SHOWN_FAILURES], *([f"and {more} more in summary.csv"] if more > 0 else [])]


def _warnings(output: Path, result: BatchResult) -> list[str]:
    from petlesion.batch import frequent_warnings

    done = len(result.outcomes) - len(result.failed)
    warnings = frequent_warnings(output, result)[:_SHOWN_WARNINGS]
    return [f"in {count} of {done} studies: {text}" for text, count in warnings]
