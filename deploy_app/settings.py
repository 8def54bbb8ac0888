"""Options of the deployed application: from `app.yaml`, or from environment variables, which win."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from petlesion.dicom.seg_type import SegType
from petlesion.errors import ModelError, UsageError, reason
from petlesion.networks.installed import MODELS_VARIABLE, models_folder, verified_model
from petlesion.segment.options import FIXED_SUV, FRACTION, MIN_VOLUME_ML, MethodName, SegmentOptions
from petlesion.server.viewer import VARIABLE as OHIF_VARIABLE
from petlesion.tracers import TracerName

PREFIX: Final = "PETLESION_"
"""Of the environment variables."""
CONFIG_PATH: Final = "HOLOSCAN_CONFIG_PATH"
"""Environment variable that names another `app.yaml` (MAP specification)."""
DEFAULT_CONFIG: Final = "/var/holoscan/app.yaml"
"""The one that images name."""
OWN_CONFIG: Final = Path(__file__).with_name("app.yaml")
"""The configuration beside the code."""


class OutputName(StrEnum):
    """Results that can be asked for; `report.json`, `metadata.json` and `result.json` are always written."""

    SEG = "seg"
    SR = "sr"
    RTSTRUCT = "rtstruct"
    PDF = "pdf"
    CSV = "csv"
    NIFTI = "nifti"


FILES: Final[Mapping[OutputName, str]] = {
    OutputName.SEG: "seg.dcm",
    OutputName.SR: "sr.dcm",
    OutputName.RTSTRUCT: "rtstruct.dcm",
    OutputName.PDF: "report.pdf",
    OutputName.CSV: "lesions.csv",
    OutputName.NIFTI: "lesions.nii.gz",
}
"""File of each result."""
_OF_A_SERVICE: Final = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_\w+)")
"""What Kubernetes sets in each pod of a namespace for a Service named `petlesion` or `petlesion-…`."""
_NOT_HERE: Final = (MethodName.NNUNET,)
"""Methods whose packages the image does not hold."""
_METHODS: Final = tuple(name for name in MethodName if name not in _NOT_HERE)
_DEFAULT_OUTPUTS = frozenset(OutputName) - {OutputName.NIFTI}


class Settings(BaseSettings):
    """All options, checked; see the description of each field."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, yaml_config_section="petlesion"
    )

    method: MethodName | None = Field(default=None, description="How lesions are found")
    tracer: TracerName | None = Field(default=None, description="Tracer, where headers are silent or wrong")
    suv: float = Field(default=FIXED_SUV, gt=0, description="`fixed`: SUVbw from which a voxel counts")
    fraction: float = Field(default=FRACTION, gt=0, lt=1, description="`relative`: share of each SUVmax")
    incremental: bool = Field(default=False, description="`relative`: a region for every peak")
    min_volume: float = Field(default=MIN_VOLUME_ML, ge=0, description="Smaller regions are removed, mL")
    split: bool = Field(default=False, description="Split touching lesions")
    model: str = Field(
        default="unet", pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="`unet`: folder below MODELS"
    )
    model_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="`unet`: identity that the model must have; without, that of its `model.sha256`",
    )
    outputs: Annotated[frozenset[OutputName], NoDecode] = Field(
        default=_DEFAULT_OUTPUTS, description="Results to write; `sr` refers to `seg` and needs it"
    )
    seg_type: SegType = Field(default=SegType.BINARY, description="Kind of the segmentation object")
    timeout: float = Field(default=1800, ge=0, description="Seconds after which a run is ended with code 30; 0: never")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0: as many as the container may use")
    debug: bool = Field(default=False, description="Pass on what libraries print, on stderr; **may show patient data**")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - given by pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take options from the environment, then from the configuration file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config_file())

    @field_validator("outputs", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        """Accept `seg,sr` as well as a list."""
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("method")
    @classmethod
    def _method_of_the_image(cls, value: MethodName | None) -> MethodName | None:
        if value in _NOT_HERE:
            raise ValueError(f"{value} runs on the command line only; methods are {', '.join(_METHODS)}")
        return value

    @model_validator(mode="after")
    def _sr_needs_seg(self) -> Settings:
        if OutputName.SR in self.outputs and OutputName.SEG not in self.outputs:
            raise ValueError("outputs names sr without seg, which the SR refers to")
        return self

    def chosen_method(self, folder: Path | None) -> MethodName:
        """The method asked for; without, the network where there is or should be a folder of models, else PERCIST.

        Who names a model or its folder wants it: then a model that is missing is an error, and no threshold takes its
        place unnoticed.

        Parameters
        ----------
        folder
            Holds a folder a model; None: nobody named one, and there is none.
        """
        if self.method is not None:
            return self.method
        meant = folder is not None or {"model", "model_sha256"} & self.model_fields_set
        return MethodName.UNET if meant else MethodName.PERCIST

    def segment_options(self, folder: Path | None) -> SegmentOptions:
        """What `petlesion.segment.methods.segment` takes.

        Parameters
        ----------
        folder
            Holds a folder a model; looked at only by methods that need one. None: nobody named one.

        Raises
        ------
        ModelError
            If the model is missing or altered, or may not be read.
        """
        models: tuple[Path, ...] = ()
        sha256 = None
        try:
            method = self.chosen_method(folder)
            if method is MethodName.UNET:
                model, sha256 = verified_model(folder or models_folder(), self.model, self.model_sha256)
                models = (model,)
        except OSError as error:
            raise ModelError(
                f"models cannot be read ({reason(error)})",
                where=folder,
                remedy="let the user of this process read that folder and all in it",
            ) from error
        return SegmentOptions(
            method=method,
            models=models,
            model_sha256=sha256,
            suv=self.suv,
            fraction=self.fraction,
            incremental=self.incremental,
            min_volume_ml=self.min_volume,
            split_touching=self.split,
        )


def config_file() -> Path:
    """Configuration named by the environment, or the one beside the code.

    That holds, too, where nobody put a file at the place that images name.

    Raises
    ------
    UsageError
        If another file is named than is there: it must not pass for the defaults. Docker makes a folder at the place of
        a file that it was to mount and did not find.
    """
    named = Path(os.environ.get(CONFIG_PATH) or OWN_CONFIG)
    if named.is_file():
        return named
    if named == Path(DEFAULT_CONFIG) and not named.exists():
        return OWN_CONFIG
    raise UsageError(f"{CONFIG_PATH} names no file", where=named, remedy="name or mount an app.yaml, or leave it out")


def load_settings() -> Settings:
    """Read and check all options.

    Raises
    ------
    UsageError
        If an option does not exist or has a value that cannot be used; the message names it.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        option = f"option {name} ({PREFIX}{name.upper()}): " if name else ""
        raise UsageError(
            f"{option}{_lower(first['msg'])}", remedy="see the table of options in docs/how-to/deploy.md"
        ) from error
    except (YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{config_file()} cannot be read ({' '.join(str(error).split())})", remedy="correct the YAML file"
        ) from error


def options_table() -> str:
    """The options as a Markdown table, for the documentation."""
    rows = ["| `app.yaml` | environment | default | values | what it does |", "| --- | --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        cells = (
            f"`{name}`",
            f"`{PREFIX}{name.upper()}`",
            _shown(name, field.default),
            _values(name),
            field.description,
        )
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(rows) + "\n"


_CHOICES: Final[Mapping[str, Iterable[StrEnum]]] = {
    "method": _METHODS,
    "tracer": TracerName,
    "outputs": OutputName,
    "seg_type": SegType,
}


_DEPENDS: Final = {
    "tracer": "from the header",
    "method": "`unet` where a folder of models is named or installed, else `percist`",
}
"""Options whose default depends on the input."""


def _values(name: str) -> str:
    if name in _CHOICES:
        return ", ".join(f"`{choice}`" for choice in _CHOICES[name])
    kind = Settings.model_fields[name].annotation
    if name == "model_sha256":
        return "64 hexadecimal digits"
    return {bool: "`true`, `false`", int: "whole number", float: "number", str: "name"}[kind]  # type: ignore[index]


def _shown(name: str, value: Any) -> str:
    if value is None:
        return _DEPENDS.get(name, "")
    if isinstance(value, frozenset):
        return f"`{','.join(name for name in OutputName if name in value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable must not pass for the default."""
    known = [*(f"{PREFIX}{name.upper()}" for name in Settings.model_fields), MODELS_VARIABLE]
    for variable in environment:
        if not variable.startswith(PREFIX) or variable in (*known, OHIF_VARIABLE) or _OF_A_SERVICE.fullmatch(variable):
            continue
        close = difflib.get_close_matches(variable, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"options are {', '.join(known)}"
        raise UsageError(f"environment variable {variable} is no option", remedy=remedy)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
