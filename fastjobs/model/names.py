"""Says which names are allowed for queues, job types, namespaces, sessions, and ids that a caller chooses."""

from __future__ import annotations

import re

from fastjobs.errors import ConfigError

#: `~`, `,`, braces and white space have a meaning in keys and refs, so names have none of them.
NAME = r"[A-Za-z0-9_.:-]{1,128}"
_NAME = re.compile(NAME)
#: Colons separate namespace, queue and partition in keys, and a queue from its weight in lists.
_KEY_PART = re.compile(NAME.replace(":", ""))


def is_name(text: str) -> bool:
    """Whether a text is a name of a job type, a session or a job."""
    return _NAME.fullmatch(text) is not None


def is_key_part(text: str) -> bool:
    """Whether a text is a name of a queue or a namespace."""
    return _KEY_PART.fullmatch(text) is not None


def check_name(kind: str, value: object) -> str:
    """Returns the name if it is allowed.

    Args:
        kind: what it names, for the error: `job type`, `job id`, ...
        value: the name.

    Raises:
        ConfigError: it is not a str of 1 to 128 letters, digits or `_.:-`.
    """
    return _check(_NAME, "_ . : -", kind, value)


def check_key_part(kind: str, value: object) -> str:
    """Returns the name of a queue or a namespace if it is allowed; otherwise as `check_name`, but without colons.

    Raises:
        ConfigError: it is not a str of 1 to 128 letters, digits or `_.-`.
    """
    return _check(_KEY_PART, "_ . -", kind, value)


def _check(pattern: re.Pattern[str], signs: str, kind: str, value: object) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        shown = repr(value) if len(repr(value)) <= 150 else f"{repr(value)[:150]}..."
        raise ConfigError(f"{kind} {shown} is not a name: use 1 to 128 letters, digits or {signs}")
    return value
