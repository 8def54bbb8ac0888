"""Time, memory and multiply-adds of a network on a whole-body PET/CT of 300 × 200 × 200 voxels of 4 mm.

    python benchmarks/network_speed.py [--model FOLDER] [--threads 2] [--device cpu]

Without a model, the default network with random weights (background favoured, so that it finds next to nothing) is
timed: what a convolution costs does not depend on its weights, but what follows, such as resampling and measuring, is
then cheaper than with a trained model. Windows without any of the body are left out; this one holds its arms up and
fits into one column of windows, and two columns take twice as long. The peak is what this machine reaches in a large
matrix product in the number format that the network is computed in. Limits: 60 s and 6 GiB on two cores.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from segmentation import NOISE, ORGANS, ellipsoid

from petlesion.networks.model_config import BACKGROUND, ModelConfig
from petlesion.networks.model_folder import Model, load_model
from petlesion.networks.unet import build_unet, network_cost
from petlesion.report import SuvRecord
from petlesion.segment.computing import choose_device
from petlesion.segment.network import segment_by_network
from petlesion.segment.options import NetworkOptions
from petlesion.segment.windows import autocast_dtype
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

SHAPE, SPACING_MM = (300, 200, 200), (4.0, 4.0, 4.0)
LIMIT_S, LIMIT_GIB = 60.0, 6.0
BODY = ORGANS[:2]
MATRIX = 4096
PRODUCTS = 5
FAVOUR = 50.0
"""Added to the logit of background of random weights."""


def patient() -> PetCt:
    """A body with organs in PET, and its soft tissue in CT."""
    grid = Grid.from_geometry(SHAPE, SPACING_MM, -np.array(SHAPE[::-1]) * SPACING_MM / 2)
    suv, ct = np.zeros(SHAPE, dtype=np.float32), np.full(SHAPE, -1000.0, dtype=np.float32)
    for center, half, value in ORGANS:
        # the drawing is 1,800 mm tall, this image 1,200
        ellipsoid(suv, grid, (*center[:2], center[2] * 2 / 3), (*half[:2], half[2] * 2 / 3), value)
    for center, half, _ in BODY:
        ellipsoid(ct, grid, (*center[:2], center[2] * 2 / 3), (*half[:2], half[2] * 2 / 3), 40.0)
    suv *= 1 + NOISE * np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    return PetCt(
        pet=Volume(suv, grid),
        ct=Volume(ct, grid),
        tracer=TRACERS[TracerName.GA68_DOTATATE],
        patient=Patient(),
        suv=SuvRecord("GML", "START", 1.0, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.2.3",
    )


def random_model() -> Model:
    """The default network, untrained."""
    config = ModelConfig()
    torch.manual_seed(0)
    network = build_unet(config).eval()
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
    outputs = [module for module in last if module.out_channels == len(config.classes) and module.bias is not None]
    with torch.no_grad():
        for module in outputs:
            module.bias[config.classes.index(BACKGROUND)] += FAVOUR
    return Model(network, config, {}, "0" * 64)


def peak_per_s(device: torch.device) -> float:
    """Multiply-adds a second of the best of several large matrix products."""
    dtype = autocast_dtype(device) or torch.float32
    a, b = (torch.randn(MATRIX, MATRIX, device=device, dtype=dtype) for _ in range(2))
    best = np.inf
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
    return MATRIX**3 / best


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.set_num_threads(given.threads)
    model = random_model() if given.model is None else load_model(given.model)
    options = NetworkOptions(device=given.device, threads=given.threads)
    study = patient()
    part = Volume(study.pet.array[120:180], Grid.from_geometry((60, *SHAPE[1:]), SPACING_MM))
    segment_by_network(replace(study, pet=part, ct=None), [model], options)  # imports, kernels
    seconds: list[tuple[int, float]] = []

    def watch(done: int, _: int) -> None:
        seconds.append((done, time.perf_counter()))

    cpu, start = time.process_time(), time.perf_counter()
    found = segment_by_network(study, [model], options, progress=watch)
    whole, cpu = time.perf_counter() - start, time.process_time() - cpu
    (first, began), (last, ended) = seconds[0], seconds[-1]
    cost = network_cost(model.config)
    rate = (last - first) / (ended - began) * np.prod(model.config.patch) * cost.multiply_adds_per_voxel
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = peak_per_s(device)
    print(f"network       {cost.parameters / 1e6:.2f} M parameters")
    print(f"a voxel       {cost.multiply_adds_per_voxel:,.0f} multiply-adds")
    print(f"computed in   {autocast_dtype(device) or torch.float32} on {device}, {given.threads} threads")
    print(f"windows       {last} of {' x '.join(map(str, model.config.patch))}")
    print(f"time          {whole:.1f} s, {cpu:.1f} s of CPU (limit {LIMIT_S:g} s)")
    print(f"network alone {ended - began:.1f} s for windows {first + 1} to {last}")
    print(f"memory        {memory:.2f} GiB (limit {LIMIT_GIB:g} GiB)")
    print(f"multiply-adds {rate / 1e9:.0f} G/s of {peak / 1e9:.0f} G/s of a matrix product: {rate / peak:.0%}")
    print(f"lesions       {found.lesions.count}")


if __name__ == "__main__":
    main()
