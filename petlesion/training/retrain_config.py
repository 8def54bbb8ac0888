"""The file of a retraining: what is learned from, what is held out, and when the new model goes into service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from petlesion.durable import write_durably
from petlesion.errors import UsageError
from petlesion.networks.model_config import ModelConfig, first_problem
from petlesion.networks.model_folder import CARD
from petlesion.training.config import (
    AugmentationConfig,
    CohortConfig,
    LossConfig,
    OptimiserConfig,
    RunConfig,
    Share,
    TrainConfig,
    read_yaml,
)
from petlesion.training.gate import MIN_PATIENTS, Margins

_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "optimiser": {"learning_rate": 2e-4},
    "run": {"steps": 1500, "max_minutes": 30.0, "validate_every": 100},
}
"""Where fine-tuning differs from training: smaller steps, fewer of them."""


_OF_THE_SERVER: Final = ("schema_version", "models", "name", "cases", "labels_sha256")
"""Keys that the annotation server fills in."""


class RetrainConfig(BaseModel):
    """A retraining.

    Attributes
    ----------
    models, name
        Registry that the model comes from and goes to.
    cases
        Folder of labelled cases; see `training.cases`. Part of them is held out.
    labels_sha256
        Identity of these labels, for the card.
    cohorts
        Further cases to train on, so that what the model knows is not forgotten.
    test_cohorts
        Further cases to judge by; never trained on.
    held_out
        Share of the patients of `cases` that are never trained on; a hash of the patient's id decides which.
    min_patients
        Fewest held-out patients that decide.
    margins
        How much worse than the version in service a new one may be.
    from_scratch
        Start from random weights, of the network that `model` describes.
    kept_share
        Share of the weights of the model in service in the new one; see `TrainConfig`. Each round goes half of the way
        that its labels lead, so that a few of them do not undo what the model knew.
    loss
        Default: that by which the model in service was trained, as its card says, so that its balance between false and
        missed lesions stays.
    export
        Folder that a published model is exported to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal["petlesion-retrain/1"] = "petlesion-retrain/1"
    models: Path
    name: str = "unet"
    cases: Path
    labels_sha256: str = ""
    cohorts: tuple[CohortConfig, ...] = ()
    test_cohorts: tuple[CohortConfig, ...] = ()
    held_out: Share = 0.25
    min_patients: Annotated[int, Field(ge=2)] = MIN_PATIENTS
    margins: Margins = Margins()
    from_scratch: bool = False
    model: dict[str, Any] = Field(default_factory=dict)
    kept_share: Share = 0.5
    seed: int = Field(default=0, ge=0, lt=2**32)
    augmentation: AugmentationConfig = AugmentationConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossConfig | None = None
    run: RunConfig = RunConfig()
    licence: str = ""
    export: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _fine_tuning(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        merged = {name: {**values, **_as_dict(data.get(name))} for name, values in _DEFAULTS.items()}
        return {**data, **merged}

    @model_validator(mode="after")
    def _starts_from_one(self) -> Self:
        if self.model and not self.from_scratch:
            raise ValueError("model is that of the version in service; give from_scratch: true for another one")
        ModelConfig.model_validate(self.model)
        return self

    def training(self, out: Path, cache: Path, cases: Path, init: Path | None) -> TrainConfig:
        """The training that it asks for.

        Parameters
        ----------
        out, cache
            Folders of the run and of preprocessed cases.
        cases
            Those that are not held out.
        init
            Model to start from; None starts from random weights.
        """
        # nobody validates within the run: held-out cases choose no checkpoint, or they could not judge it
        return TrainConfig.model_validate(
            {
                "out": out,
                "cache": cache,
                "cohorts": [CohortConfig(folder=cases), *self.cohorts],
                "seed": self.seed,
                "init": init,
                "kept_share": 0.0 if init is None else self.kept_share,
                "model": self.model if init is None else {},
                "split": {"validation": 0.0},
                "augmentation": self.augmentation,
                "optimiser": self.optimiser,
                "loss": self.loss or _loss_of(init),
                "run": self.run,
                "licence": self.licence,
            }
        )


def parse_retrain_config(data: dict[str, Any], where: Path) -> RetrainConfig:
    """Check the values of a retraining; paths are relative to the folder of `where`, the file they come from.

    Raises
    ------
    UsageError
        If a key does not exist or a value makes no sense, such as an export into the folder of the versions.
    """
    try:
        config = RetrainConfig.model_validate(data)
    except ValidationError as error:
        raise UsageError(
            f"configuration of a retraining is not valid ({first_problem(error)})",
            where=where,
            remedy="see docs/how-to/own-the-model.md",
        ) from error
    base = where.parent
    parts = {
        name: tuple(cohort.model_copy(update={"folder": base / cohort.folder}) for cohort in getattr(config, name))
        for name in ("cohorts", "test_cohorts")
    }
    paths = {
        "models": base / config.models,
        "cases": base / config.cases,
        "export": config.export and base / config.export,
    }
    config = config.model_copy(update={**parts, **paths})
    if config.export is not None and (config.export / config.name).resolve() == (config.models / config.name).resolve():
        raise UsageError(
            f"export is {config.export}, the folder of the versions", where=where, remedy="give another folder"
        )
    return config


def read_server_options(path: Path, models: Path) -> dict[str, Any]:
    """Read options for the retrainings of the annotation server: all keys but those that it fills in.

    Parameters
    ----------
    path
        YAML file.
    models
        Folder of the server's models.

    Raises
    ------
    UsageError
        If the file cannot be read, a key does not exist or belongs to the server, or a value makes no sense.
    """
    options = read_yaml(path)
    taken = next((name for name in _OF_THE_SERVER if name in options), None)
    if taken is not None:
        raise UsageError(f"{taken} is set by the server", where=path, remedy="remove it from the file")
    parse_retrain_config({**options, "models": str(models.resolve()), "cases": "."}, path)
    return options


def write_retrain_config(config: RetrainConfig, path: Path) -> None:
    """Write a configuration as YAML."""
    import yaml  # type: ignore[import-untyped,unused-ignore]

    write_durably(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())


def _loss_of(model: Path | None) -> LossConfig:
    """Of the training of a model; the default's where its card does not say, or nothing was trained before."""
    if model is None:
        return LossConfig()
    recipe = json.loads((model / CARD).read_text(encoding="utf-8")).get("recipe") or {}
    known = {name: value for name, value in (recipe.get("loss") or {}).items() if name in LossConfig.model_fields}
    try:
        return LossConfig.model_validate(known)
    except ValidationError as error:
        raise UsageError(
            f"the model's card names a loss that is not valid ({first_problem(error)})",
            where=model / CARD,
            remedy="give loss: in the configuration of the retraining",
        ) from error


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value if isinstance(value, dict) else {}
