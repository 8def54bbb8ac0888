"""Reproducible unique identifiers: the same input, method and version give the same DICOM UIDs."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/petlesion")


def derived_uid(*parts: str) -> str:
    """DICOM UID that depends on `parts` alone.

    Parameters
    ----------
    *parts
        What the identified object is made of; their order matters, and their boundaries count.

    Returns
    -------
    str
        A UID under the root 2.25 made from a name-based UUID (DICOM PS3.5 B.2; RFC 9562, UUID version 5).

    Examples
    --------
    >>> derived_uid("1.2.3", "lesion", "1") == derived_uid("1.2.3", "lesion", "1")
    True
    >>> derived_uid("a", "bc") == derived_uid("ab", "c")
    False
    """
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
