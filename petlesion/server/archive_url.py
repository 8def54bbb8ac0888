"""The address of a DICOMweb server as it may be given."""

from __future__ import annotations

from urllib.parse import urlsplit

from petlesion.errors import UsageError


def checked_url(url: str) -> str:
    """The same URL.

    Raises
    ------
    UsageError
        If it holds a user or password: clients and logs are told the URL.
    """
    if "@" in urlsplit(url).netloc:
        raise UsageError(
            "the URL of the DICOMweb server holds a user or password, which everybody would be shown",
            remedy="give them as MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD in the environment",
        )
    return url
