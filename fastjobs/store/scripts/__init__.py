"""The Lua scripts: one file per atomic step, with `-- @include lib/<name>` resolved and the SHA known.

Scripts are addressed by content (EVALSHA), so two releases of fastjobs can share one server.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from fastjobs.server.script import Script

_INCLUDE = re.compile(r"^-- @include (lib/\w+)$", re.MULTILINE)


def _read(name: str) -> str:
    return (files(__name__) / f"{name}.lua").read_text(encoding="utf-8")


@cache
def load(name: str) -> Script:
    """Returns the script of this name with its includes put in place.

    Raises:
        FileNotFoundError: no such script or include.
    """
    source = _INCLUDE.sub(lambda match: _read(match[1]).strip(), _read(name))
    # The server addresses scripts by their SHA-1; nothing is secured by it.
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha)


#: Every script of the shipped set, in the order they are loaded.
NAMES = (
    "enqueue",
    "open",
    "fetch",
    "ack",
    "release",
    "postpone",
    "renew",
    "reclaim",
    "audit",
    "close",
    "find",
    "page",
    "cancel",
    "reschedule",
    "prioritize",
    "destroy",
    "clear",
    "trim",
    "define_recurring",
    "recur",
    "run_recurring",
    "pause_recurring",
    "resume_recurring",
    "cancel_recurring",
    "survey",
    "amend",
)


def all_scripts() -> tuple[Script, ...]:
    """Returns every shipped script."""
    return tuple(load(name) for name in NAMES)
