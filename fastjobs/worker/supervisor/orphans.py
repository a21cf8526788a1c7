"""Orphans: in a container the supervisor may be process 1, which has to reap whatever lost its parent."""

from __future__ import annotations

import os
from collections.abc import Collection

#: Most of them that one turn reaps.
_MOST = 1000


def reap_orphans(own: Collection[int]) -> None:
    """Reaps processes that have ended and that nobody else will reap.

    Args:
        own: the ids of the worker's processes, whose ends mean something.
    """
    for _ in range(_MOST):
        try:
            # Looked at first: the end of a process of the worker is left to those who wait for it.
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in own:
            return
        os.waitpid(found.si_pid, os.WNOHANG)
