"""The YAML file of a training run, validated; profiles give what it leaves out."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml  # type: ignore[import-untyped,unused-ignore]
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from petlesion.errors import UsageError, reason
from petlesion.networks.model_config import ModelConfig, first_problem
from petlesion.tracers import TracerName

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tracking(StrEnum):
    """Where curves go besides the log file."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


class CohortConfig(_Data):
    """A folder of cases, one folder each.

    Attributes
    ----------
    folder
        Each case has `pet.nii.gz` (SUVbw), `ct.nii.gz` (HU) where there is one, and its truth: `truth/` of the
        simulator, or `lesions.nii.gz` or `gtv.nii.gz`, and `organs.nii.gz` where there is one.
    tracer
        Of cases that do not say it themselves.
    weight
        How often a case of this cohort is drawn, relative to cases of the others.
    mirror
        Share of its patches that are mirrored left-right. None unless side means nothing, as in crops of limbs: the
        liver is on the right.
    suv_gamma_range
        SUV is raised to a power between 1 over this and this: what lies above SUV 1, tumours first, takes up more or
        less, as it does from patient to patient. 1, the default, leaves it as it was measured; for cohorts of few
        patients whose images show no organ that is known by its uptake.
    """

    folder: Path
    tracer: TracerName | None = None
    weight: float = Field(default=1.0, gt=0)
    mirror: Share = 0.0
    suv_gamma_range: float = Field(default=1.0, ge=1, le=4)


class SplitConfig(_Data):
    """Who validates: patients whose hash falls into a part of the range; see `training.split`.

    Attributes
    ----------
    validation
        Share of the patients.
    fold, folds
        Instead: one of several equal parts.
    """

    validation: Share = 0.15
    fold: int | None = Field(default=None, ge=0)
    folds: int = Field(default=5, ge=2)

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} does not exist; the first is 0")
        return self


class AugmentationConfig(_Data):
    """How patches are varied; probabilities are per patch. Nothing changes SUV beyond errors of calibration.

    Attributes
    ----------
    affine, rotation_degrees, scale
        Rotation about each axis up to that angle and isotropic scaling by up to that share.
    elastic, elastic_mm, elastic_grid_mm
        Smooth random displacement of up to `elastic_mm`, control points `elastic_grid_mm` apart.
    misregistration, misregistration_mm
        Shift of the CT against the PET.
    calibration
        SUV is scaled by up to this share (EARL allows 10 %).
    threshold
        The reference threshold alone is scaled by up to this share: reference regions vary.
    pet_noise, pet_noise_level
        Correlated noise whose standard deviation is up to that many times the square root of SUV.
    pet_blur, pet_blur_mm
        Smoothing up to that FWHM: other scanners and reconstructions.
    ct_noise, ct_noise_hu, ct_gamma, ct_gamma_range
        Noise and gamma of the CT; a range of 1.05 moves water by up to 35 HU.
    no_ct, no_tracer
        The network learns what to do without.
    """

    affine: Share = 0.7
    rotation_degrees: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.2, ge=0, lt=1)
    elastic: Share = 0.3
    elastic_mm: float = Field(default=6.0, ge=0)
    elastic_grid_mm: float = Field(default=64.0, gt=0)
    misregistration: Share = 0.5
    misregistration_mm: float = Field(default=10.0, ge=0)
    calibration: float = Field(default=0.1, ge=0, le=0.1)
    threshold: float = Field(default=0.1, ge=0, le=0.5)
    pet_noise: Share = 0.3
    pet_noise_level: float = Field(default=0.1, ge=0)
    pet_blur: Share = 0.2
    pet_blur_mm: float = Field(default=6.0, ge=0)
    ct_noise: Share = 0.2
    ct_noise_hu: float = Field(default=40.0, ge=0)
    ct_gamma: Share = 0.3
    ct_gamma_range: float = Field(default=1.05, ge=1)
    no_ct: Share = 0.1
    no_tracer: Share = 0.1


