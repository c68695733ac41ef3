"""Keeps passwords out of what is shown and recorded."""

import re

# Not by parsing: a URL that is wrong is shown too. The last @ ends the password, which may hold others.
_IN_AUTHORITY = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_IN_QUERY = re.compile(r"(?<=[?&]password=)[^&\s]*")


def without_password(text: str) -> str:
    """Return a text whose URLs show ``***`` for a password, before the host or as a parameter."""
    return _IN_QUERY.sub("***", _IN_AUTHORITY.sub(r"\1:***@", text))
