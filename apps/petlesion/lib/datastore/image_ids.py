"""Image ids: names of files and keys of requests, so nothing of a path may hide in them."""

from __future__ import annotations

import re

from petlesion.errors import UsageError

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,127}")


class UnknownImageError(UsageError):
    """A request names an image that is not there."""


class UnknownLabelError(UsageError):
    """A request names a label that is not there."""


def is_safe_name(name: str) -> bool:
    """Whether a name is one path component of letters, digits and `_ . + = -`, and not hidden.

    Examples
    --------
    >>> is_safe_name("1.2.840.113619.2"), is_safe_name("../x"), is_safe_name("/etc/passwd"), is_safe_name("a..b")
    (True, False, False, False)
    """
    return _SAFE.fullmatch(name) is not None and ".." not in name


def checked_id(image_id: str) -> str:
    """The id itself.

    Raises
    ------
    UnknownImageError
        If it could not be the id of any image.
    """
    if not is_safe_name(image_id):
        raise UnknownImageError(
            f"{image_id[:80]!r} is no image id", remedy="give a SeriesInstanceUID, or the name of a file without ending"
        )
    return image_id


def checked_tag(tag: str) -> str:
    """The tag itself (`final`, `original`, or one of the client's own).

    Raises
    ------
    UnknownLabelError
        If it could not be a tag.
    """
    if not is_safe_name(tag):
        raise UnknownLabelError(f"{tag[:80]!r} is no label tag", remedy="give final, original, or a simple name")
    return tag
