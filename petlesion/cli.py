"""Command line: reads options, calls the library, prints. No algorithm lives here."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from petlesion import __version__, cli_batch, cli_evaluate, cli_models, cli_server, cli_training
from petlesion import cli_options as option
from petlesion.console import Display, display, print_table, quiet_libraries, report_error
from petlesion.dicom.seg_type import SegType
from petlesion.errors import ExitCode
from petlesion.phantom.cohort import Cohort
from petlesion.phantom.scanner import ScannerName, Vendor
from petlesion.report import ReferenceOrgan, Report
from petlesion.segment.options import FIXED_SUV, FRACTION, MIN_VOLUME_ML, NetworkOptions, SegmentOptions
from petlesion.suv_scale import SuvScale
from petlesion.tracers import TracerName

if TYPE_CHECKING:
    from petlesion.study import PetCt
    from petlesion.volume import Volume

app = typer.Typer(
    name="petlesion",
    help="Tumour lesions in PET/CT: from DICOM to SUV, lesions, measurements and DICOM results.\n\n"
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Run the command line and exit with one of `ExitCode`."""
    for ends in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ends) is not signal.SIG_IGN:  # as nohup wishes
            signal.signal(ends, _stop)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; an error is one line on stderr.

    Parameters
    ----------
    arguments
        Command line without the program's name.
    """
    debug = "--debug" in arguments
    if not debug:
        quiet_libraries()
    try:
        code = app(args=list(arguments), prog_name="petlesion", standalone_mode=False)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # none where no command was given: the help has been printed
            print(f"petlesion: {message} See petlesion --help.", file=sys.stderr)
        return ExitCode.USAGE
    except Exception as error:  # noqa: BLE001 - the last line of defence: every error becomes one line and a code
        return report_error(error, debug=debug)
    return int(code or ExitCode.DONE)


def _stop(signal_number: int, _: object) -> NoReturn:
    """End as a normal exit does, so that staging folders are removed."""
    sys.exit(128 + signal_number)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def suv(
    study: option.Study,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="NIfTI volume to write.")
    ] = None,
    scale: Annotated[SuvScale, typer.Option(help="What the volume is normalised by.")] = SuvScale.BW,
    weight: option.Weight = None,
    dose: option.Dose = None,
    injection_time: option.InjectionTime = None,
    pet_series: option.PetSeries = None,
    study_uid: option.StudyUid = None,
    overwrite: option.Overwrite = False,
    explain: option.Explain = False,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Compute the SUV volume of a PET, and say how.

    For example:
      petlesion suv STUDY
      petlesion suv STUDY -o suvbw.nii.gz
      petlesion suv STUDY --scale SULjanma -o sul.nii.gz --weight 71
    """
    from petlesion.suv_volume import scaled, write_volume

    with display() as progress:
        petct = _read(study, progress, None, weight, dose, injection_time, pet_series, study_uid, ct=False)
        volume = scaled(petct, scale)
        if output is not None:
            progress.step("write")
            write_volume(volume, output, overwrite=overwrite)
    _print_suv(petct, volume, scale, explain, as_json)


