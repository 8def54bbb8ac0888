"""Options of the models as clients show them, and their values read from a request.

MONAI Label shows a number as a text field, a boolean as a check box and a list as a drop-down whose first entry is the
default; ranges it cannot show, so the model's description says them, and a value outside is refused with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from petlesion.errors import UsageError
from petlesion.segment.options import FIXED_SUV, FRACTION, MIN_VOLUME_ML, MethodName, SegmentOptions
from petlesion.tracers import TracerName

FROM_HEADER = "as the image says"
"""Tracer option that leaves the tracer as it was read."""
Config = Mapping[str, Any]

_ANY = {"instances": False, "min_volume_ml": MIN_VOLUME_ML, "tracer": [FROM_HEADER, *map(str, TracerName)]}
_THRESHOLD = _ANY | {"split_touching": False}
CONFIGS: Mapping[str, Config] = {
    "percist": _THRESHOLD,
    "fixed": _THRESHOLD | {"suv": FIXED_SUV},
    "relative": _THRESHOLD | {"fraction": FRACTION, "incremental": False},
    "gradient": _THRESHOLD,
    "click": {
        "boundary": ["gradient", "relative", "fixed", "percist", "unet"],
        "suv": FIXED_SUV,
        "fraction": FRACTION,
        "tracer": [FROM_HEADER, *map(str, TracerName)],
    },
    "unet": _ANY | {"device": ["auto", "cpu", "cuda"], "refine": False, "mirror": False},
}
"""Options of each model, with their defaults."""


def whole_number(value: Any, name: str) -> int:
    """A whole number from 0 on, of a request or a text field.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not (number >= 0 and number.is_integer()):
        raise UsageError(f"{name} is {str(value)[:40]!r}", remedy="give a whole number from 0 on")
    return int(number)


class Parameters:
    """Values of a model's options: those of the request, else the defaults.

    Parameters
    ----------
    model
        Whose options.
    request
        As it came from the client; other keys are ignored.
    """

    def __init__(self, model: str, request: Mapping[str, Any]) -> None:
        self._config = CONFIGS[model]
        self._request = request

    def flag(self, name: str) -> bool:
        """A check box."""
        value = self._value(name)
        text = str(value).lower()
        if text not in ("true", "false", "1", "0"):
            raise UsageError(f"{name} is {str(value)[:40]!r}", remedy="give true or false")
        return text in ("true", "1")

    def number(self, name: str, low: float, high: float) -> float:
        """A number from `low` to `high`, both allowed."""
        value = self._value(name)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise UsageError(f"{name} is {str(value)[:40]!r}", remedy=f"give a number from {low:g} to {high:g}")
        return number

    def choice(self, name: str) -> str:
        """An entry of a drop-down."""
        value, allowed = str(self._value(name)), self._config[name]
        if value not in allowed:
            raise UsageError(f"{name} is {value[:40]!r}", remedy=f"give one of {', '.join(allowed)}")
        return value

    @property
    def tracer(self) -> TracerName | None:
        """The tracer that the user names, if any."""
        name = self.choice("tracer")
        return None if name == FROM_HEADER else TracerName(name)

    @property
    def liver_sphere_mm(self) -> tuple[float, float, float] | None:
        """LPS point (x, y, z), mm, of a reference sphere that the user has placed; no option that panels show."""
        value = self._request.get("liver_sphere_mm")
        if value is None:
            return None
        try:
            x, y, z = (float(number) for number in value)
        except (TypeError, ValueError) as error:
            remedy = "give [x, y, z] in mm, LPS"
            raise UsageError(f"liver_sphere_mm is {str(value)[:40]!r}", remedy=remedy) from error
        return x, y, z

    def segment_options(self, method: MethodName) -> SegmentOptions:
        """Options of a threshold method."""
        given = self._config
        return SegmentOptions(
            method=method,
            suv=self.number("suv", 0.1, 100) if "suv" in given else FIXED_SUV,
            fraction=self.number("fraction", 0.05, 0.95) if "fraction" in given else FRACTION,
            incremental="incremental" in given and self.flag("incremental"),
            min_volume_ml=self.number("min_volume_ml", 0, 1000) if "min_volume_ml" in given else 0.0,
            split_touching="split_touching" in given and self.flag("split_touching"),
            liver_sphere_mm=self.liver_sphere_mm,
        )

    def _value(self, name: str) -> Any:
        value = self._request.get(name)
        if value is None or value == "":
            value = self._config[name]
        # Clients that show no options send a drop-down's whole list back.
        return value[0] if isinstance(value, list) and value else value
