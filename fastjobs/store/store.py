"""One method per script: the one module that knows both the keys and the scripts.

Calls are collected in a `Batch`, sent in one write and, because every script may be sent twice,
sent again as they are when the connection or the server failed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fastjobs import errors
from fastjobs._core import CommandBuffer, pack_head
from fastjobs.config import Config
from fastjobs.model.definition import Definition
from fastjobs.model.partitions import number_of, partition_name, partition_order, queue_of
from fastjobs.model.refs import JobAddress, is_detached, job_ref, run_id
from fastjobs.server.cluster import Cluster, slot_of
from fastjobs.server.connection import Client
from fastjobs.server.exchanges.clustered import ANYWHERE, WITH_PREVIOUS, RoutedExchange
from fastjobs.server.exchanges.single import PRODUCER_RETRIES, Exchange, try_on
from fastjobs.store.keys import QueueKeys, queue_keys, queues_key
from fastjobs.store.replies import (
    Stored,
    parse_answer,
    parse_defined,
    parse_found,
    parse_lease,
    parse_page,
    parse_reclaimed,
    parse_renewed,
    parse_run,
    parse_status,
)
from fastjobs.store.scripts import all_scripts, load
from fastjobs.store.sealing import Keyring

#: Most wake-up hints kept per queue: more idle processes than this wake each other in a chain.
_WAKE_CAP = 64
#: Most refs one call gives back, so that no call holds the server for long.
_GIVE_BACK_LIMIT = 500
#: Most refs and payload bytes in one lease, for the same reason.
MAX_LEASE_REFS = 256
MAX_LEASE_BYTES = 4 << 20

#: Commands without a key: any server of a cluster will do.
_WITHOUT_KEY = frozenset({"TIME", "INFO", "PING", "CONFIG"})
#: Commands about what was written before them over the same connection.
_ABOUT_PREVIOUS = frozenset({"WAIT", "WAITAOF"})

#: The keys of the scripts that give leased jobs back.
_GIVE_BACK_KEYS = (
    "ready",
    "leases",
    "sessions",
    "chunks",
    "jobs",
    "marks",
    "cancelling",
    "cancelled",
    "finished",
    "finished_log",
    "stats",
    "wake",
)
#: The keys of the scripts that act on one job.
_OPERATION_KEYS = (
    "chunks",
    "ready",
    "scheduled",
    "marks",
    "jobs",
    "leases",
    "failed",
    "cancelled",
    "cancelling",
    "finished",
    "finished_log",
    "stats",
    "wake",
)
#: The keys each script declares, in its order.
_SCRIPT_KEYS: dict[str, tuple[str, ...]] = {
    "enqueue": ("chunks", "ready", "scheduled", "jobs", "stats", "wake"),
    "open": ("sessions", "stats"),
    "fetch": (
        "ready",
        "scheduled",
        "chunks",
        "jobs",
        "marks",
        "leases",
        "sessions",
        "stats",
        "wake",
    ),
    "ack": (
        "chunks",
        "ready",
        "scheduled",
        "marks",
        "jobs",
        "leases",
        "sessions",
        "failed",
        "cancelled",
        "cancelling",
        "finished",
        "finished_log",
        "stats",
        "wake",
    ),
    "release": _GIVE_BACK_KEYS,
    "postpone": (*_GIVE_BACK_KEYS, "scheduled"),
    "renew": ("sessions", "stats", "cancelling"),
    "reclaim": _GIVE_BACK_KEYS,
    "audit": _GIVE_BACK_KEYS,
    "close": _GIVE_BACK_KEYS,
    "find": ("chunks", "ready", "scheduled", "marks", "jobs", "finished"),
    "cancel": _OPERATION_KEYS,
    "reschedule": _OPERATION_KEYS,
    "prioritize": _OPERATION_KEYS,
    "destroy": _OPERATION_KEYS,
    "trim": ("chunks", "marks", "jobs", "failed", "cancelled", "finished", "finished_log", "stats"),
    "clear": ("chunks", "ready", "scheduled", "marks", "jobs", "finished", "finished_log", "stats"),
    "define_recurring": ("recurring", "recurring_due", "stats"),
    "recur": ("recurring", "recurring_due", "chunks", "ready", "jobs", "finished", "stats", "wake"),
    "run_recurring": ("recurring", "chunks", "ready", "jobs", "finished", "stats", "wake"),
    "pause_recurring": ("recurring", "recurring_due", "stats"),
    "resume_recurring": ("recurring", "recurring_due", "stats"),
    "cancel_recurring": ("recurring", "recurring_due"),
    "survey": QueueKeys.__slots__,
    "amend": QueueKeys.__slots__,
}


class Run(NamedTuple):
    """Jobs of a chunk that finished, side by side."""

    chunk_id: str
    #: Number of jobs in the whole chunk.
    n: int
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    #: When and where they ran, as `Board.finished_runs` packs it.
    head: bytes
    #: Eight bytes of times per job.
    columns: bytes
    #: How long they are kept in the history, in milliseconds; 0 = not at all.
    keep_ms: int


class Outcome(NamedTuple):
    """A job that did not simply finish."""

    #: The ref it is leased by: of a detached job, or its chunk's id.
    ref: str
    #: Number of jobs in the chunk; 0 when the chunk cannot be read, or for a detached job.
    n: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    #: finished | retrying | scheduled | failed | cancelled
    state: str
    delay_ms: int
    priority: int
    #: How long it is kept if it finished, in milliseconds; 0 = not at all.
    keep_ms: int
    type: str
    record: bytes


def _digest(basis: bytes) -> str:
    """Names a stored record; nothing is secured by it."""
    return hashlib.sha1(basis, usedforsecurity=False).hexdigest() if basis else ""


def _as_is(reply: Any) -> Any:
    return reply


def _slot_of_command(parts: Sequence[bytes | str | int]) -> int:
    name, *rest = parts
    if name in _ABOUT_PREVIOUS:
        return WITH_PREVIOUS
    if name in _WITHOUT_KEY:
        return ANYWHERE
    key = rest[0]
    assert not isinstance(key, int)
    return slot_of(key)


class Store:
    """The scripts of all queues of one namespace, over one connection.

    What is called a queue here is one partition of it, `mail` or `mail#3`: they share nothing.
    Not for use by several threads at once, as its `Client`.

    Args:
        client: the connection, or those to a cluster.
        config: namespace, lease and retention come from here.
        patience_s: how long a passing error is waited out by calls that have no budget of their own.
    """

    def __init__(self, client: Client | Cluster, config: Config, patience_s: float = 0.0) -> None:
        client.scripts = all_scripts
        self.client = client
        self.config = config
        self.patience_s = patience_s
        self._slots: dict[str, int] = {}
        self._heads: dict[tuple[str, str], tuple[bytes, int]] = {}
        self._keys: dict[str, QueueKeys] = {}
        #: Seals what batches store; whoever reads what is stored opens it.
        self.keyring = Keyring(config)

    def keys(self, queue: str) -> QueueKeys:
        """Returns the keys of a queue."""
        keys = self._keys.get(queue)
        if keys is None:
            keys = queue_keys(self.config.namespace, queue_of(queue), number_of(queue))
            self._keys[queue] = keys
        return keys

    def definition(self, queue: str, definition_id: str, stored: bytes) -> Definition:
        """Reads the stored definition of a recurring job; errors as for `Definition.decode` and `Keyring`."""
        line, newline, body = stored.partition(b"\n")
        body = self.keyring.open_definition(queue, definition_id, body)
        return Definition.decode(definition_id, line + newline + body)

    @property
    def is_cluster(self) -> bool:
        """Whether partitions can be on different servers."""
        return isinstance(self.client, Cluster)

    def slot(self, queue: str) -> int:
        """Returns the slot of a queue's keys."""
        slot = self._slots.get(queue)
        if slot is None:
            slot = self._slots[queue] = slot_of(self.keys(queue).stats)
        return slot

    def head(self, script: str, queue: str) -> tuple[bytes, int]:
        """Returns the packed constant beginning of a call: EVALSHA, SHA and keys."""
        head = self._heads.get((script, queue))
        if head is None:
            keys = self.keys(queue)
            names = _SCRIPT_KEYS[script]
            head = pack_head("EVALSHA", load(script).sha, len(names), *(getattr(keys, name) for name in names))
            self._heads[script, queue] = head
        return head

    def batch(self) -> Batch:
        """Returns an empty batch of calls."""
        return Batch(self)

    def partitions(self, queues: Iterable[str] | None = None) -> dict[str, list[str]]:
        """Asks which partitions queues have: those that were ever used, and those that are configured.

        Args:
            queues: which; None = all that were ever used.

        Returns:
            Queue -> its partitions, both in order.
        """
        (replied,) = self.batch().command("SMEMBERS", queues_key(self.config.namespace)).run()
        used = [name.decode() for name in replied]
        wanted = sorted({queue_of(name) for name in used}) if queues is None else list(dict.fromkeys(queues))
        return {queue: self.known_partitions(queue, used) for queue in wanted}

    def known_partitions(self, queue: str, used: Iterable[str]) -> list[str]:
        """Returns the partitions of one queue: those among the used ones, and those that are configured."""
        configured = {partition_name(queue, number) for number in range(self.config.partitions_of(queue))}
        return sorted(configured.union(name for name in used if queue_of(name) == queue), key=partition_order)


