"""Command line of models in service: `petlesion model list|show|rollback|promote`, `petlesion export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petlesion import cli_options as option
from petlesion.console import print_rows, print_table
from petlesion.networks.installed import MODELS_VARIABLE, models_folder

if TYPE_CHECKING:
    from petlesion.networks.registry import Change, Registry

Models = Annotated[
    Path,
    typer.Option(
        "--models",
        metavar="FOLDER",
        envvar=MODELS_VARIABLE,
        default_factory=models_folder,
        show_default="those of the annotation server",
        help="Folder with a folder a model.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the model, for example unet.")]
Reason = Annotated[str, typer.Option("--reason", help="For the record.")]

app = typer.Typer(help="Versions of models in service: list, show, go back, choose.", no_args_is_help=True)


@app.command("list")
def list_versions(
    models: Models,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of the model; all of them without.")] = None,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """List the versions of models; the one in service is marked.

    For example:
      petlesion model list
      petlesion model list unet --json
    """
    from petlesion.networks.registry import Registry, registries

    chosen = registries(models) if name is None else (Registry.of(models, name),)
    rows = [row for registry in chosen for row in _rows(registry)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    header = ("model", "version", "in service", "SHA-256", "verdict of the gate")
    print_rows(
        header,
        [
            (row["model"], row["version"], "yes" if row["in_service"] else "", row["sha256"][:12], row["verdict"])
            for row in rows
        ],
    )


@app.command()
def show(
    models: Models,
    name: Name,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="Without: the one in service.")] = None,
    as_json: option.Json = False,
    _debug: option.Debug = False,
) -> None:
    """Show a version: what it was trained on, how it was judged, when it was in service.

    For example:
      petlesion model show unet
      petlesion model show unet 3 --json
    """
    from petlesion.networks.model_folder import CARD
    from petlesion.networks.registry import Registry

    registry = Registry.of(models, name)
    found = registry.current() if version is None else registry.version(version)
    found.verify()
    card = json.loads((found.folder / CARD).read_text(encoding="utf-8"))
    changes = [change for change in registry.history() if change.version == found.number]
    if as_json:
        document = {
            "version": found.number,
            "sha256": found.sha256,
            "folder": str(found.folder),
            "in_service": [change.model_dump(mode="json") for change in changes],
            "gate": found.gate,
            "card": card,
        }
        print(json.dumps(document, indent=2))
        return
    data = card.get("data", {})
    rows = [
        ("version", found.name),
        ("SHA-256", found.sha256),
        ("folder", str(found.folder)),
        ("parent", str(card.get("parent_sha256") or "none")),
        ("trained on", f"{len(data.get('training', ()))} cases (SHA-256 {str(data.get('sha256', 'unknown'))[:12]})"),
        ("gate", str(found.gate.get("verdict", "not judged"))),
        *(
            ("in service from", f"{change.time:%Y-%m-%d %H:%M} UTC, {change.kind} {change.reason}")
            for change in changes
        ),
    ]
    print_table(rows, [])


@app.command()
def rollback(models: Models, name: Name, reason: Reason = "", _debug: option.Debug = False) -> None:
    """Put the version back into service that was there before; running servers load it at once.

    For example:
      petlesion model rollback unet --reason "misses bone lesions"
    """
    from petlesion.networks.registry import Registry

    _print_change(name, Registry.of(models, name).rollback(reason))


@app.command()
def promote(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=0, help="Number, for example 3.")],
    models: Models,
    reason: Reason = "",
    despite_gate: Annotated[bool, typer.Option("--despite-gate", help="Also a version that the gate refused.")] = False,
    _debug: option.Debug = False,
) -> None:
    """Put a version into service; running servers load it at once.

    For example:
      petlesion model promote unet 3
    """
    from petlesion.networks.registry import Registry

    _print_change(name, Registry.of(models, name).promote(version, reason, despite_gate=despite_gate))


def export(
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Of the model, for example unet.")],
    output: option.Output,
    models: Models,
    _debug: option.Debug = False,
) -> None:
    """Copy the version in service, its card and its hash, for the deployed application.

    For example:
      petlesion export --model unet -o deploy_app/models
    """
    from petlesion.networks.registry import Registry

    version = Registry.of(models, model).export(output)
    print_table([("version", version.name), ("SHA-256", version.sha256), ("folder", str(output / model))], [])


def _rows(registry: Registry) -> list[dict[str, Any]]:
    current = registry.find_current()
    return [
        {
            "model": registry.folder.name,
            "version": version.name,
            "in_service": current is not None and version.number == current.number,
            "sha256": version.sha256,
            "accepted": version.gate.get("accepted"),
            "verdict": str(version.gate.get("verdict", "not judged")),
        }
        for version in registry.versions()
    ]


def _print_change(name: str, change: Change) -> None:
    print_table([("in service", f"v{change.version:04d}"), ("SHA-256", change.sha256)], [])
    print(f"Exported copies stay as they are: petlesion export --model {name} -o FOLDER replaces one.")
