"""A sample of what benchmarks/damaged_studies.py does with hundreds of studies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from examined_studies import examine
from study_mutations import MutationKind, copy_writable, mutate

from petlesion.errors import ExitCode
from petlesion.report import Report

DEPLOY_APP = Path(__file__).resolve().parents[2] / "deploy_app"
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A simulated study and what it gives."""
    folder = tmp_path_factory.mktemp("undamaged")
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); from pathlib import Path; "
        "from selftest import write_phantom; write_phantom(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "study")], check=True, timeout=120)
    examined = examine(folder / "study", folder / "out", None, LIMIT_S)
    assert (examined.code, examined.problems) == (ExitCode.DONE, ()), examined.said
    return folder / "study", _report(folder / "out")


def _report(out: Path) -> Report:
    return Report.from_json((out / "report.json").read_text())


@pytest.mark.parametrize("kind", list(MutationKind))
def test_damaged_study_ends_with_a_documented_code_and_all_results_or_none(
    undamaged: tuple[Path, Report], tmp_path: Path, kind: MutationKind
) -> None:
    source, expected = undamaged
    for seed in range(2):
        study = copy_writable(source, tmp_path / f"{seed}")
        mutation = mutate(study, seed, kind)
        wanted = None if mutation.another_image else expected
        examined = examine(study, tmp_path / f"{seed}.out", wanted, LIMIT_S, excusable=kind.edits_headers)
        assert examined.problems == (), f"seed {seed}: {mutation}\n{examined.said}"


def test_other_numbers_without_an_excuse_are_seen(undamaged: tuple[Path, Report], tmp_path: Path) -> None:
    """The check itself: a weight that somebody has changed gives other SUV, which no program can know to be wrong.

    What is said of files that are there twice does not excuse it.
    """
    from damaged_studies import edit

    source, expected = undamaged
    study = copy_writable(source, tmp_path / "study")
    edit(sorted((study / "PT").iterdir()), lambda header: setattr(header, "PatientWeight", 80.0))
    mutate(study, 0, MutationKind.DUPLICATED)
    examined = examine(study, tmp_path / "out", expected, LIMIT_S, excusable=True)
    assert examined.code == ExitCode.DONE
    assert any("copies of images" in each for each in _report(tmp_path / "out").warnings)
    assert [problem.split(":")[0] for problem in examined.problems] == ["other numbers than before, and no excuse"]
