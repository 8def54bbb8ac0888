"""The recipes of the ablations differ from the default network in what they are about, and in nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from petlesion.networks.model_config import CLASS_NAMES, PHYSIOLOGICAL, ModelConfig, Norm
from petlesion.training.config import load_config

RECIPES = Path(__file__).parents[2] / "benchmarks" / "ablations"
CHANNELS = ("suv", "ratio", "ct", "soft-tissue", "tracer", "z-score")


@pytest.mark.parametrize(
    ("name", "channels", "classes"),
    [
        ("complete", CHANNELS, CLASS_NAMES),
        ("no_threshold", ("suv", "ct", "soft-tissue", "tracer", "z-score"), CLASS_NAMES),
        ("no_tracer", ("suv", "ratio", "ct", "soft-tissue", "z-score"), CLASS_NAMES),
        ("no_organs", CHANNELS, CLASS_NAMES[:3]),
        ("no_physiological", CHANNELS, tuple(c for c in CLASS_NAMES if c != PHYSIOLOGICAL)),
        ("plain", ("suv", "ct", "soft-tissue", "z-score"), CLASS_NAMES[:2]),
    ],
)
def test_recipe_leaves_out_what_it_is_named_for(name: str, channels: tuple[str, ...], classes: tuple[str, ...]) -> None:
    complete, recipe = load_config(RECIPES / "complete.yaml"), load_config(RECIPES / f"{name}.yaml")
    whole, model = (ModelConfig.model_validate(config.model) for config in (complete, recipe))
    assert model.channels == channels
    assert model.classes == classes
    assert model.architecture.norm == (Norm.INSTANCE if name == "plain" else Norm.GROUP)
    same = {"channels": True, "classes": True, "architecture": {"norm"}}
    assert model.model_dump(exclude=same) == whole.model_dump(exclude=same)
    assert recipe.model_dump(exclude={"model", "out"}) == complete.model_dump(exclude={"model", "out"})


def test_every_recipe_is_tested() -> None:
    assert len(list(RECIPES.glob("*.yaml"))) == 6
