"""Child processes that end with the command that started them, however it ends."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from petlesion.child_processes import ending_with
from petlesion.errors import UsageError

STOP_S = 20.0
"""A child that has not ended this long after SIGTERM is killed."""
STOP_OTHERS_S = 5.0
"""What it has started, such as a training that notes that it was stopped, has so long after it."""
_TAIL_BYTES = 1 << 16


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Child]:
    """Start a program; it is ended, with all that it started, when the block ends or this process dies.

    Parameters
    ----------
    name
        How messages call it.
    command
        Program and arguments.
    log
        Takes what it prints; kept from run to run.
    environment, cwd
        Default: as of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=cwd,
            # A Ctrl+C at the terminal then reaches this process alone, which ends the others in order.
            start_new_session=True,
            preexec_fn=ending_with(os.getpid(), signal.SIGTERM),
        )
    try:
        yield Child(name, process, log)
    finally:
        _stop(process)


class Child:
    """A program that runs.

    Parameters
    ----------
    name, process, log
        See `running`.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def wait_until_it_answers(self, url: str, timeout_s: float = math.inf) -> None:
        """Wait for an answer of a web server; by default as long as it runs, for one that has much to look at.

        Raises
        ------
        UsageError
            If it ends, answers with an error, or does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline:
            self.check()
            try:
                with opener.open(url, timeout=30) as answer:
                    answer.read()
                    return
            except urllib.error.HTTPError as error:
                raise UsageError(f"{self.name} answers {error.code}", where=self.log, remedy="see its log") from error
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise UsageError(f"{self.name} does not answer after {timeout_s:g} s", where=self.log, remedy="see its log")

    def check(self) -> None:
        """Complain if it has ended.

        Raises
        ------
        UsageError
            With the last line of its log.
        """
        status = self.process.poll()
        if status is not None:
            with self.log.open("rb") as stream:  # which only grows
                stream.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                lines = stream.read().decode(errors="replace").splitlines()
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise UsageError(
                f"{self.name} has ended with status {status} ({last[:300]})", remedy=f"see its log {self.log}"
            )


def free_port(wanted: int) -> int:
    """The port itself if nothing listens on it on the loopback interface, else another free one."""
    if is_free("127.0.0.1", wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens on a port of an address of this machine."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the child and all in its session, SIGKILL to what is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    deadline = time.monotonic() + STOP_OTHERS_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)  # is somebody left?
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
