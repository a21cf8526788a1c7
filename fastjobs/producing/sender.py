"""Numbers the chunks that one thread sends, so that the server recognises each that is sent again."""

from __future__ import annotations

import os

from fastjobs._core import new_id
from fastjobs.model.origin import Origin
from fastjobs.producing.destinations import Destination

#: Numbers that a sender may leave unused: the server remembers each of them.
_MOST_UNUSED = 16


class Sender:
    """The numbers of one thread, per partition.

    It begins anew, under another id, after an error, in a forked process, and when it has left too many numbers unused.
    So the server has few exceptions to remember.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Takes another id. Chunks that were numbered before may still be sent again."""
        self._id = new_id()
        self._pid = os.getpid()
        self._last: dict[str, int] = {}
        self._unused = 0

    def number(self, destination: Destination) -> Origin:
        """Numbers the next chunk for a destination."""
        if self._pid != os.getpid():
            self.begin_anew()
        partition = destination.partition
        number = self._last[partition] = self._last.get(partition, 0) + 1
        return Origin(self._id, number, destination.is_chosen)

    def note_unused(self) -> None:
        """Notes that a number was not used, because the server had the job already or another one under its id."""
        self._unused += 1
        if self._unused > _MOST_UNUSED:
            self.begin_anew()
