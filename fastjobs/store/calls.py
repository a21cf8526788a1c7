"""One method per script: what it is given, in the script's own order, and what it replies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from fastjobs.model.definition import Definition
from fastjobs.model.origin import Origin
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.refs import JobAddress, is_detached, job_ref, run_id
from fastjobs.store.batch import BaseBatch, Reply
from fastjobs.store.replies import (
    Answer,
    Cleared,
    Closed,
    Defined,
    FoundJob,
    Lease,
    Reclaimed,
    Renewed,
    SetPage,
    Stored,
    Survey,
    SurveyPage,
    parse_answer,
    parse_cleared,
    parse_closed,
    parse_defined,
    parse_found,
    parse_lease,
    parse_page,
    parse_reclaimed,
    parse_renewed,
    parse_run,
    parse_status,
    parse_survey,
    parse_survey_page,
)

#: Most wake-up hints kept per partition: more idle processes than this wake each other in a chain.
_WAKE_CAP = 64
#: Most refs one call gives back, so that no call holds the server for long.
_GIVE_BACK_LIMIT = 500
#: Most bytes of chunks that one step of clearing reads.
_CLEARED_BYTES = 4 << 20
#: Most refs in one lease, for the same reason, and bytes of unpacked payload with which it is full: they are the memory
#: that it takes in a process, however small they are on the server.
MAX_LEASE_REFS = 256
MAX_LEASE_BYTES = 4 << 20


def _digest(basis: bytes) -> str:
    """Names a stored record; nothing is secured by it."""
    return hashlib.sha1(basis, usedforsecurity=False).hexdigest() if basis else ""


class ScriptCalls(BaseBatch):
    """The calls of the scripts of one partition each, `mail` or `mail#3`."""

    def enqueue(
        self,
        partition: str,
        chunk_id: str,
        n: int,
        priority: int,
        blob: bytes,
        origin: Origin,
        *,
        delay_ms: int = 0,
        due_at_ms: int = 0,
    ) -> Reply[Stored]:
        """Stores a chunk of `n` jobs; result `Stored`. Due after a delay, or at a time, or at once."""
        stored = self._keyspace.keyring.seal_chunk(partition, chunk_id, blob)
        sender, number, has_chosen_id = origin
        keep_ms = self._keyspace.sender_keep_ms
        args = (
            chunk_id,
            n,
            priority,
            delay_ms,
            due_at_ms,
            _WAKE_CAP,
            sender,
            number,
            keep_ms,
            int(has_chosen_id),
            stored,
        )
        return self.script("enqueue", partition, args, Stored)

    def open(self, partition: str, session: str) -> Reply[bool]:
        """Opens a session; result True, or False when it was fenced before."""
        return self.script("open", partition, (session, self._keyspace.config.lease_ms), bool)

    def fetch(self, partition: str, session: str, request: int, want: int, held: Iterable[str] = ()) -> Reply[Lease]:
        """Leases about `want` jobs; result `Lease`. The same request id returns the same lease."""
        lease_ms = self._keyspace.config.lease_ms
        args: tuple[bytes | str | int, ...]
        args = (session, request, want, MAX_LEASE_REFS, MAX_LEASE_BYTES, lease_ms, *held)
        return self.script("fetch", partition, args, parse_lease)

    def ack(
        self,
        partition: str,
        session: str,
        fence: int,
        runs: Sequence[Run],
        outcomes: Sequence[Outcome] = (),
    ) -> Reply[int]:
        """Reports what became of leased jobs; result: jobs taken, or -1 when the session is fenced."""
        config = self._keyspace.config
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
            record, short = (self._seal_record(partition, ref, body) for body in (outcome.record, outcome.short))
            args += outcome._replace(record=record, short=short)
        return self.script("ack", partition, args, int)

    def _seal_record(self, partition: str, ref: str, body: bytes) -> bytes:
        return self._keyspace.keyring.seal_record(partition, ref, body) if body else b""

    def release(self, partition: str, session: str, fence: int, refs: Iterable[str]) -> Reply[int]:
        """Gives unstarted jobs back to their place; result: jobs taken off the lease, or -1 when fenced."""
        return self.script("release", partition, (session, fence, *refs), int)

    def postpone(
        self, partition: str, session: str, fence: int, delay_ms: int, refs: Iterable[str], *, most_ms: int = 0
    ) -> Reply[int]:
        """Moves unstarted spans into the schedule; result: jobs taken off the lease, or -1 when fenced.

        The delay doubles with each round of a chunk's postponements up to `most_ms`; 0 = it does not grow.
        """
        return self.script("postpone", partition, (session, fence, delay_ms, max(delay_ms, most_ms), *refs), int)

    def renew(self, partition: str, sessions: Sequence[str]) -> Reply[Renewed]:
        """Heartbeat; result `Renewed`."""
        args: tuple[str | int, ...] = (self._keyspace.config.lease_ms, *sessions)
        return self.script("renew", partition, args, parse_renewed)

    def reclaim(self, partition: str) -> Reply[Reclaimed]:
        """One bounded step of taking jobs from dead sessions; result `Reclaimed`."""
        args = (_GIVE_BACK_LIMIT, self._keyspace.config.lease_ms)
        return self.script("reclaim", partition, args, parse_reclaimed)

    def audit(self, partition: str, session: str, request: int, fences: Iterable[int]) -> Reply[int]:
        """Gives back leases the session does not know of; result: jobs, or -1 when fenced.

        `request` is the last fetch whose reply is known: after a later one the session may be about to know more.
        """
        return self.script("audit", partition, (session, request, *fences), int)

    def close(self, partition: str, session: str) -> Reply[Closed]:
        """One bounded step of ending a session; result: [jobs given back, 1 when it is closed]."""
        return self.script("close", partition, (session, _GIVE_BACK_LIMIT), parse_closed)

    def find(self, partition: str, job: JobAddress) -> Reply[FoundJob | None]:
        """Tells all about one job; result `FoundJob` or None."""
        return self.script("find", partition, job.words, parse_found)

    def cancel(
        self, partition: str, job: JobAddress, operation: str, type_name: str, record: bytes
    ) -> Reply[str | None]:
        """Cancels a job; result: the status it has then, or None. The record is used while it is in its chunk."""
        config = self._keyspace.config
        args = (
            *(*job.words, operation, type_name),
            self._keyspace.keyring.seal_record(partition, job.ref, record),
            *(config.failed_keep, int(config.failed_keep_s * 1000)),
        )
        return self.script("cancel", partition, args, parse_status)

    def reschedule(
        self,
        partition: str,
        job: JobAddress,
        operation: str,
        allowed: Iterable[str],
        basis: bytes,
        type_name: str,
        record: bytes,
        *,
        delay_ms: int = 0,
        due_at_ms: int = 0,
    ) -> Reply[Answer | None]:
        """Puts a job in line again; result `Answer` or None. Basis: the stored record the new one was made from."""
        args = (
            *(*job.words, operation, ",".join(allowed)),
            *(delay_ms, due_at_ms, _digest(basis), type_name),
            self._keyspace.keyring.seal_record(partition, job.ref, record),
        )
        return self.script("reschedule", partition, args, parse_answer)

    def prioritize(
        self,
        partition: str,
        job: JobAddress,
        operation: str,
        priority: int,
        basis: bytes,
        type_name: str,
        record: bytes,
    ) -> Reply[Answer | None]:
        """Changes a waiting job's priority; result `Answer` or None. Basis: as for `reschedule`."""
        args = (
            *(*job.words, operation, priority),
            *(_digest(basis), type_name, self._keyspace.keyring.seal_record(partition, job.ref, record)),
        )
        return self.script("prioritize", partition, args, parse_answer)

    def destroy(self, partition: str, job: JobAddress, lease: tuple[str, str] | None = None) -> Reply[Answer | None]:
        """Removes every trace of a job; result `Answer` or None. Executing jobs need their lease: (session, fence)."""
        return self.script("destroy", partition, (*job.words, *(lease or ("", ""))), parse_answer)

    def trim(self, partition: str) -> Reply[int]:
        """One bounded step of forgetting what has been kept long enough; result: jobs forgotten."""
        config = self._keyspace.config
        args = (config.finished_keep, config.failed_keep, int(config.failed_keep_s * 1000), _GIVE_BACK_LIMIT)
        return self.script("trim", partition, args, int)

    def forget(self, partition: str) -> Reply[str]:
        """Removes what is left of an empty partition; result: "", or the name of what it is not empty of."""
        return self.script("forget", partition, (), bytes.decode)

    def clear(self, partition: str) -> Reply[Cleared]:
        """One bounded step of dropping what waits; result `Cleared`."""
        return self.script("clear", partition, (_GIVE_BACK_LIMIT, _CLEARED_BYTES), parse_cleared)

    def page(
        self,
        partition: str,
        key: str,
        after: tuple[str, str] | None,
        limit: int,
        *,
        reverse: bool = False,
        kind: str = "",
    ) -> Reply[SetPage]:
        """Reads a page of one of the queue's sorted sets; result `SetPage`.

        Args:
            partition: which.
            key: the name of the set.
            after: (score, member) behind which the page begins; None = at the beginning.
            limit: most entries.
            reverse: from the highest score down.
            kind: only members that begin with this letter, among a bounded number of entries; "" = all.
        """
        score, member = after or ("", "")
        args = (key, score, member.encode("latin-1"), limit, int(reverse), kind)
        return self.script("page", partition, args, parse_page)

    def define_recurring(self, partition: str, definition: Definition, due_ms: int) -> Reply[tuple[Defined, bytes]]:
        """Defines or changes a recurring job, first due at `due_ms`; result (`Defined`, what is stored)."""
        args = (definition.id, definition.version, due_ms, definition.overlap, definition.schedule.text)
        body = self._keyspace.keyring.seal_definition(partition, definition.id, definition.body())
        return self.script("define_recurring", partition, (*args, body), parse_defined)

    def recur(
        self, partition: str, definition: Definition, next_due_ms: int, blob: bytes, dues: Iterable[int]
    ) -> Reply[int]:
        """Fires runs for the due instants given and moves on; result: runs enqueued, or -1 when it was not due."""
        args: list[bytes | str | int] = [definition.id, definition.revision, definition.due_ms, next_due_ms]
        stored = self._keyspace.keyring.seal_chunk(partition, run_id(definition.id, definition.due_ms), blob)
        args += [definition.priority, _WAKE_CAP, stored]
        for due_ms in dues:
            args += [run_id(definition.id, due_ms), due_ms]
        return self.script("recur", partition, args, int)

    def run_recurring(self, partition: str, definition: Definition, blob: bytes, job_id: str) -> Reply[tuple[int, str]]:
        """Enqueues a run at once; result (1, its id), (0, id of one that is not done) or (-1, "") if it changed."""
        stored = self._keyspace.keyring.seal_chunk(partition, job_id, blob)
        args = (definition.id, definition.revision, definition.priority, _WAKE_CAP, stored, job_id)
        return self.script("run_recurring", partition, args, parse_run)

    def pause_recurring(self, partition: str, definition_id: str) -> Reply[bool]:
        """Pauses a recurring job; result False when there is none."""
        return self.script("pause_recurring", partition, (definition_id,), bool)

    def resume_recurring(self, partition: str, definition: Definition, due_ms: int) -> Reply[int]:
        """Resumes a recurring job; result 1, 0 when there is none, -1 when it was changed meanwhile."""
        return self.script("resume_recurring", partition, (definition.id, definition.revision, due_ms), int)

    def cancel_recurring(self, partition: str, definition_id: str, version: int = -1) -> Reply[bool]:
        """Removes a recurring job, unless it has a higher version than one given; result: whether it was there."""
        return self.script("cancel_recurring", partition, (definition_id, version), bool)

    def survey(self, partition: str, max_entries: int, max_bytes: int) -> Reply[Survey]:
        """Reads all keys of a partition in one step, if they are small enough."""
        return self.script("survey", partition, ("", "0", max_entries, max_bytes), parse_survey)

    def survey_page(self, partition: str, key: str, cursor: bytes, count: int) -> Reply[SurveyPage]:
        """Reads a page of one key of a partition; the cursor of the first one is b"0"."""
        return self.script("survey", partition, (key, cursor, count, 0), parse_survey_page)

    def amend(
        self,
        partition: str,
        stillness: bytes,
        expected: Sequence[tuple[str, bytes, bytes]],
        writes: Iterable[tuple[str, str, bytes, bytes]],
    ) -> Reply[bytes]:
        """Writes repairs; result: the stillness afterwards, b"" when a job has moved or a field is not as expected.

        Args:
            partition: which one.
            stillness: as the survey returned it.
            expected: (key, field, value) of hashes.
            writes: (set_hash, set_zset, remove_hash or remove_zset; key, field or member, value or score).
        """
        args: list[bytes | str | int] = [stillness, len(expected)]
        for key, name, value in expected:
            args += (key, name, value)
        for action, key, name, value in writes:
            args += (action, key, name, value)
        return self.script("amend", partition, args)
