"""`card.json`: exactly which data, split, recipe and code made a model, and how good it is."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from petlesion import __version__
from petlesion.networks.model_config import ModelConfig
from petlesion.networks.model_folder import Model
from petlesion.networks.unet import network_cost
from petlesion.training.cache import CachedCase, data_sha256
from petlesion.training.checkpoint import Progressed
from petlesion.training.config import TrainConfig

SCHEMA: Final = "petlesion-card/1"


def build_card(
    config: TrainConfig,
    model: ModelConfig,
    training: Sequence[CachedCase],
    validation: Sequence[CachedCase],
    state: Progressed,
    *,
    ancestors: Sequence[Mapping[str, Any]],
    device: str,
) -> dict[str, Any]:
    """Everything that is known of a model, as plain data.

    Cases are listed by name; `ancestors` are those of the function of that name. Ids of patients are left out, because
    models travel further than data; the split follows from them by hash.
    """
    cost = network_cost(model)
    best = next((row for row in state.history if row["step"] == state.best_step), None)
    return {
        "schema": SCHEMA,
        "name": model.name,
        "purpose": "research; not a medical device",
        "parent_sha256": ancestors[0]["sha256"] if ancestors else None,
        "ancestors": list(ancestors),
        "code": code_version(),
        "data": {
            "sha256": data_sha256([*training, *validation]),
            "licence": config.licence,
            "training": [_row(case) for case in training],
            "validation": [_row(case) for case in validation],
        },
        "split": config.split.model_dump(mode="json"),
        "recipe_sha256": config.recipe_sha256(),
        "recipe": config.model_dump(mode="json", exclude={"out", "cache", "cohorts", "init", "licence", "model"}),
        "run": {
            "steps": state.step,
            "best_step": state.best_step,
            "seconds": round(state.seconds, 1),
            "device": device,
        },
        "metrics": {"validation": best},
        "network": {
            "parameters": cost.parameters,
            "multiply_adds_per_voxel": round(cost.multiply_adds_per_voxel, 1),
        },
    }


def ancestors(parent: Model) -> list[dict[str, Any]]:
    """The model that training starts from, and those it came from itself, the youngest first: data, code and run.

    `training_sha256` holds the hash of every case, so that whoever judges a model can see what its ancestors have seen.
    """
    card = parent.card
    data = card.get("data", {})
    row = {
        "sha256": parent.sha256,
        "code": card.get("code"),
        "data": {
            "sha256": data.get("sha256"),
            "licence": data.get("licence"),
            "training_sha256": [case["sha256"] for case in data.get("training", ())],
            "validation_cases": len(data.get("validation", ())),
        },
        "recipe_sha256": card.get("recipe_sha256"),
        "run": card.get("run"),
    }
    return [row, *card.get("ancestors", ())]


def code_version() -> dict[str, str]:
    """Versions of this package and of those that decide the numbers; the commit where the code is a git checkout."""
    found = {"petlesion": __version__}
    for package in ("torch", "monai", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    described = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"],
        capture_output=True,
        text=True,
        check=False,
    )
    if described.returncode == 0:
        found["commit"] = described.stdout.strip()
    return found


def _row(case: CachedCase) -> dict[str, Any]:
    return {
        "name": case.name,
        "sha256": case.content_sha256,
        "tracer": case.tracer.value,
        "labelled": list(case.known),
    }
