from __future__ import annotations

from pathlib import Path

import pytest

from petlesion.errors import ModelError
from petlesion.networks import nnunet_folder


def test_without_nnunet_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnunet_folder, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="nnU-Net is not installed") as caught:
        nnunet_folder.load_nnunet(tmp_path)
    assert caught.value.remedy == "pip install nnunetv2"
