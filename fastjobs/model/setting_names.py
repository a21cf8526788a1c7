"""Names of settings that do not exist: found in the environment, and answered with the nearest one that does."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

PREFIX = "FASTJOBS_"
#: In the environment of a worker's process, and so of the programs that its jobs start: the session of the process.
STARTED_BY = "FASTJOBS_STARTED_BY"
#: Variables that are no settings of an app or a worker: read where they are needed.
_OTHERS = ("DIR", "EMBEDDED", "SERVER_BIN", STARTED_BY.removeprefix(PREFIX))
#: Set by Kubernetes in every container beside a service whose name is, or begins with, `fastjobs`.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|PORT=\w+://)"
)
#: Set by the tests of fastjobs.
_OF_TESTS = "TEST_"


def unknown_variables(environment: Mapping[str, str], known: Iterable[str]) -> Iterator[str]:
    """Yields the names of settings, as variables have them, that do not exist; empty variables count as not set.

    Args:
        environment: the variables.
        known: the settings that can be given in the environment.
    """
    names = {name.upper() for name in known} | set(_OTHERS)
    for variable, value in sorted(environment.items()):
        name = variable.removeprefix(PREFIX)
        if name != variable and value and name not in names and not _is_foreign(name, value):
            yield name.lower()


def _is_foreign(name: str, value: str) -> bool:
    return name.startswith(_OF_TESTS) or _OF_A_SERVICE.match(f"{name}={value}") is not None


def variable_of(name: str) -> str:
    """Returns the variable of a setting."""
    return PREFIX + name.upper()


def nearest(name: str, known: Iterable[str], synonyms: Mapping[str, str], shown: Callable[[str], str] = str) -> str:
    """Returns the part of an error that names the setting that was probably meant; empty when none comes near.

    Args:
        name: what was given.
        known: the names that exist.
        synonyms: other name of a setting -> the name that exists.
        shown: makes of a name what the error shows.
    """
    meant = [synonyms[name]] if name in synonyms else difflib.get_close_matches(name, sorted(known), 1)
    return f"; do you mean {shown(meant[0])!r}?" if meant else ""
