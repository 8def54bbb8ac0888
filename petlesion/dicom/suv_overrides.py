"""Values of a PET header that the user replaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from petlesion.errors import UsageError


@dataclass(frozen=True)
class SuvOverrides:
    """What the user knows better than the header.

    Attributes
    ----------
    weight_kg
        Body weight, kg.
    dose_bq
        Administered activity at the injection time, Bq.
    injection_time
        Injection time; without a zone it is that of the scanner's clock.

    Raises
    ------
    UsageError
        If weight or dose is not a positive number.
    """

    weight_kg: float | None = None
    dose_bq: float | None = None
    injection_time: datetime | None = None

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight_kg), ("dose", self.dose_bq)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"a {name} of {value:g} is not possible", remedy=f"give a positive --{name}")

    @property
    def replace_injection(self) -> bool:
        """Whether dose and time of the injection are both replaced."""
        return self.dose_bq is not None and self.injection_time is not None

    def as_record(self) -> dict[str, float | str]:
        """Option name → value, as given on the command line (dose in MBq)."""
        record: dict[str, float | str] = {}
        if self.weight_kg is not None:
            record["weight"] = self.weight_kg
        if self.dose_bq is not None:
            record["dose"] = self.dose_bq / 1e6
        if self.injection_time is not None:
            record["injection-time"] = self.injection_time.isoformat()
        return record


NO_OVERRIDES = SuvOverrides()
"""Everything as the header says."""