@app.command()
def segment(
    context: typer.Context,
    study: option.Study,
    output: option.Output,
    method: option.Method = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="unet: instead of the installed model, repeatable: folds to average. nnunet: its trained model.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="unet, nnunet: where to compute.")] = "auto",
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="unet, nnunet: average mirror images; twice the time. Worse where it was measured."
        ),
    ] = False,
    refine: Annotated[
        bool,
        typer.Option("--refine", help="unet: redraw lesions at the threshold. Worse where it was measured."),
    ] = False,
    maps: Annotated[
        bool, typer.Option("--maps", help="unet, nnunet: write probability.nii.gz (unet: and entropy).")
    ] = False,
    tracer: option.Tracer = None,
    suv: option.Suv = FIXED_SUV,
    fraction: option.Fraction = FRACTION,
    incremental: Annotated[bool, typer.Option("--incremental", help="relative: a region for every peak.")] = False,
    min_volume: option.MinVolume = MIN_VOLUME_ML,
    split: option.Split = False,
    point: Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Grow one lesion from here (LPS mm).")] = None,
    liver_sphere: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Centre of the liver reference (LPS mm).")
    ] = None,
    organs: Annotated[Path | None, typer.Option(metavar="FILE", help="Organ masks: NIfTI, SEG, RTSTRUCT.")] = None,
    weight: option.Weight = None,
    dose: option.Dose = None,
    injection_time: option.InjectionTime = None,
    pet_series: option.PetSeries = None,
    study_uid: option.StudyUid = None,
    seg_type: option.SegTypeOption = SegType.BINARY,
    nifti: option.Nifti = False,
    overwrite: option.Overwrite = False,
    explain: option.Explain = False,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Find lesions, measure them, and write seg.dcm, sr.dcm, rtstruct.dcm, report.pdf, report.json and lesions.csv.

    For example:
      petlesion segment STUDY -o RESULTS
      petlesion segment STUDY -o RESULTS --method fixed --suv 3 --min-volume 2
      petlesion segment STUDY -o RESULTS --method gradient --tracer ga68-dotatate
      petlesion segment STUDY -o RESULTS --method relative --point 42.5,-110,880
      petlesion segment STUDY -o RESULTS --method unet --model FOLD0 --model FOLD1 --maps
      petlesion segment STUDY -o RESULTS --method nnunet --model nnUNetTrainer__nnUNetPlans__3d_fullres
    """
    from petlesion.organs import read_organs
    from petlesion.pipeline import OutputOptions, segment_to_folder

    point_mm = option.parse_point(point, "--point")
    liver_sphere_mm = option.parse_point(liver_sphere, "--liver-sphere")
    method = option.chosen_method(context, method)
    with display() as progress:
        petct = _read(study, progress, tracer, weight, dose, injection_time, pet_series, study_uid)
        options = SegmentOptions(
            method=method,
            models=tuple(model or ()),
            network=NetworkOptions(device=device, mirror=mirror, refine=refine, maps=maps),
            suv=suv,
            fraction=fraction,
            incremental=incremental,
            min_volume_ml=min_volume,
            split_touching=split,
            point_mm=point_mm,
            liver_sphere_mm=liver_sphere_mm,
            organs=None if organs is None else read_organs(organs, petct),
        )
        outputs = OutputOptions(seg_type, nifti, overwrite)
        report = segment_to_folder(petct, options, output, outputs, progress.step, progress.count)
    _print_report(report, output, explain, as_json)


@app.command()
def measure(
    study: option.Study,
    seg: Annotated[Path, typer.Option("--seg", metavar="FILE", help="DICOM SEG, RTSTRUCT or NIfTI mask.")],
    output: option.Output,
    roi: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only regions of this name; repeatable.")
    ] = None,
    tracer: option.Tracer = None,
    weight: option.Weight = None,
    dose: option.Dose = None,
    injection_time: option.InjectionTime = None,
    pet_series: option.PetSeries = None,
    study_uid: option.StudyUid = None,
    seg_type: option.SegTypeOption = SegType.BINARY,
    nifti: option.Nifti = False,
    overwrite: option.Overwrite = False,
    explain: option.Explain = False,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Measure the lesions of an existing mask, and write the same results as `segment`.

    For example:
      petlesion measure STUDY --seg corrected.dcm -o RESULTS
      petlesion measure STUDY --seg rtstruct.dcm --roi GTV_Mass -o RESULTS
    """
    from petlesion.masks import read_mask
    from petlesion.output import keep_input
    from petlesion.pipeline import OutputOptions, measure_to_folder

    keep_input(seg, output)
    with display() as progress:
        petct = _read(study, progress, tracer, weight, dose, injection_time, pet_series, study_uid)
        lesions = read_mask(seg, petct, roi or ())
        report = measure_to_folder(petct, lesions, output, OutputOptions(seg_type, nifti, overwrite), progress.step)
    _print_report(report, output, explain, as_json)


@app.command()
def simulate(
    output: option.Output,
    tracer: Annotated[
        TracerName, typer.Option("--tracer", help="ga68-dotatate, cu64-dotatate, ga68-psma11 or f18-fdg.")
    ],
    patients: Annotated[int, typer.Option("--patients", "-n", help="How many.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the first patient; the next ones take the following numbers.")] = 0,
    cohort: Annotated[
        Cohort, typer.Option(help="Whose disease: of everybody, or of a published system.")
    ] = Cohort.DEFAULT,
    diseased: Annotated[float | None, typer.Option(metavar="SHARE", min=0, max=1, help="Share with disease.")] = None,
    confluent: Annotated[bool, typer.Option("--confluent", help="Lesions may merge.")] = False,
    followup: Annotated[bool, typer.Option("--followup", help="A second scan of everybody, months later.")] = False,
    scanner: Annotated[ScannerName | None, typer.Option(help="Grid, resolution and sensitivity.")] = None,
    osem: Annotated[bool, typer.Option("--osem", help="Poisson counts and OSEM instead of their noise model.")] = False,
    dicom: Annotated[bool, typer.Option("--dicom", help="PT and CT series as well, and the truth as SEG.")] = False,
    vendor: Annotated[Vendor | None, typer.Option(help="Whose way of writing headers.")] = None,
    spacing: Annotated[float, typer.Option(metavar="MM", help="Voxel edge of the simulated body.")] = 4.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Patients at a time.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the patients that are complete already.")] = False,
    _debug: option.Debug = False,
) -> None:
    """Simulate whole-body PET/CT patients with known truth.

    For example:
      petlesion simulate -o COHORT --tracer ga68-dotatate --patients 20 --seed 1 --jobs 2
      petlesion simulate -o PATIENT --tracer f18-fdg --dicom --vendor ge
      petlesion simulate -o COHORT --tracer ga68-psma11 -n 200 -j 8 --resume
    """
    from petlesion.phantom.imaging import Reconstruction
    from petlesion.phantom.simulate import SimulateOptions, simulate_cohort

    options = SimulateOptions(
        tracer=tracer,
        patients=patients,
        seed=seed,
        cohort=cohort,
        spacing_mm=spacing,
        diseased_fraction=diseased,
        confluent=confluent,
        scanner=scanner,
        reconstruction=Reconstruction.OSEM if osem else Reconstruction.FAST,
        dicom=dicom,
        vendor=vendor,
        followup=followup,
        jobs=jobs,
        resume=resume,
    )
    with display() as progress:
        progress.step("simulate")
        manifest = simulate_cohort(options, output, progress.count)
    print_table([("patients", str(patients)), ("folder", str(output)), ("manifest", str(manifest))], [])


