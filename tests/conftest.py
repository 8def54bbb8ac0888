"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, however busy the machine.
settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.load_profile("reproducible")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the repository; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not present at ../shared/data (looked for {SHARED_DATA.name} beside the repository)")
    return SHARED_DATA
