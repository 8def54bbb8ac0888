"""Files that survive a kill or a power cut: whole in their old state or whole in the new one."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file: the new content is on the disk before it takes the place of the old one.

    Who may read it is as the process's umask says: files may quote headers.

    Raises
    ------
    OSError
        If it cannot be written; the old file then stands.
    """
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with staged.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Bring the content of a file that a library has written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring names that were created, renamed or removed in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock among processes and threads; the kernel releases it when its holder dies, however it dies.

    `filelock` would do the same on more systems; the core does without, because it runs on Linux alone.

    Parameters
    ----------
    path
        Lock file, created where missing. It stays: removing it would let two holders in. One of another user, as of a
        command that root has run, can be held by whoever may read it, but for NFS.
    wait
        Whether to wait for another holder.

    Yields
    ------
    bool
        Whether the lock is held; always, with `wait`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
