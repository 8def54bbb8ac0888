"""`config.yaml` of a model folder: architecture, grid, input channels and classes, as plain validated data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from math import prod
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from petlesion.organs import Organ
from petlesion.tracers import TracerName

BACKGROUND: Final = "background"
"""Class 0: none of the others."""
LESION: Final = "lesion"
"""Class 1, in every model."""
PHYSIOLOGICAL: Final = "physiological"
"""Uptake above the patient's threshold that is no tumour and lies in none of the organs that are classes."""
CLASS_NAMES: Final = (BACKGROUND, LESION, PHYSIOLOGICAL, *(organ.value for organ in Organ))
"""Every class a model may have, in the order of the default model.

Classes exclude each other: a lesion in the liver is lesion, urine above the threshold in the bladder is bladder.
"""

_Size = Annotated[int, Field(ge=1, le=512)]
_Factor = Annotated[int, Field(ge=1, le=4)]
_Kernel = Annotated[int, Field(ge=1, le=7)]
Triple = tuple[_Size, _Size, _Size]


class InputChannel(StrEnum):
    """What a network sees; `networks.inputs` defines the values."""

    SUV = "suv"
    RATIO = "ratio"
    """SUV over the patient's reference threshold."""
    CT = "ct"
    SOFT_TISSUE = "soft-tissue"
    """CT in a window of soft tissue: a sarcoma differs from muscle by 20 HU, a hundredth of the range of `CT`."""
    TRACER = "tracer"
    """One constant plane a tracer family."""
    Z_SCORE = "z-score"
    """`SUV` less its mean over the body, in units of its spread there: what stands out, however little it takes up."""


