"""Segmentation by a model that nnU-Net v2 trained, computed by nnU-Net's own predictor: PetCt → Lesions."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion import __version__
from petlesion.errors import NoCtError, SegmentationError
from petlesion.lesions import PROBABILITY_MAP, Lesions
from petlesion.networks.model_config import InputChannel
from petlesion.networks.nnunet_folder import NnunetModel
from petlesion.networks.sampling import canonical
from petlesion.orientation import Orientation
from petlesion.report import MethodRecord, Reference, Review
from petlesion.segment.body import remove_outside
from petlesion.segment.computing import capped_threads, choose_device, is_memory_error
from petlesion.segment.network import check_finite, finite_ct, mean_probabilities, number_lesions
from petlesion.segment.options import NetworkOptions
from petlesion.study import PetCt
from petlesion.volume import Volume

if TYPE_CHECKING:
    from petlesion.segment.organ_search import Scene

NAME: Final = "nnunet"
"""Of the method in reports."""


def segment_by_nnunet(
    study: PetCt, model: NnunetModel, options: NetworkOptions, *, scene: Scene, reference: Reference, threshold: float
) -> Lesions:
    """Find lesions by a model of nnU-Net.

    The images go in on the PET grid in patient orientation, the CT resampled to it; nnU-Net resamples and normalises
    them as its plans say. Windows overlap by half, as in nnU-Net; mirroring is off unless wanted.

    Parameters
    ----------
    study
        SUVbw, CT where there is one.
    model
        From `load_nnunet`.
    options
        Device, threads, mirroring, minimum volume and maps; windows are nnU-Net's.
    scene
        The study reduced to a coarse grid; lesions outside its body are removed.
    reference, threshold
        Of the patient; the threshold is what a channel of PET over threshold is divided by, SUVbw.

    Raises
    ------
    NoCtError
        If the model needs a CT and the study has none.
    SegmentationError
        If the PET holds values that are not finite, or nnU-Net fails.
    """
    check_finite(study)
    study, notes = finite_ct(study)
    pet = canonical(study.pet)
    probability = np.zeros(pet.grid.shape, dtype=np.float32)
    mask = np.zeros(pet.grid.shape, dtype=bool)
    if scene.body.any():
        with capped_threads(options.threads):
            mask, probability = _predict(_planes(study, model, threshold), pet.grid.spacing_mm, model, options)
        remove_outside(mask, scene.body, scene.search_factors)
    else:
        notes.append("the PET shows no body: nothing was segmented")
    labels = number_lesions(mask, pet, options)
    back = Orientation.of(study.pet.grid).back
    return Lesions(
        labels=back(labels),
        grid=study.pet.grid,
        method=_method(model, options),
        reference=reference,
        review=Review.FILTERED,
        confidences=mean_probabilities(labels, probability),
        warnings=tuple(notes),
        maps={PROBABILITY_MAP: Volume(back(probability), study.pet.grid)} if options.maps else {},
    )


def _method(model: NnunetModel, options: NetworkOptions) -> MethodRecord:
    parameters: dict[str, Any] = {
        "configuration": model.configuration,
        "trainer": model.trainer,
        "folds": len(model.weights),
        "mirror": options.mirror,
        "min_volume_ml": options.min_volume_ml,
        "split_touching": options.split_touching,
    }
    return MethodRecord(NAME, __version__, model.sha256, parameters)


def _planes(study: PetCt, model: NnunetModel, threshold: float) -> NDArray[np.float32]:
    """Input (channel, z, y, x), not normalised."""
    suv = canonical(study.pet).array
    planes: list[NDArray[Any]] = []
    for channel in model.channels:
        match channel:
            case InputChannel.CT:
                planes.append(canonical(_ct(study)).array)
            case InputChannel.RATIO:
                planes.append(suv / np.float32(threshold))
            case _:
                planes.append(suv)
    stacked: NDArray[np.float32] = np.stack(planes).astype(np.float32, copy=False)
    return stacked


def _ct(study: PetCt) -> Volume:
    if study.ct is None:
        raise NoCtError("the model of nnU-Net needs a CT", remedy="add the CT series, or choose another method")
    return study.ct


def _predict(
    planes: NDArray[np.float32], spacing_mm: tuple[float, float, float], model: NnunetModel, options: NetworkOptions
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Mask and probability of lesion on the PET grid; what nnU-Net prints is kept from stdout."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    device = choose_device(options.device)
    plans = PlansManager(model.plans)
    with redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            use_mirroring=options.mirror,
            perform_everything_on_device=device.type == "cuda",
            device=device,
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            model.network,
            plans,
            plans.get_configuration(model.configuration),
            list(model.weights),
            model.dataset,
            model.trainer,
            model.mirror_axes,
        )
        try:
            labels, probabilities = predictor.predict_single_npy_array(
                planes, {"spacing": list(spacing_mm)}, save_or_return_probabilities=True
            )
        except (RuntimeError, MemoryError) as error:
            if is_memory_error(error):
                remedy = "close other programs, or give --device cpu"
                raise SegmentationError("memory does not suffice for nnU-Net", remedy=remedy) from error
            raise SegmentationError(f"nnU-Net failed ({error})", remedy="see its message") from error
    place = predictor.label_manager.all_labels.index(model.lesion)
    return np.asarray(labels) == model.lesion, np.asarray(probabilities[place], dtype=np.float32)