class Batch:
    """Calls that travel together. Add calls, then `run`, or `send` and later `result`.

    Each method that adds a call returns the batch; results come in the order of the calls.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._buffer = CommandBuffer()
        self._parsers: list[Callable[[Any], Any]] = []
        #: Of each call where it goes; None when there is one server.
        self._slots: list[int] | None = [] if store.is_cluster else None
        self._exchange: Exchange | RoutedExchange | None = None

    def __len__(self) -> int:
        return len(self._parsers)

    def _script(
        self,
        script: str,
        queue: str,
        args: Sequence[bytes | str | int],
        parser: Callable[[Any], Any],
    ) -> Batch:
        self._buffer.extend(self._store.head(script, queue), args)
        self._parsers.append(parser)
        if self._slots is not None:
            self._slots.append(self._store.slot(queue))
        return self

    def command(self, *parts: bytes | str | int) -> Batch:
        """Adds a plain command that may be sent twice; its result is the server's reply.

        On a cluster, the word behind its name is its key, except for commands without any.
        """
        self._buffer.extend(pack_head(parts[0]), parts[1:])
        self._parsers.append(_as_is)
        if self._slots is not None:
            self._slots.append(_slot_of_command(parts))
        return self

    def enqueue(
        self,
        queue: str,
        chunk_id: str,
        n: int,
        priority: int,
        blob: bytes,
        *,
        delay_ms: int = 0,
        due_at_ms: int = 0,
    ) -> Batch:
        """Stores a chunk of `n` jobs; result `Stored`. Due after a delay, or at a time, or at once."""
        stored = self._store.keyring.seal_chunk(queue, chunk_id, blob)
        args = (chunk_id, n, priority, delay_ms, due_at_ms, _WAKE_CAP, stored)
        return self._script("enqueue", queue, args, Stored)

    def open(self, queue: str, session: str) -> Batch:
        """Opens a session; result True, or False when it was fenced before."""
        return self._script("open", queue, (session, self._store.config.lease_ms), bool)

    def fetch(self, queue: str, session: str, request: int, want: int, held: Iterable[str] = ()) -> Batch:
        """Leases about `want` jobs; result `Lease`. The same request id returns the same lease."""
        lease_ms = self._store.config.lease_ms
        args: tuple[bytes | str | int, ...]
        args = (session, request, want, MAX_LEASE_REFS, MAX_LEASE_BYTES, lease_ms, *held)
        return self._script("fetch", queue, args, parse_lease)

    def ack(
        self,
        queue: str,
        session: str,
        fence: int,
        runs: Sequence[Run],
        outcomes: Sequence[Outcome] = (),
    ) -> Batch:
        """Reports what became of leased jobs; result: jobs taken, or -1 when the session is fenced."""
        config = self._store.config
        args: list[bytes | str | int] = [
            session,
            fence,
            config.finished_keep,
            config.failed_keep,
            int(config.failed_keep_s * 1000),
            len(runs),
        ]
        for run in runs:
            args += run
        for outcome in outcomes:
            ref = outcome.ref if is_detached(outcome.ref) else job_ref(outcome.ref, outcome.index)
            args += outcome._replace(record=self._store.keyring.seal_record(queue, ref, outcome.record))
        return self._script("ack", queue, args, int)

    def release(self, queue: str, session: str, fence: int, refs: Iterable[str]) -> Batch:
        """Gives unstarted jobs back to their place; result: jobs taken off the lease, or -1 when fenced."""
        return self._script("release", queue, (session, fence, *refs), int)

    def postpone(self, queue: str, session: str, fence: int, delay_ms: int, refs: Iterable[str]) -> Batch:
        """Moves unstarted spans into the schedule; result: jobs taken off the lease, or -1 when fenced."""
        return self._script("postpone", queue, (session, fence, delay_ms, *refs), int)

    def renew(self, queue: str, sessions: Sequence[str]) -> Batch:
        """Heartbeat; result `Renewed`."""
        args: tuple[str | int, ...] = (self._store.config.lease_ms, *sessions)
        return self._script("renew", queue, args, parse_renewed)

    def reclaim(self, queue: str) -> Batch:
        """One bounded step of taking jobs from dead sessions; result `Reclaimed`."""
        args = (_GIVE_BACK_LIMIT, self._store.config.lease_ms)
        return self._script("reclaim", queue, args, parse_reclaimed)

    def audit(self, queue: str, session: str, request: int, fences: Iterable[int]) -> Batch:
        """Gives back leases the session does not know of; result: jobs, or -1 when fenced.

        `request` is the last fetch whose reply is known: after a later one the session may be about to know more.
        """
        return self._script("audit", queue, (session, request, *fences), int)

    def close(self, queue: str, session: str) -> Batch:
        """One bounded step of ending a session; result: [jobs given back, 1 when it is closed]."""
        return self._script("close", queue, (session, _GIVE_BACK_LIMIT), _as_is)

    def find(self, queue: str, job: JobAddress) -> Batch:
        """Tells all about one job; result `FoundJob` or None."""
        return self._script("find", queue, job.words, parse_found)

    def cancel(self, queue: str, job: JobAddress, operation: str, type_name: str, record: bytes) -> Batch:
        """Cancels a job; result: the status it has then, or None. The record is used while it is in its chunk."""
        config = self._store.config
        args = (
            *(*job.words, operation, type_name),
            self._store.keyring.seal_record(queue, job.ref, record),
            *(config.failed_keep, int(config.failed_keep_s * 1000)),
        )
        return self._script("cancel", queue, args, parse_status)

    def reschedule(
        self,
        queue: str,
        job: JobAddress,
        operation: str,
        allowed: Iterable[str],
        basis: bytes,
        type_name: str,
        record: bytes,
        *,
        delay_ms: int = 0,
        due_at_ms: int = 0,
    ) -> Batch:
        """Puts a job in line again; result `Answer` or None. Basis: the stored record the new one was made from."""
        args = (
            *(*job.words, operation, ",".join(allowed)),
            *(delay_ms, due_at_ms, _digest(basis), type_name),
            self._store.keyring.seal_record(queue, job.ref, record),
        )
        return self._script("reschedule", queue, args, parse_answer)

    def prioritize(
        self,
        queue: str,
        job: JobAddress,
        operation: str,
        priority: int,
        basis: bytes,
        type_name: str,
        record: bytes,
    ) -> Batch:
        """Changes a waiting job's priority; result `Answer` or None. Basis: as for `reschedule`."""
        args = (
            *(*job.words, operation, priority),
            *(_digest(basis), type_name, self._store.keyring.seal_record(queue, job.ref, record)),
        )
        return self._script("prioritize", queue, args, parse_answer)

    def destroy(self, queue: str, job: JobAddress) -> Batch:
        """Removes every trace of a job; result: the status it had, or None."""
        return self._script("destroy", queue, job.words, parse_status)

    def trim(self, queue: str) -> Batch:
        """One bounded step of forgetting what has been kept long enough; result: jobs forgotten."""
        config = self._store.config
        args = (config.finished_keep, config.failed_keep, int(config.failed_keep_s * 1000), _GIVE_BACK_LIMIT)
        return self._script("trim", queue, args, int)

    def clear(self, queue: str) -> Batch:
        """One bounded step of dropping what waits; result: jobs dropped, 0 when nothing is left."""
        return self._script("clear", queue, (_GIVE_BACK_LIMIT,), int)

    def page(self, queue: str, key: str, after: tuple[str, str] | None, limit: int, *, reverse: bool = False) -> Batch:
        """Reads (member, score) pairs of one of the queue's sorted sets, on from a (score, member)."""
        head = pack_head("EVALSHA", load("page").sha, 1, getattr(self._store.keys(queue), key))
        score, member = after or ("", "")
        self._buffer.extend(head, (score, member, limit, int(reverse)))
        self._parsers.append(parse_page)
        if self._slots is not None:
            self._slots.append(self._store.slot(queue))
        return self

    def define_recurring(self, queue: str, definition: Definition, due_ms: int) -> Batch:
        """Defines or changes a recurring job, first due at `due_ms`; result (`Defined`, what is stored)."""
        args = (definition.id, definition.version, due_ms, definition.overlap, definition.schedule.text)
        body = self._store.keyring.seal_definition(queue, definition.id, definition.body())
        return self._script("define_recurring", queue, (*args, body), parse_defined)

    def recur(self, queue: str, definition: Definition, next_due_ms: int, blob: bytes, dues: Iterable[int]) -> Batch:
        """Fires runs for the due instants given and moves on; result: runs enqueued, or -1 when it was not due."""
        args: list[bytes | str | int] = [definition.id, definition.revision, definition.due_ms, next_due_ms]
        stored = self._store.keyring.seal_chunk(queue, run_id(definition.id, definition.due_ms), blob)
        args += [definition.priority, _WAKE_CAP, stored]
        for due_ms in dues:
            args += [run_id(definition.id, due_ms), due_ms]
        return self._script("recur", queue, args, int)

    def run_recurring(self, queue: str, definition: Definition, blob: bytes, job_id: str) -> Batch:
        """Enqueues a run at once; result (1, its id), (0, id of one that is not done) or (-1, "") if it changed."""
        stored = self._store.keyring.seal_chunk(queue, job_id, blob)
        args = (definition.id, definition.revision, definition.priority, _WAKE_CAP, stored, job_id)
        return self._script("run_recurring", queue, args, parse_run)

    def pause_recurring(self, queue: str, definition_id: str) -> Batch:
        """Pauses a recurring job; result False when there is none."""
        return self._script("pause_recurring", queue, (definition_id,), bool)

    def resume_recurring(self, queue: str, definition: Definition, due_ms: int) -> Batch:
        """Resumes a recurring job; result 1, 0 when there is none, -1 when it was changed meanwhile."""
        return self._script("resume_recurring", queue, (definition.id, definition.revision, due_ms), int)

    def cancel_recurring(self, queue: str, definition_id: str, version: int = -1) -> Batch:
        """Removes a recurring job, unless it has a higher version than one given; result: whether it was there."""
        return self._script("cancel_recurring", queue, (definition_id, version), bool)

    def survey(self, queue: str, key: str, cursor: bytes, count: int, max_bytes: int) -> Batch:
        """Reads one key in pages, or all when they are small (key ""); the reply is the script's."""
        args = (key, cursor, count, max_bytes, *QueueKeys.__slots__)
        return self._script("survey", queue, args, _as_is)

    def amend(
        self,
        queue: str,
        stillness: bytes,
        expected: Sequence[tuple[str, bytes, bytes]],
        writes: Iterable[tuple[str, str, bytes, bytes]],
    ) -> Batch:
        """Writes repairs; result: the stillness afterwards, b"" when a job has moved or a field is not as expected.

        Args:
            queue: which queue.
            stillness: as the survey told it.
            expected: (key, field, value) of hashes.
            writes: (set_hash, set_zset, remove_hash or remove_zset; key, field or member, value or score).
        """
        number = {name: position for position, name in enumerate(QueueKeys.__slots__, 1)}
        args: list[bytes | str | int] = [stillness, len(expected)]
        for key, name, value in expected:
            args += (number[key], name, value)
        for action, key, name, value in writes:
            args += (action, number[key], name, value)
        return self._script("amend", queue, args, _as_is)

    def send(self) -> None:
        """Writes the calls; a failure is left to `result`, which sends again."""
        client = self._store.client
        if isinstance(client, Cluster):
            self._exchange = RoutedExchange(client, self._buffer, self._slots or ())
        else:
            self._exchange = Exchange(client, self._buffer)
        self._exchange.begin()

    def ready(self) -> bool:
        """Whether the replies to what was sent are there, or will not come: then `result` waits for nothing."""
        return self._exchange is None or self._exchange.ready()

    @property
    def in_doubt(self) -> bool:
        """Whether calls were sent again that may have been carried out before, though that was not answered."""
        return self._exchange is not None and self._exchange.in_doubt

    def run(
        self,
        retry_on: tuple[type[errors.StoreError], ...] = PRODUCER_RETRIES,
        budget_s: float | None = 0.0,
        give_up: Callable[[errors.StoreError], bool] = lambda failure: False,
    ) -> list[Any]:
        """Sends the calls and returns their results; arguments and errors as for `result`."""
        self.send()
        return self.result(retry_on, budget_s, give_up)

    def result(
        self,
        retry_on: tuple[type[errors.StoreError], ...] = PRODUCER_RETRIES,
        budget_s: float | None = 0.0,
        give_up: Callable[[errors.StoreError], bool] = lambda failure: False,
    ) -> list[Any]:
        """Waits for the replies, sending again what was not answered or answered with a passing error.

        After a passing error a new connection is made: the name may lead to another server by then. Batches that
        wait for replies in the old connection notice and send again as well.

        Args:
            retry_on: errors to wait out.
            budget_s: seconds after which no further try is made, at least the store's patience; None = never give up.
            give_up: asked before each further try, with what went wrong; True gives up.

        Returns:
            One result per call, in order.

        Raises:
            ConnectionLost: given up, and a call may have been applied.
            StoreError: given up, or an error not in `retry_on`; nothing was applied by the failed calls.
        """
        exchange = self._exchange
        assert exchange is not None, "result is for what was sent"
        deadline = None if budget_s is None else time.monotonic() + max(budget_s, self._store.patience_s)
        failure = exchange.step()
        if failure is not None:
            try_on(exchange, failure, retry_on, deadline, give_up)
        return [parser(reply) for parser, reply in zip(self._parsers, exchange.replies, strict=True)]
