"""Fires recurring jobs: every worker looks, the first one wins, so it needs no leader.

Runs in the supervisor: all it needs of a definition is stored, no user code is.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fastjobs._core import ChunkWriter
from fastjobs.logs import event
from fastjobs.model.chance import chance
from fastjobs.model.definition import Definition
from fastjobs.store.store import Store

log = logging.getLogger("fastjobs.worker")

#: A definition made or changed meanwhile is noticed after this long.
_LOOK_MS = 1000
#: Workers look at different moments after a due instant, so that most find it fired already.
_JITTER_S = 0.02
#: Definitions looked at per queue at a time; if that many are due, the next look follows at once.
_LOOK_LIMIT = 100


class _Look(NamedTuple):
    """The result of one look at the schedule."""

    #: The server's clock.
    now_ms: int
    #: Queue and id of the definitions that are due.
    due: list[tuple[str, str]]
    #: When the next one is; no later than the next look.
    next_due_ms: float
    #: The queues in which there may be more that are due.
    more: set[str]


class _Firing(NamedTuple):
    """A definition that is due, and what to make of that."""

    queue: str
    definition: Definition
    #: The definition as it was stored.
    stored: bytes
    dues: list[int]
    next_due_ms: int
    blob: bytes


class Recurrer:
    """Looks when the next definition is due, and at least every second.

    Args:
        store: the supervisor's.
        queues: whose definitions to look after.
    """

    def __init__(self, store: Store, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = queues
        self._writer = ChunkWriter(store.config.max_payload_bytes, store.config.compress_min_bytes)
        #: Definitions that cannot be fired from here, as they were stored when that was logged.
        self._unusable: dict[tuple[str, str], bytes] = {}
        #: How many definitions the next look passes in each queue: they are due, could not be fired, and so still stand
        #: at the head of the line.
        self._passed: Counter[str] = Counter()
        #: Definitions, as they were stored when the server refused to fire them: another worker was faster, or they are
        #: not due at the time that the schedule has for them.
        self._refused: dict[tuple[str, str], bytes] = {}
        self.due_at = 0.0

    def run(self) -> int:
        """Fires what is due; returns the number of runs enqueued.

        Raises:
            StoreError: the server does not serve.
        """
        # First, so that a server that does not serve is not asked again at once.
        self.due_at = time.monotonic() + _LOOK_MS / 1000
        look = self._look()
        firings = self._prepare(look)
        enqueued = self._fire(firings) if firings else 0
        self._pass(look, firings)
        next_due_ms = min([look.next_due_ms, *(firing.next_due_ms for firing in firings)])
        wait_s = 0.0 if look.more else (next_due_ms - look.now_ms) / 1000
        self.due_at = min(self.due_at, time.monotonic() + wait_s + chance.uniform(0, _JITTER_S))
        return enqueued

    def _fire(self, firings: list[_Firing]) -> int:
        """Fires definitions; returns the number of runs enqueued, and leaves in the list only what the server fired."""
        enqueued = 0
        batch = self._store.batch()
        replies = [
            batch.recur(firing.queue, firing.definition, firing.next_due_ms, firing.blob, firing.dues)
            for firing in firings
        ]
        batch.run()
        for firing, runs in zip(list(firings), replies, strict=True):
            enqueued += max(runs.value, 0)
            if runs.value < 0:
                firings.remove(firing)
                self._note_refused(firing)
            else:
                self._refused.pop((firing.queue, firing.definition.id), None)
                _tell(firing, runs.value)
        return enqueued

    def _note_refused(self, firing: _Firing) -> None:
        """Logs a definition that is refused a second time as it is: then no other worker has fired it meanwhile."""
        key = firing.queue, firing.definition.id
        if self._refused.get(key) == firing.stored and self._unusable.get(key) != firing.stored:
            reason = "it is not due at the time that its definition says"
            event(log, logging.ERROR, "cannot enqueue recurring job", recurring=firing.definition.id, reason=reason)
            self._unusable[key] = firing.stored
        self._refused[key] = firing.stored

    def _pass(self, look: _Look, fired: list[_Firing]) -> None:
        """Lets the next look pass what is still at the head of the line; it begins at the head when this is done."""
        self._passed.update(queue for queue, _ in look.due)
        self._passed.subtract(firing.queue for firing in fired)
        self._passed = Counter({queue: number for queue, number in self._passed.items() if queue in look.more})

    def _look(self) -> _Look:
        batch = self._store.batch()
        clock = batch.time_ms()
        heads = [batch.first_due(queue, self._passed[queue], _LOOK_LIMIT) for queue in self._queues]
        batch.run()
        now_ms = clock.value
        entries = [
            (queue, name.decode("utf-8", "replace"), float(due_ms))
            for queue, head in zip(self._queues, heads, strict=True)
            for name, due_ms in head.value
        ]
        due = [(queue, name) for queue, name, due_ms in entries if due_ms <= now_ms]
        later = [due_ms for _, _, due_ms in entries if due_ms > now_ms]
        more = {
            queue
            for queue, head in zip(self._queues, heads, strict=True)
            if len(head.value) == _LOOK_LIMIT and float(head.value[-1][1]) <= now_ms
        }
        return _Look(now_ms, due, min(later, default=now_ms + _LOOK_MS), more)

    def _prepare(self, look: _Look) -> list[_Firing]:
        """Reads the definitions that are due and works out what is to be fired."""
        if not look.due:
            return []
        batch = self._store.batch()
        replies = [batch.stored_definition(queue, name) for queue, name in look.due]
        batch.run()
        firings = []
        for (queue, name), reply in zip(look.due, replies, strict=True):
            stored = reply.value
            # None: cancelled between the look and now.
            if stored is not None and self._unusable.get((queue, name)) != stored:
                try:
                    firings.append(self._firing(queue, name, stored, look.now_ms))
                except Exception as error:
                    # Another worker may be able to: a newer one, or one that knows the time zone. Whatever it is, the
                    # other definitions are to be fired, and the supervisor has to live.
                    self._unusable[queue, name] = stored
                    event(log, logging.ERROR, "cannot enqueue recurring job", recurring=name, reason=error)
        return firings

    def _firing(self, queue: str, name: str, stored: bytes, now_ms: int) -> _Firing:
        definition = self._store.definition(queue, name, stored)
        next_due_ms = definition.schedule.following(definition.due_ms, now_ms)
        blob = definition.pack(self._writer, now_ms)
        return _Firing(queue, definition, stored, definition.runs_due(now_ms), next_due_ms, blob)


def _tell(firing: _Firing, runs: int) -> None:
    """Logs what is worth knowing: runs that were skipped or made up for."""
    name = firing.definition.id
    if runs == 0 and firing.dues:
        event(log, logging.DEBUG, "recurring run skipped, previous run not done", recurring=name)
    elif runs == 0:
        event(log, logging.WARNING, "missed recurring runs skipped", recurring=name)
    elif runs > 1:
        event(log, logging.WARNING, "missed recurring runs enqueued", recurring=name, runs=runs)
