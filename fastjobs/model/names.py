"""Says which names are allowed for queues, job types, namespaces, sessions, and ids that a caller chooses."""

from __future__ import annotations

import re

from fastjobs.errors import ConfigError

#: `~`, `,`, braces and white space have a meaning in keys and refs, so names have none of them.
NAME = r"[A-Za-z0-9_.:-]{1,128}"
_NAME = re.compile(NAME)


def is_name(text: str) -> bool:
    """Whether a text is such a name."""
    return _NAME.fullmatch(text) is not None


def check_name(kind: str, value: object) -> str:
    """Returns the name if it is allowed.

    Args:
        kind: what it names, for the error: `queue`, `job type`, ...
        value: the name.

    Raises:
        ConfigError: it is not a str of 1 to 128 letters, digits or `_.:-`.
    """
    if not isinstance(value, str) or not is_name(value):
        shown = repr(value) if len(repr(value)) <= 150 else f"{repr(value)[:150]}..."
        raise ConfigError(f"{kind} {shown} is not a name: use 1 to 128 letters, digits or _ . : -")
    return value
