"""What a person at a terminal sees: progress on stderr, one line for an error."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from petlesion.errors import ExitCode, PetlesionError

if TYPE_CHECKING:
    from rich.console import Console

INTERVAL_S = 30.0
"""Between two lines about a long step where nobody watches a bar."""
_UNFOLDED: Final = 10_000
"""Characters; more than a row of a table has."""


class Display:
    """Progress of one command.

    Parameters
    ----------
    start
        Called with the name of each step as it begins.
    count
        Called with what is done, of how much, and the seconds left; None: at the pace so far.
    """

    def __init__(self, start: Callable[[str], None], count: Callable[[int, int, float | None], None]) -> None:
        self.step = start
        self._count = count

    def count(self, done: int, total: int, seconds_left: float | None = None) -> None:
        """Say how much of the current step is done."""
        self._count(done, total, seconds_left)


@contextlib.contextmanager
def display() -> Iterator[Display]:
    """Show steps while the block runs; on stderr, so that stdout stays for results.

    On a terminal a line a step with a bar and times; in a log a line every half minute of a step that can be counted.
    """
    with _bars() if sys.stderr.isatty() else _lines() as shown:
        yield shown


@contextlib.contextmanager
def _bars() -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        current = None

        def start(name: str) -> None:
            nonlocal current
            finish()
            current = bars.add_task(name, total=None, left="")

        def count(done: int, total: int, seconds_left: float | None) -> None:
            if current is not None:
                left = _left(done, total, bars.tasks[-1].elapsed or 0.0, seconds_left)
                bars.update(current, completed=done, total=total, left=left)

        def finish() -> None:
            if current is not None:
                total = bars.tasks[-1].total or 1
                bars.update(current, total=total, completed=total, left="")

        yield Display(start, count)
        finish()


@contextlib.contextmanager
def _lines() -> Iterator[Display]:
    name, began, said = "", time.monotonic(), time.monotonic()

    def start(new: str) -> None:
        nonlocal name, began
        name, began = new, time.monotonic()

    def count(done: int, total: int, seconds_left: float | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= INTERVAL_S:
            said = now
            print(
                f"{name}: {done} of {total} {_left(done, total, now - began, seconds_left)}".rstrip(), file=sys.stderr
            )

    yield Display(start, count)


def _left(done: int, total: int, elapsed_s: float, seconds_left: float | None) -> str:
    """Time left in words.

    Examples
    --------
    >>> _left(10, 100, 20.0, None), _left(10, 100, 20.0, 40.0), _left(0, 100, 20.0, None)
    ('3 min left', '40 s left', '')
    """
    if seconds_left is None:
        if not done:
            return ""
        seconds_left = elapsed_s * (total - done) / done
    if seconds_left < 90:
        return f"{seconds_left:.0f} s left"
    return f"{seconds_left / 60:.0f} min left" if seconds_left < 5400 else f"{seconds_left / 3600:.1f} h left"


def print_table(rows: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
    """Print name and value a line, then notes, on stdout."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path or hash is shown whole
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console = _stdout()
    console.print(table)
    for note in notes:
        console.print(Text(f"- {note}"))


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header on stdout."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _stdout().print(table)


def _stdout() -> Console:
    """Where tables go. Only a terminal has a width to fold lines to: files and other programs take them whole."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_UNFOLDED)


def quiet_libraries() -> None:
    """Keep remarks of DICOM libraries on odd headers off the terminal; what matters is a warning in the report."""
    import logging

    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.ERROR)


def report_error(error: BaseException, *, debug: bool) -> ExitCode:
    """Print one line on stderr that says what is wrong and what to do; with `debug`, the traceback before it."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, PetlesionError):
        print(f"petlesion: {error}", file=sys.stderr)
        return error.exit_code
    kind = type(error).__name__
    message = " ".join(str(error).split())
    print(
        f"petlesion: unexpected {kind}: {message}; run again with --debug and report the traceback",
        file=sys.stderr,
    )
    return ExitCode.SEGMENTATION
