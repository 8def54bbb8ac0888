"""The training loop: from a configuration file to a model folder, resumable after a kill at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from petlesion.errors import OutputError, SegmentationError, UsageError, reason
from petlesion.networks.inputs import network_input
from petlesion.networks.model_config import ModelConfig, first_problem
from petlesion.networks.model_folder import load_model, write_model
from petlesion.networks.unet import build_unet, grown, outputs, perturbed
from petlesion.progress import Progress, silent
from petlesion.segment.computing import choose_device
from petlesion.segment.windows import autocast_dtype, channels_last
from petlesion.training.augmentation import Augmentation, Patches
from petlesion.training.cache import CachedCase, data_sha256, prepare
from petlesion.training.card import ancestors, build_card
from petlesion.training.cases import find_cases
from petlesion.training.checkpoint import Progressed, resume, save
from petlesion.training.config import Keep, OptimiserConfig, TrainConfig, load_config
from petlesion.training.dataset import PatchBatches, source_size
from petlesion.training.distributed import Group, process_group
from petlesion.training.losses import Loss, build_loss
from petlesion.training.plan import fingerprint, plan
from petlesion.training.split import validates
from petlesion.training.tracking import Log, open_tracking
from petlesion.training.validation import Validation, summarise, validate_case, validation_sample

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim.swa_utils import AveragedModel

MODEL_FOLDER = "model"
"""Name of the model folder inside `out`."""


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes
    ----------
    step, steps
        Done, and planned.
    loss
        Of the last step.
    learning_rate
        Of the last step.
    validation
        Of this step; None between validations and without validation cases.
    best_score
        So far.
    seconds_left
        At the present pace.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    validation: Validation | None
    best_score: float | None
    seconds_left: float


Watch = Callable[[Status], None]
"""Called after every step."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Preprocessed cases by their part, and the model configuration that was planned for them."""

    model: ModelConfig
    training: Sequence[CachedCase]
    validation: Sequence[CachedCase]


def train(config_path: Path, *, watch: Watch = lambda _: None, progress: Progress = silent, jobs: int = 1) -> Path:
    """Train a network as a configuration file says, or go on where an earlier run of it was interrupted.

    Parameters
    ----------
    config_path
        YAML, see `TrainConfig`.
    watch
        Told after every step how far the run is.
    progress
        Told how many cases are preprocessed.
    jobs
        Processes that preprocess.

    Returns
    -------
    Path
        The model folder, `out/model`.

    Raises
    ------
    UsageError
        If the configuration makes no sense, there is nothing to train on, or `out` holds another run.
    ModelError
        If the model to start from cannot be loaded.
    SegmentationError
        If the loss is no longer a finite number.
    """
    config = load_config(config_path)
    gpu = choose_device(config.run.device).type == "cuda"
    with process_group(gpu=gpu) as group:
        data = prepare_data(config, group, progress, jobs)
        return _Run.start(config, data, group).finish(watch)


def prepare_data(config: TrainConfig, group: Group, progress: Progress, jobs: int = 1) -> TrainingData:
    """Find, plan, preprocess and split.

    Raises
    ------
    UsageError
        If no patient is left to train on.
    """
    cases = find_cases(config.cohorts)
    model = plan(config, fingerprint(cases)) if config.init is None else _of_parent(config.init, config.model)
    if group.leads:  # the others then find a complete cache
        prepare(cases, model, config.cache, jobs=jobs, progress=progress)
    group.agree(None)
    ready = prepare(cases, model, config.cache)
    held_out = [case for case in ready if validates(case.patient_id, config.split)]
    training = [case for case in ready if not validates(case.patient_id, config.split)]
    if not training:
        raise UsageError(
            f"all {len(held_out)} cases belong to validation patients",
            remedy="add cases, or set split.validation to 0; who validates is decided by hash and not drawn again",
        )
    tracers = tuple(sorted({case.tracer for case in training} | set(model.tracers if config.init else ())))
    return TrainingData(model.model_copy(update={"tracers": tracers}), training, held_out)


def _of_parent(init: Path, changes: Mapping[str, Any]) -> ModelConfig:
    """Configuration of the model that training starts from, with another patch or more channels if so wished."""
    parent = load_model(init).config
    try:
        model = ModelConfig.model_validate({**parent.model_dump(), **changes})
    except ValidationError as error:
        raise UsageError(
            f"model does not go with that of init ({first_problem(error)})", where=init, remedy="change model: or init:"
        ) from error
    missing = [channel for channel in parent.channels if channel not in model.channels]
    if missing:
        raise UsageError(
            f"model.channels lacks {missing[0]}", where=init, remedy="give all channels of the model in init:, and more"
        )
    return model


