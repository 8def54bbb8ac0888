from __future__ import annotations

import pytest
from pydantic import ValidationError

from petlesion.networks.model_config import (
    CLASS_NAMES,
    ArchitectureConfig,
    InputChannel,
    ModelConfig,
    first_problem,
    organ_classes,
)
from petlesion.organs import Organ


def test_defaults_describe_all_classes_and_channels() -> None:
    config = ModelConfig()
    assert config.classes == CLASS_NAMES
    assert config.channels == tuple(InputChannel)
    assert organ_classes(config.classes)[Organ.LIVER] == 3
    assert len(organ_classes(config.classes)) == len(Organ)


def test_survives_a_round_trip_as_plain_data() -> None:
    config = ModelConfig(
        architecture=ArchitectureConfig(filters=(4, 8, 16)), patch=(32, 32, 16), classes=CLASS_NAMES[:3]
    )
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config


def test_anisotropic_strides_set_the_reduction() -> None:
    architecture = ArchitectureConfig(filters=(4, 8, 16), strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)))
    assert architecture.reduction == (2, 4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": (96, 96, 90)}, "no multiple"),
        ({"patch": (16, 16, 16)}, "single voxel"),
        ({"patch": (0, 96, 96)}, "patch"),
        ({"classes": ("lesion", "background")}, "begin with background and lesion"),
        ({"classes": ("background", "lesion", "appendix")}, "'appendix' is not known"),
        ({"classes": ("background", "lesion", "liver", "liver")}, "twice"),
        ({"channels": ("suv", "suv")}, "twice"),
        ({"channels": ("mri",)}, "channels"),
        ({"channels": ()}, "channels"),
        ({"spacing_mm": (4.0, 4.0)}, "spacing_mm"),
        ({"spacing_mm": (4.0, 4.0, float("nan"))}, "spacing_mm"),
        ({"name": "../unet"}, "name"),
        ({"schema_version": "petlesion-model/2"}, "schema_version"),
        ({"weights_url": "x"}, "weights_url"),
        ({"architecture": {"name": "resnet"}}, "architecture.name"),
        ({"architecture": {"filters": (4, 8)}}, "architecture"),
        ({"architecture": {"filters": (4, 8, 100_000)}}, "architecture.filters"),
        ({"architecture": {"filters": (4, 8, 8), "kernels": ((3, 3, 3),)}}, "one each a level"),
        ({"architecture": {"filters": (4, 8, 8), "kernels": ((3, 3, 3), (2, 3, 3), (3, 3, 3))}}, "not all odd"),
        ({"architecture": {"filters": (4, 8, 8), "strides": ((2, 2, 2), (2, 2, 2), (2, 2, 2))}}, "coarser"),
        ({"architecture": {"filters": (4, 8, 8), "deep_supervision": 2}}, "levels"),
        ({"architecture": "dynunet"}, "architecture"),
        ({"normalisation": {"ct_low": 100.0, "ct_high": 0.0}}, "ct_low 100 is not below"),
        ({"normalisation": {"soft_tissue_low": 240.0}}, "soft_tissue_low 240 is not below"),
    ],
)
def test_refuses_what_no_network_can_take(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate(change)
    assert message in first_problem(caught.value)