app.command()(cli_batch.batch)
app.command()(cli_training.train)
app.command()(cli_training.retrain)
app.command()(cli_evaluate.evaluate)
app.command()(cli_server.serve)
app.add_typer(cli_models.app, name="model")
app.command()(cli_models.export)


def _read(
    study: Path,
    progress: Display,
    tracer: TracerName | None,
    weight_kg: float | None,
    dose_mbq: float | None,
    injection_time: datetime | None,
    pet_series: str | None,
    study_uid: str | None,
    *,
    ct: bool = True,
) -> PetCt:
    from petlesion.dicom.reader import SeriesChoice
    from petlesion.dicom.suv_overrides import SuvOverrides
    from petlesion.reader import read_study

    progress.step("read")
    return read_study(
        study,
        tracer=tracer,
        overrides=SuvOverrides(weight_kg, None if dose_mbq is None else dose_mbq * 1e6, injection_time),
        choice=SeriesChoice(study_uid=study_uid, pet_uid=pet_series),
        ct=ct,
        progress=progress.count,
    )


def _print_suv(study: PetCt, volume: Volume, scale: SuvScale, explain: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "study_instance_uid": study.study_instance_uid,
            "pet_series_instance_uid": study.pet_series_instance_uid,
            "tracer": study.tracer.name,
            "suv": asdict(study.suv),
            "scale": scale,
            "shape_zyx": volume.grid.shape,
            "spacing_mm_zyx": volume.grid.spacing_mm,
            "maximum": float(volume.array.max()),
            "selection": study.selection,
            "warnings": study.warnings,
        }
        print(json.dumps(document, indent=2, default=str))
        return
    suv = study.suv
    rows = [
        ("tracer", study.tracer.title),
        ("units", suv.units),
        ("decay correction", suv.decay_correction),
        ("reference time", _or_unknown(suv.reference_time)),
        ("injection time", _or_unknown(suv.injection_time)),
        *suv.amounts.items(),
        ("factor to SUVbw", "no single one known" if suv.factor is None else f"{suv.factor:.6g}"),
        ("voxels (z, y, x)", f"{volume.grid.shape}, {', '.join(f'{mm:.3g}' for mm in volume.grid.spacing_mm)} mm"),
        (f"highest {scale}", f"{float(volume.array.max()):.2f}"),
    ]
    print_table(rows, [*(study.selection if explain else ()), *suv.warnings, *study.warnings])


def _print_report(report: Report, output: Path, explain: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.to_json())
        return
    totals = report.totals
    rows = [
        ("tracer", report.study.tracer),
        ("method", report.method.name),
        ("threshold", _threshold(report)),
        ("lesions", f"{totals.n_lesions} ({report.review})"),
        ("total volume", f"{totals.ttv_ml:.2f} mL"),
        ("TLG" if report.is_glycolysis else "TLU", f"{totals.tlu:.1f} g"),
        ("SUVmax, SUVpeak", ", ".join(_or_none(value) for value in (totals.suv_max, totals.suv_peak))),
        ("results", str(output)),
    ]
    print_table(rows, [*(report.study.selection if explain else ()), *report.suv.warnings, *report.warnings])


def _threshold(report: Report) -> str:
    suv = report.threshold_suv
    if suv is None:
        return "none"
    organ = report.threshold_organ
    return f"SUV {suv:.2f}" if organ is ReferenceOrgan.NONE else f"SUV {suv:.2f} (from the {organ})"


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _or_unknown(time: datetime | None) -> str:
    return "unknown" if time is None else time.isoformat(sep=" ")