def learning_rate(options: OptimiserConfig, done: float) -> float:
    """Learning rate after a share of the run.

    Examples
    --------
    >>> options = OptimiserConfig(learning_rate=1.0, warmup=0.5, power=1.0)
    >>> [learning_rate(options, done) for done in (0.25, 0.5, 0.75, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if done < options.warmup:
        return options.learning_rate * done / options.warmup
    left = (1 - done) / (1 - options.warmup) if options.warmup < 1 else 0.0
    return float(options.learning_rate * max(0.0, left) ** options.power)


@dataclass(eq=False)
class _Run:
    """A run in this process."""

    config: TrainConfig
    data: TrainingData
    group: Group
    device: torch.device
    network: nn.Module
    compute: nn.Module
    optimiser: torch.optim.Optimizer
    loss: Loss
    augmentation: Augmentation
    average: AveragedModel | None
    kept: dict[str, Tensor]
    state: Progressed
    ancestors: list[dict[str, Any]]

    @classmethod
    def start(cls, config: TrainConfig, data: TrainingData, group: Group) -> _Run:
        """Build everything, with weights of the checkpoint, of the parent, or random ones."""
        import torch

        _make_folder(config.out)
        device = choose_device(config.run.device)
        torch.manual_seed(config.seed)
        lineage: list[dict[str, Any]] = []
        kept: dict[str, Tensor] = {}
        if config.init is None:
            network = build_unet(data.model)
        else:
            parent = load_model(config.init)
            network, lineage = grown(parent.network, parent.config, data.model), ancestors(parent)
            if config.kept_share > 0:
                kept = _weights(network)
            if config.init_share < 1:
                network = perturbed(network, data.model, config.init_share)
        identity = data_sha256([*data.training, *data.validation])
        state = resume(config.out, config.recipe_sha256(), identity, lineage[0]["sha256"] if lineage else "")
        network.to(device)
        if state.step:
            network.load_state_dict(state.network)
        if config.run.amp and channels_last(device):
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,unused-ignore]
        optimiser = _optimiser(config.optimiser, network)
        average = _average(network) if config.run.keep is Keep.AVERAGE else None
        if state.step:
            optimiser.load_state_dict(state.optimiser)
            if average is not None:
                average.load_state_dict(state.average)
        options, patch = config.augmentation, data.model.patch
        return cls(
            config=config,
            data=data,
            group=group,
            device=device,
            network=network,
            compute=_wrapped(network, config, group, device),
            optimiser=optimiser,
            loss=build_loss(config.loss, data.model, device),
            augmentation=Augmentation(options, patch, data.model.grid_spacing_mm),
            average=average,
            kept=kept,
            state=state,
            ancestors=lineage,
        )

    def finish(self, watch: Watch) -> Path:
        """Train to the end, or until time or patience are used up, and write the model."""
        state, run = self.state, self.config.run
        log = open_tracking(run.tracking if self.group.leads else (), self.config.out, state.step + 1)
        began, losses = time.monotonic() - state.seconds, []
        for batch in self._batches():
            seconds, over = self._pace(time.monotonic() - began)
            if over:
                break
            done = self._done(seconds)
            rate = learning_rate(self.config.optimiser, done)
            value = self._step(batch, state.step, rate)
            losses.append(value)
            if self.average is not None and done >= run.average_after:
                self.average.update_parameters(self.network)
            state.step += 1
            validation = None
            if state.step % run.validate_every == 0 or state.step == run.steps:
                validation = self._checkpoint(float(sum(losses) / len(losses)), rate, log, began)
                losses = []
            left = (time.monotonic() - began) / state.step * (run.steps - state.step)
            if run.max_minutes is not None:
                left = min(left, run.max_minutes * 60 - (time.monotonic() - began))
            if self.group.leads:
                watch(Status(state.step, run.steps, value, rate, validation, state.best_score, max(0.0, left)))
        if losses:  # ended by time between validations
            self._checkpoint(float(sum(losses) / len(losses)), 0.0, log, began)
        return self._write_model()

    def _batches(self) -> Any:
        """Batches from the next step on, loaded ahead by worker processes."""
        from torch.utils.data import DataLoader

        run, options = self.config.run, self.config.augmentation
        wider = options.affine > 0 or options.elastic > 0
        batches = PatchBatches(
            self.data.training,
            self.data.model,
            source_size(self.data.model.patch, wider=wider),
            run.batch,
            run.lesion_share,
            run.uptake_share,
            self.config.seed,
            self.group.rank,
        )
        return DataLoader(
            batches,  # type: ignore[arg-type,unused-ignore]
            batch_size=None,
            sampler=range(self.state.step, run.steps),
            num_workers=run.workers,
            pin_memory=self.device.type == "cuda",
        )

    def _done(self, seconds: float) -> float:
        """Share of the run that is done after the coming step."""
        run = self.config.run
        by_steps = (self.state.step + 1) / (run.steps + 1)
        return by_steps if run.max_minutes is None else min(1.0, max(by_steps, seconds / 60 / run.max_minutes))

    def _pace(self, seconds: float) -> tuple[float, bool]:
        """Time spent and whether the run is over, by the clock of the leading process in all of them.

        The learning rate follows the time: processes that step at different rates would drift apart.
        """
        run = self.config.run
        late = run.max_minutes is not None and seconds / 60 >= run.max_minutes and self.state.step > 0
        stale = run.patience is not None and self.state.stale >= run.patience
        return self.group.agree((seconds, late or stale))

    def _step(self, batch: Mapping[str, Tensor], step: int, rate: float) -> float:
        """One update of the weights; returns the loss."""
        import torch

        moved = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        seed = (self.config.seed * 1_000_003 + step) * self.group.size + self.group.rank
        patches = self.augmentation(Patches(**moved), seed)
        planes = network_input(
            patches.suv, patches.ct, patches.threshold, patches.spread, patches.tracer, self.data.model
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.compute.train()
        dtype = autocast_dtype(self.device) if self.config.run.amp else None
        with nullcontext() if dtype is None else torch.autocast(self.device.type, dtype):
            result = self.compute(planes)
        avid = patches.suv >= patches.threshold[:, None, None, None]
        loss = self.loss(outputs(result, training=True, config=self.data.model), patches.classes, avid, patches.known)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.gradient_norm)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise SegmentationError(
                f"the loss is {value} at step {step}", remedy="lower optimiser.learning_rate and start again"
            )
        self.optimiser.step()
        return value

    def _checkpoint(self, loss: float, rate: float, log: Log, began: float) -> Validation | None:
        """Validate, remember the weights that the model would get, and save."""
        state, run = self.state, self.config.run
        validation = self._validate()
        state.seconds = time.monotonic() - began
        score, before = -loss if validation is None else validation.score, state.best_score
        improved = before is None or score > before
        state.stale = 0 if improved else state.stale + 1
        state.best_score = score if improved else before
        # the loss over a few random patches says too little to choose weights by
        if improved or score == before or run.keep is not Keep.BEST or validation is None:
            state.best, state.best_step = self._judged(), state.step
        row = {"step": state.step, "loss": loss, "learning_rate": rate, **(asdict(validation) if validation else {})}
        state.history.append(row)
        state.network, state.optimiser = _weights(self.network), self.optimiser.state_dict()
        state.average = {} if self.average is None else _weights(self.average)
        if self.group.leads:
            save(state, self.config.out)
            log(state.step, {name: float(value) for name, value in row.items() if value is not None and name != "step"})
        return validation

    def _judged(self) -> dict[str, Tensor]:
        """Weights of the network that would become the model now."""
        averaged = self.average is not None and self.average.n_averaged
        weights = _weights(self.average.module if self.average is not None and averaged else self.network)
        share = self.config.kept_share
        return {name: value.lerp(self.kept[name], share) for name, value in weights.items()} if self.kept else weights

    def _validate(self) -> Validation | None:
        """Scores of the validation cases, shared among the processes; None without cases."""
        cases = validation_sample(self.data.validation, self.config.run.validation_cases)
        if not cases:
            return None
        # another network with the same weights: DynUNet keeps outputs of its last step, which cannot be copied
        network = build_unet(self.data.model).to(self.device).eval()
        network.load_state_dict(self._judged())
        mine = cases[self.group.rank :: self.group.size]
        scores = [validate_case(network, self.data.model, case, self.device) for case in mine]
        return summarise(self.group.gather(scores))

    def _write_model(self) -> Path:
        folder = self.config.out / MODEL_FOLDER
        if self.group.leads:
            card = build_card(
                self.config,
                self.data.model,
                self.data.training,
                self.data.validation,
                self.state,
                ancestors=self.ancestors,
                device=_device_name(self.device),
            )
            write_model(folder, self.state.best, self.data.model, card)
        self.group.agree(None)
        return folder


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder cannot be created ({reason(error)})", where=out, remedy="give a writable folder as out:"
        ) from error


def _optimiser(options: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    import torch

    if options.name == "sgd":
        return torch.optim.SGD(
            network.parameters(), options.learning_rate, momentum=0.99, nesterov=True, weight_decay=options.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=options.weight_decay, fused=True)


def _average(network: nn.Module) -> AveragedModel:
    from torch.optim.swa_utils import AveragedModel

    return AveragedModel(network)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _wrapped(network: nn.Module, config: TrainConfig, group: Group, device: torch.device) -> nn.Module:
    """The network as it is called in training: averaged over processes, compiled."""
    import torch

    called = network
    if group.size > 1:
        ids = [device.index or group.local_rank] if device.type == "cuda" else None
        called = torch.nn.parallel.DistributedDataParallel(network, device_ids=ids)
    if config.run.compile:
        called = torch.compile(called)  # type: ignore[assignment,unused-ignore]
    return called


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
