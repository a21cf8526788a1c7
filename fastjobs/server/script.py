"""One Lua script as a server knows it: by the SHA-1 of its text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One script as it is sent to the server."""

    name: str
    source: str
    sha: str
    #: The names of its keys, in the order of KEYS.
    keys: tuple[str, ...]
