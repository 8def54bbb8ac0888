"""Time and result of one network computed by petlesion and by nnU-Net v2's predictor, on the same whole-body PET/CT.

    make nnunet-tools
    python benchmarks/nnunet_speed.py STUDY --model apps/petlesion/model/unet [--threads 2]

The study, of any format that `petlesion segment` reads, is brought to 300 × 200 × 200 voxels of 4 mm, the grid of the
network, so that neither side resamples in the end. petlesion goes from the study to numbered lesions: body, liver
reference, windows that hold some of the body, bfloat16 where the processor has it. nnU-Net's predictor gets the same
weights, the planes already made, and no reading or writing of files: windows everywhere, float32 on a CPU. Windows of
both overlap by a half, and mirroring is off. A third row is nnU-Net's predictor on the box of the body alone. Each is
run once to warm up on a part. Limits: half its time, Dice at most 0.005 below.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunet_sarcoma import REPOSITORY
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.evaluate.voxels import voxel_scores
from petlesion.networks.inputs import body_spread, network_input, tracer_code
from petlesion.networks.model_config import LESION
from petlesion.networks.model_folder import Model, load_model
from petlesion.networks.sampling import canonical, cut, sample
from petlesion.nifti import read_labels
from petlesion.reader import read_study
from petlesion.resample import Interpolation, resample
from petlesion.segment.network import NetworkResult, number_lesions, segment_by_network
from petlesion.segment.options import NetworkOptions
from petlesion.study import NO_CT_HU, PetCt
from petlesion.tracers import TracerName
from petlesion.volume import Grid

SHAPE, SPACING_MM = (300, 200, 200), (4.0, 4.0, 4.0)
BODY_SUV = 0.1
Mask = NDArray[np.bool_]


def whole_body(study: PetCt) -> PetCt:
    """The study on the grid of the benchmark, about the centre of the PET."""
    pet = canonical(study.pet)
    center = pet.grid.to_world((np.array(pet.grid.shape) - 1) / 2)
    first = center - (np.array(SHAPE[::-1]) - 1) / 2 * SPACING_MM[::-1]
    grid = Grid.from_geometry(SHAPE, SPACING_MM, first)
    ct = None if study.ct is None else resample(study.ct, grid, outside=NO_CT_HU)
    return replace(study, pet=resample(pet, grid), ct=ct)


def planes_of(study: PetCt, model: Model, threshold: float) -> torch.Tensor:
    """Input of the network, (channel, z, y, x)."""
    sampled = sample(study.pet, study.ct, model.config.grid_spacing_mm)
    suv, ct = torch.from_numpy(sampled.suv)[None], torch.from_numpy(sampled.ct)[None]
    tracer = torch.tensor([tracer_code(study.tracer.name)])
    spread = torch.tensor([body_spread(sampled.suv, model.config.normalisation)])
    return network_input(suv, ct, torch.tensor([threshold]), spread, tracer, model.config)[0].contiguous()


def nnunet_predictor(model: Model) -> Any:
    """nnU-Net's predictor around our network, which answers as one of its own: logits of the finest output alone."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    names = model.config.classes
    configuration = {"patch_size": list(model.config.patch), "spacing": list(SPACING_MM), "architecture": {}}
    plans = PlansManager({"configurations": {"3d": configuration}, "plans_name": "p", "dataset_name": "d"})
    labels = {name: number for number, name in enumerate(names)}
    with redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            use_mirroring=False,
            perform_everything_on_device=False,
            device=torch.device("cpu"),
            allow_tqdm=False,
        )
    chosen = plans.get_configuration("3d")
    dataset = {"labels": labels, "channel_names": {}, "file_ending": ".nii.gz"}
    predictor.manual_initialization(model.network, plans, chosen, None, dataset, "nnUNetTrainer", None)
    return predictor


def by_nnunet(predictor: Any, planes: torch.Tensor, lesion: int) -> Mask:
    """Mask of lesions by argmax over its logits."""
    logits = predictor.predict_sliding_window_return_logits(planes)
    mask: Mask = (logits.argmax(dim=0) == lesion).numpy()
    return mask


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Result and seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def main() -> None:
    """Segment both ways, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tracer", type=TracerName, choices=list(TracerName), help="where the study does not say")
    parser.add_argument("--truth", type=Path, help="mask of the true lesions, NIfTI")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    tools = REPOSITORY / "build" / "nnunet"
    if not tools.is_dir():
        parser.error("nnU-Net is not there; make nnunet-tools")
    sys.path.append(str(tools))
    torch.set_num_threads(given.threads)
    model = load_model(given.model)
    lesion = model.config.classes.index(LESION)
    study = whole_body(read_study(given.study, tracer=given.tracer))
    options = NetworkOptions(device="cpu", threads=given.threads)
    side = model.config.patch[0]
    part = cut(study.pet, (slice(0, side), slice(0, SHAPE[1]), slice(0, SHAPE[2])))
    segment_by_network(replace(study, pet=part, ct=None), [model], options)
    ours: NetworkResult
    ours, seconds = timed(lambda: segment_by_network(study, [model], options))
    found = ours.lesions.labels > 0
    planes = planes_of(study, model, float(ours.lesions.reference.threshold or study.tracer.fallback_suv))
    truth = None if given.truth is None else resample(read_labels(given.truth), study.pet.grid, Interpolation.NEAREST)

    def row(name: str, mask: Mask, took: float) -> None:
        score = voxel_scores(mask, truth.array > 0, study.pet.grid.voxel_ml).dice if truth is not None else None
        same = voxel_scores(mask, found, study.pet.grid.voxel_ml).dice
        against = "" if score is None else f"{score:.4f}"
        print(f"| {name} | {took:.1f} | {seconds / took:.2f} | {same:.4f} | {against} |", flush=True)

    print("| computed by | s | petlesion / it | Dice with petlesion's | Dice with the truth |")
    print("| --- | --- | --- | --- | --- |")
    row("petlesion, study to lesions", found, seconds)
    body = ndimage.find_objects((study.pet.array > BODY_SUV).astype(np.uint8))[0]
    for name, box in (("nnU-Net's predictor", np.s_[:, :, :]), ("the same, on the box of the body", body)):
        predictor = nnunet_predictor(model)
        by_nnunet(predictor, planes[:, :side, :side, :side], lesion)
        part_mask, took = timed(lambda p=predictor, b=box: by_nnunet(p, planes[(slice(None), *b)], lesion))  # type: ignore[misc]
        mask = np.zeros(SHAPE, dtype=bool)
        mask[box] = part_mask
        row(name, number_lesions(mask, study.pet, options) > 0, took)


if __name__ == "__main__":
    main()