class OptimiserConfig(_Data):
    """Optimiser and learning rate: linear warm-up, then polynomial decay to zero as in nnU-Net; a power of 0: none."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=3e-5, ge=0)
    warmup: Share = 0.02
    power: float = Field(default=0.9, ge=0)
    gradient_norm: float = Field(default=12.0, gt=0)


class LossConfig(_Data):
    """Dice without smoothing plus cross-entropy.

    Attributes
    ----------
    dice, cross_entropy
        Weights of the two.
    lesion_dice_weight
        Of the lesion's Dice against that of any other class. While few lesions are told from organs, the reward of the
        Dice for a voxel of a lesion is many times its cost of a false one: at 15 a network called all uptake lesion for
        more than a thousand steps, at 2 it knew kidneys and liver by then.
    avid_weight
        In the cross-entropy, of a voxel at or above the patient's threshold against one below: whether uptake is tumour
        or physiological is the question, and hardly one voxel in fifty asks it. At 20 a network learned little of
        organs without uptake, and found no lesion in its first 3000 steps.
    lesion_weight
        In the cross-entropy, of a voxel of a lesion against another of equal uptake: above 1, lesions are found earlier
        in training, and more is taken for one.
    faint_lesion_weight
        The same below the threshold. At 2, fine-tuned networks left out cold parts of sarcomas that they gave a
        probability of 0.1 to 0.4.
    """

    dice: float = Field(default=1.0, ge=0)
    cross_entropy: float = Field(default=1.0, ge=0)
    lesion_dice_weight: float = Field(default=2.0, gt=0)
    avid_weight: float = Field(default=8.0, gt=0)
    lesion_weight: float = Field(default=2.0, gt=0)
    faint_lesion_weight: float = Field(default=2.0, gt=0)


class Keep(StrEnum):
    """Which weights become the model."""

    BEST = "best"
    """Those of the best validation; without validation cases the last."""
    LAST = "last"
    """The last: the learning rate has fallen to zero by then, and a few validation cases choose by chance."""
    AVERAGE = "average"
    """The mean over the steps since a share of the run (Izmailov et al., UAI 2018), which carries over to other
    patients better where there are few; with a learning rate that falls slowly (`optimiser.power`)."""


class RunConfig(_Data):
    """Length and hardware of a run.

    Attributes
    ----------
    steps
        Updates of the weights.
    max_minutes
        End earlier than `steps`; the learning rate then follows the time.
    validate_every
        Steps between validations; at each, a checkpoint is written.
    validation_cases
        Most cases that are used for it, every tracer in turn.
    patience
        Validations without improvement after which the run ends; None: never.
    keep, average_after
        Which weights become the model; a mean is taken over the steps after that share of the run.
    batch
        Patches a step.
    lesion_share, uptake_share
        Shares of them around a lesion, each of a case as likely as the others, and around a voxel at or above the
        threshold outside lesions: uptake that is none is what a network has to learn most, and few places of a body
        hold it. The others lie anywhere in the body.
    device, amp, compile
        "auto", "cpu", "cuda"; bfloat16 where the hardware has it; `torch.compile`.
    workers
        Processes that load patches.
    processes
        Processes that compute, each with a batch of its own; None: one a GPU, and one without a GPU.
    tracking
        Where curves go.
    """

    steps: Count = 2000
    max_minutes: float | None = Field(default=None, gt=0)
    validate_every: Count = 200
    validation_cases: Count = 20
    patience: Count | None = None
    keep: Keep = Keep.BEST
    average_after: Share = 0.5
    batch: Count = 2
    lesion_share: Share = 0.4
    uptake_share: Share = 0.4
    device: str = "auto"
    amp: bool = True
    compile: bool = False
    workers: int = Field(default=0, ge=0)
    processes: Count | None = None
    tracking: tuple[Tracking, ...] = ()

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.lesion_share + self.uptake_share > 1:
            raise ValueError("lesion_share and uptake_share are more than 1 together")
        return self


class TrainConfig(_Data):
    """A training run.

    Attributes
    ----------
    out
        Folder of checkpoints, log and the resulting `model/`.
    cache
        Folder of preprocessed cases; may be shared between runs.
    cohorts
        Labelled cases.
    init
        Model folder to start from; its `config.yaml` then takes the place of `model`, which may change no more than
        `patch` and add to `channels`: with weights of zero, so that training begins with what the model did before.
    init_share
        Share of its weights in those that training starts from, random ones being the rest: see
        `networks.unet.perturbed`. For a model that has learned patients by heart which this training is about as well.
    kept_share
        Share of its weights in those of the model that comes out, the trained ones being the rest. Between the two lies
        a model that knows what few patients teach and forgets less (Wortsman et al., Robust fine-tuning of zero-shot
        models, CVPR 2022).
    model
        Grid, channels, classes and architecture. `spacing_mm` and `patch` that are left out are planned from the data.
    licence
        Licence of the data, for the card.
    """

    out: Path
    cache: Path
    cohorts: tuple[CohortConfig, ...] = Field(min_length=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    init: Path | None = None
    init_share: Share = 1.0
    kept_share: Share = 0.0
    model: dict[str, Any] = Field(default_factory=dict)
    split: SplitConfig = SplitConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossConfig = LossConfig()
    run: RunConfig = RunConfig()
    licence: str = ""

    @model_validator(mode="after")
    def _model_is_valid(self) -> Self:
        own = sorted(set(self.model) - {"channels", "patch"})
        if self.init is not None and own:
            raise ValueError(
                f"init and model.{own[0]} exclude each other: the model that training starts from has its own"
            )
        if self.init is None:
            for name in ("init_share", "kept_share"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} says nothing without init")
            ModelConfig.model_validate(self.model)
        return self

    def recipe_sha256(self) -> str:
        """Identity of all that decides the weights; a checkpoint is resumed only by the same recipe."""
        recipe = self.model_dump(mode="json", exclude={"out", "cache", "licence"})
        for name in ("patience", "device", "workers", "processes", "tracking"):
            del recipe["run"][name]
        text = json.dumps(recipe, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Profile(StrEnum):
    """Recipes that ship."""

    CPU = "cpu"
    """Two cores for about an hour."""
    GPU = "gpu"
    """One large GPU for up to 25 minutes."""


def load_config(path: Path) -> TrainConfig:
    """Read the file of a training run.

    `profile: cpu` or `profile: gpu` takes over what `training/profiles` says; the file overrides it key by key. With
    `init:` the profile says nothing of the model. Paths are relative to the file.

    Raises
    ------
    UsageError
        If the file is missing, no YAML, or holds a key or value that makes no sense.
    """
    data = read_yaml(path)
    profile = data.pop("profile", None)
    if profile is not None:
        if profile not in list(Profile):
            raise UsageError(f"profile {profile!r} does not exist", where=path, remedy=f"choose {', '.join(Profile)}")
        text = files("petlesion.training").joinpath("profiles", f"{profile}.yaml").read_text(encoding="utf-8")
        given = yaml.safe_load(text)
        if data.get("init") is not None:
            del given["model"]  # the model that training starts from has its own
        data = _merged(given, data)
    try:
        config = TrainConfig.model_validate(data)
    except ValidationError as error:
        raise UsageError(
            f"training configuration is not valid ({first_problem(error)})",
            where=path,
            remedy="see docs/how-to/train.md",
        ) from error
    return _anchored(config, path.parent)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of settings; raises as `load_config`."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"training configuration cannot be read ({reason(error)})", where=path, remedy="give a YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" (line {place.line + 1})" if place is not None else ""
        raise UsageError(f"training configuration is no YAML{line}", where=path, remedy="correct its syntax") from error
    if not isinstance(data, dict):
        raise UsageError(
            "training configuration holds no settings", where=path, remedy="see docs/how-to/train.md for an example"
        )
    return data


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, nested tables key by key."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _anchored(config: TrainConfig, folder: Path) -> TrainConfig:
    """Paths relative to the configuration's folder as paths of their own."""
    cohorts = tuple(cohort.model_copy(update={"folder": folder / cohort.folder}) for cohort in config.cohorts)
    paths = {"out": folder / config.out, "cache": folder / config.cache, "cohorts": cohorts}
    return config.model_copy(update={**paths, "init": config.init and folder / config.init})
