"""How long users wait before anything happens: `import petlesion` and `petlesion --help`, against their limits.

    python benchmarks/startup.py

Prints the best of five runs, as CPU time of the process, which other load on the machine does not change, and as wall
time, and both as a share of the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

RUNS = 5
LIMITS_S = {("-c", "import petlesion"): 1.0, ("-m", "petlesion", "--help"): 1.5}


def cpu_and_wall_s(arguments: tuple[str, ...]) -> tuple[float, float]:
    """CPU and wall time of one run, s."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, wall


def main() -> None:
    """Print the table."""
    print(f"{'command':32} {'CPU s':>7} {'wall s':>7} {'limit s':>8} {'CPU/limit':>10} {'wall/limit':>11}")
    for arguments, limit in LIMITS_S.items():
        runs = [cpu_and_wall_s(arguments) for _ in range(RUNS)]
        cpu, wall = min(cpu for cpu, _ in runs), min(wall for _, wall in runs)
        command = " ".join(("python", *arguments))
        print(f"{command:32} {cpu:7.2f} {wall:7.2f} {limit:8.1f} {cpu / limit:10.2f} {wall / limit:11.2f}")


if __name__ == "__main__":
    main()
