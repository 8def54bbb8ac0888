"""What a person at a terminal sees: progress on stderr, one line for an error."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

from petlesion.errors import ExitCode, PetlesionError


class Display:
    """Progress of one command: a line a step, a bar where a step can be counted."""

    def __init__(self, start: Callable[[str], None], count: Callable[[int, int], None]) -> None:
        self.step = start
        self.count = count


@contextlib.contextmanager
def display() -> Iterator[Display]:
    """Show steps with a spinner and elapsed time while the block runs; on stderr, so that stdout stays for results."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        current = None

        def start(name: str) -> None:
            nonlocal current
            finish()
            current = bars.add_task(name, total=None)

        def count(done: int, total: int) -> None:
            if current is not None:
                bars.update(current, completed=done, total=total)

        def finish() -> None:
            if current is not None:
                total = bars.tasks[-1].total or 1
                bars.update(current, total=total, completed=total)

        yield Display(start, count)
        finish()


def print_table(rows: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
    """Print name and value a line, then notes, on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console = Console()
    console.print(table)
    for note in notes:
        console.print(Text(f"- {note}"))


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


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
