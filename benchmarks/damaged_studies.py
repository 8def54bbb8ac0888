"""What becomes of damaged studies: each must end with a documented exit code, in time, and with all results or none.

    python benchmarks/damaged_studies.py [--studies 200] [--seed 0] [--jobs 1] [--limit 60] [--keep FOLDER]
                                         [--application]

Damages copies of a real study of `../shared/data` (where present) and of a simulated one at random, segments each by
the command line in a process of its own (with --application: by the deployed application), and prints a table of
damages and exit codes, and how long the slowest took. A problem is a traceback, a crash, an unforeseen error, results
that are not complete, anything left behind by a failure, or other numbers than those of the undamaged study, unless
headers were edited and there is a warning about SUV. Ends with code 1 if there is one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "deploy_app")]

from examined_studies import Examined, examine, examine_application  # noqa: E402
from selftest import write_phantom  # noqa: E402
from study_mutations import Mutation, MutationKind, copy_writable, mutate  # noqa: E402

from petlesion.report import Report  # noqa: E402

REAL = REPOSITORY.parent / "shared" / "data" / "sts_dicom" / "STS_002"


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="Segment damaged studies and say what became of them.")
    parser.add_argument("--studies", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the first study; the next ones take the following")
    parser.add_argument("--jobs", type=int, default=1, help="studies at a time")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that a study may take")
    parser.add_argument("--keep", type=Path, help="folder for the studies that make a problem")
    parser.add_argument("--application", action="store_true", help="by the deployed application: python deploy_app")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="damaged-studies-") as folder:
        sources = _sources(Path(folder))
        print(
            f"{given.studies} studies, from {', '.join(path.name for path in sources)}; at most {given.limit:g} s each"
        )

        def one(seed: int) -> tuple[int, Mutation, Examined]:
            return seed, *_one(sources, seed, Path(folder), given)

        with ThreadPoolExecutor(given.jobs) as pool:
            results = list(pool.map(one, range(given.seed, given.seed + given.studies)))
    return _print(results)


def _sources(folder: Path) -> dict[Path, Report]:
    """The studies to damage, with what the undamaged ones give."""
    write_phantom(folder / "simulated")
    studies = [folder / "simulated", *([REAL] if REAL.is_dir() else [])]
    reports = {}
    for study in studies:
        out = folder / f"{study.name}.expected"
        examined = examine(study, out, None, 600.0)
        if examined.problems or examined.code:
            raise SystemExit(f"the undamaged study {study.name} fails: {examined.said}")
        reports[study] = Report.from_json((out / "report.json").read_text(encoding="utf-8"))
    return reports


def _one(sources: dict[Path, Report], seed: int, folder: Path, given: argparse.Namespace) -> tuple[Mutation, Examined]:
    source = list(sources)[seed % len(sources)]
    study, out = copy_writable(source, folder / f"{seed}"), folder / f"{seed}.out"
    mutation = mutate(study, seed)
    run = examine_application if given.application else examine
    expected = None if mutation.another_image else sources[source]
    examined = run(study, out, expected, given.limit, excusable=mutation.kind.edits_headers)
    if examined.problems and given.keep is not None:
        shutil.copytree(study, given.keep / f"{seed}", dirs_exist_ok=True)
    shutil.rmtree(study)
    shutil.rmtree(out, ignore_errors=True)
    return mutation, examined


def _print(results: list[tuple[int, Mutation, Examined]]) -> int:
    codes = sorted({examined.code for _, _, examined in results}, key=lambda code: (code is None, code or 0))
    print(f"{'damage':18}" + "".join(f"{'time over' if code is None else code:>10}" for code in codes))
    for kind in MutationKind:
        counts = Counter(examined.code for _, mutation, examined in results if mutation.kind is kind)
        print(f"{kind:18}" + "".join(f"{counts[code] or '':>10}" for code in codes))
    counts = Counter(examined.code for _, _, examined in results)
    print(f"{'all':18}" + "".join(f"{counts[code]:>10}" for code in codes))
    seconds = sorted(examined.seconds for _, _, examined in results)
    print(f"median {seconds[len(seconds) // 2]:.1f} s, slowest {seconds[-1]:.1f} s")
    bad = [(seed, mutation, examined) for seed, mutation, examined in results if examined.problems]
    print(f"problems: {len(bad)}")
    for seed, mutation, examined in bad:
        print(f"- seed {seed}, {mutation.kind} ({mutation.detail}): {'; '.join(examined.problems)}")
        print(f"  {examined.said[-400:]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
