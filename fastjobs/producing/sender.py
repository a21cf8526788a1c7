"""Numbers the chunks that one thread sends, so that the server recognises each that is sent again."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from itertools import count

from fastjobs._core import new_id
from fastjobs.model.origin import Origin
from fastjobs.producing.destinations import Destination

#: Numbers that a sender may leave unused: the server remembers each of them.
_MOST_UNUSED = 16


class _Numbering:
    """The numbers that go with one id. They are taken in one step: a signal handler may send in between."""

    def __init__(self) -> None:
        self.id = new_id()
        self.pid = os.getpid()
        self.next: defaultdict[str, count[int]] = defaultdict(partial(count, 1))


class Sender:
    """The numbers of one thread, per partition.

    It begins anew, under another id, after an error, in a forked process, and when it has left too many numbers unused.
    So the server has few exceptions to remember.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Takes another id. Chunks that were numbered before may still be sent again."""
        self._numbering = _Numbering()
        self._unused = 0

    def number(self, destination: Destination) -> Origin:
        """Numbers the next chunk for a destination."""
        if self._numbering.pid != os.getpid():
            self.begin_anew()
        numbering = self._numbering
        return Origin(numbering.id, next(numbering.next[destination.partition]), destination.is_chosen)

    def note_unused(self) -> None:
        """Notes that a number was not used, because the server had the job already or another one under its id."""
        self._unused += 1
        if self._unused > _MOST_UNUSED:
            self.begin_anew()
