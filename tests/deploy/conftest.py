"""The deployed application runs as a script: its modules are importable from its folder only."""

from __future__ import annotations

import sys
from pathlib import Path

DEPLOY_APP = Path(__file__).resolve().parents[2] / "deploy_app"
sys.path.insert(0, str(DEPLOY_APP))