class Norm(StrEnum):
    """Over what the activations of a level are normalised.

    Instance normalisation takes the mean of each feature map away, and with it all that the constant planes of the
    tracer say, and divides by its spread, which makes SUV 3 beside a full bladder other than SUV 3 in the chest.
    """

    GROUP = "group"
    """Over all feature maps of a level at once (Wu & He, ECCV 2018, one group): what differs between maps stays."""
    INSTANCE = "instance"
    """Over each feature map, as nnU-Net does."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Normalisation(_Data):
    """How measured values become network input.

    Attributes
    ----------
    suv_scale
        SUV enters as asinh(SUV / suv_scale): linear for normal tissue, logarithmic for a bladder of SUV 200.
    ratio_clip
        SUV over threshold is clipped to 0..ratio_clip.
    z_score_clip
        The z-score is clipped to -z_score_clip..z_score_clip.
    ct_low, ct_high
        CT is clipped to this range, HU, and mapped to -1..1.
    soft_tissue_low, soft_tissue_high
        The same for soft tissue: the window of radiology for the abdomen, 400 HU wide around 40.
    """

    suv_scale: float = Field(default=2.0, gt=0)
    ratio_clip: float = Field(default=4.0, gt=1)
    z_score_clip: float = Field(default=8.0, gt=0)
    ct_low: float = -1000.0
    ct_high: float = 1000.0
    soft_tissue_low: float = -160.0
    soft_tissue_high: float = 240.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("ct", "soft_tissue"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low >= high:
                raise ValueError(f"{name}_low {low:g} is not below {name}_high {high:g}")
        return self


class ArchitectureConfig(_Data):
    """Parameters of MONAI's DynUNet, the plain U-Net of nnU-Net (Isensee et al., Nat Methods 2021;18:203).

    Attributes
    ----------
    filters
        Feature maps a level, from the finest.
    kernels
        Size of the convolutions a level, (z, y, x).
    strides
        Reduction on the way into each level, (z, y, x); the first is (1, 1, 1).
    deep_supervision
        How many of the coarser levels have an output of their own in training.
    norm
        Normalisation after each convolution.
    """

    name: Literal["dynunet"] = "dynunet"
    filters: tuple[Annotated[int, Field(ge=2, le=512)], ...] = Field(
        default=(16, 32, 64, 128, 160), min_length=3, max_length=7
    )
    kernels: tuple[tuple[_Kernel, _Kernel, _Kernel], ...] = ()
    strides: tuple[tuple[_Factor, _Factor, _Factor], ...] = ()
    deep_supervision: int = Field(default=2, ge=0, le=5)
    norm: Norm = Norm.GROUP

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filters = data.get("filters", cls.model_fields["filters"].default)
        levels = len(filters) if isinstance(filters, Sequence) else 0
        kernels = data.get("kernels") or ((3, 3, 3),) * levels
        strides = data.get("strides") or ((1, 1, 1), *((2, 2, 2),) * (levels - 1))
        deepest = {"deep_supervision": min(2, levels - 2)} if "deep_supervision" not in data and levels > 1 else {}
        return {**data, "kernels": kernels, "strides": strides, **deepest}

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        levels = len(self.filters)
        if not len(self.kernels) == len(self.strides) == levels:
            raise ValueError(
                f"{levels} filters, {len(self.kernels)} kernels and {len(self.strides)} strides; give one each a level"
            )
        if prod(self.strides[0]) != 1:
            raise ValueError(f"the first stride is {self.strides[0]}; the output would be coarser than the input")
        if any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise ValueError(f"kernels {self.kernels} are not all odd")
        if self.deep_supervision > levels - 2:
            raise ValueError(f"deep_supervision {self.deep_supervision} needs {self.deep_supervision + 2} levels")
        return self

    @property
    def reduction(self) -> tuple[int, int, int]:
        """Voxels of the input per voxel of the deepest level along (z, y, x)."""
        z, y, x = (prod(stride[axis] for stride in self.strides) for axis in range(3))
        return z, y, x


class ModelConfig(_Data):
    """Everything that inference needs to know of a model.

    Attributes
    ----------
    spacing_mm
        Voxel size that the network works at, (z, y, x) with z to the head, y to posterior and x to the left, mm.
    patch
        Window of the network, voxels (z, y, x).
    channels
        Input, in order.
    classes
        Output, in order; the first is background and the second lesion.
    tracers
        What it was trained on; other tracers draw a warning.
    """

    schema_version: Literal["petlesion-model/1"] = "petlesion-model/1"
    name: str = Field(default="unet", pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    architecture: ArchitectureConfig = ArchitectureConfig()
    spacing_mm: tuple[Annotated[float, Field(ge=0.5, le=20)], ...] = Field(
        default=(4.0, 4.0, 4.0), min_length=3, max_length=3
    )
    patch: Triple = (96, 96, 96)
    normalisation: Normalisation = Normalisation()
    channels: tuple[InputChannel, ...] = Field(default=tuple(InputChannel), min_length=1)
    classes: tuple[str, ...] = CLASS_NAMES
    tracers: tuple[TracerName, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.classes[:2] != (BACKGROUND, LESION):
            raise ValueError(f"classes begin with {self.classes[:2]}; they must begin with background and lesion")
        unknown = sorted(set(self.classes) - set(CLASS_NAMES))
        if unknown:
            raise ValueError(f"class {unknown[0]!r} is not known; choose among {', '.join(CLASS_NAMES)}")
        for what, values in (("classes", self.classes), ("channels", self.channels)):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} {', '.join(values)} hold one twice")
        check_patch(self.patch, self.architecture)
        return self

    @property
    def grid_spacing_mm(self) -> tuple[float, float, float]:
        """`spacing_mm` as three numbers."""
        z, y, x = self.spacing_mm
        return z, y, x


def check_patch(patch: Sequence[int], architecture: ArchitectureConfig) -> None:
    """Refuse a patch that the network cannot take.

    Raises
    ------
    ValueError
        If a side is no multiple of the network's reduction, or the deepest level would be a single voxel, over which
        instance normalisation is not defined.
    """
    reduction = architecture.reduction
    if any(side % step for side, step in zip(patch, reduction, strict=True)):
        raise ValueError(f"patch {tuple(patch)} is no multiple of the network's reduction {reduction}")
    if all(side == step for side, step in zip(patch, reduction, strict=True)):
        raise ValueError(f"patch {tuple(patch)} leaves a single voxel at the deepest level; make it larger")


def first_problem(error: ValidationError) -> str:
    """The first finding of pydantic as part of a sentence: where, and what is wrong."""
    details = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def organ_classes(classes: Iterable[str]) -> dict[Organ, int]:
    """Number of each class that is an organ."""
    known = {organ.value: organ for organ in Organ}
    return {known[name]: number for number, name in enumerate(classes) if name in known}
