"""One queue under test: its scripts through `store.py`, seeds and getters per status, a check of its invariants."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from fastjobs._core import Chunk, ChunkWriter, new_id
from fastjobs.config import Config
from fastjobs.model.origin import Origin
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import JobAddress, job_ref, parse_ref, parse_scheduled, split_member
from fastjobs.model.stored import split_chunk
from fastjobs.server.connection import Client
from fastjobs.store.keys import QUEUE_KEYS, QueueKeys
from fastjobs.store.replies import FoundJob, Lease, Reclaimed, Stored
from fastjobs.store.store import Store
from tests.harness.snapshot import STATUSES, Snapshot, check_invariants, jobs_of, take_snapshot

#: A head as `Board.finished_runs` packs it: a time and a worker's name.
HEAD = (1_700_000_000_000_000).to_bytes(8, "little") + b"\x06host:1"


class Held(NamedTuple):
    """A lease, and whose it is."""

    session: str
    lease: Lease

    @property
    def fence(self) -> int:
        return self.lease.fence

    @property
    def refs(self) -> list[str]:
        return [span.ref for span in self.lease.spans]


def pack(n: int = 1, *, type_name: str = "work", payload: Any = None) -> bytes:
    """Packs a chunk of `n` jobs; job i has the one argument i, or `payload`."""
    writer = ChunkWriter(1 << 20, 1 << 20)
    entry = writer.entry(type_name)
    for index in range(n):
        writer.add(entry, (index if payload is None else payload,))
    return writer.finish(1_700_000_000_000)


def record(job_id: str = "x", *, type_name: str = "work", **values: Any) -> bytes:
    return JobRecord(id=job_id, type=type_name, payload=[0, {}], **values).encode()


def origin(number: int = 1, *, sender: str | None = None, chosen: bool = True) -> Origin:
    """Who sends a chunk: by default a sender of its own, with an id that was chosen."""
    return Origin(sender or new_id(), number, chosen)


class QueueUnderTest:
    """A queue of one namespace on a real server."""

    def __init__(self, url: str, namespace: str, name: str = "default", **settings: Any) -> None:
        self.name = name
        self.config = Config(url=url, namespace=namespace, **{"socket_timeout_s": 10.0, **settings})
        self.store = Store(Client(url, self.config.socket_timeout_s), self.config)
        self.keys: QueueKeys = self.store.keys(name)
        self.raw = redis.Redis.from_url(url, protocol=2)
        self._requests = 0
        self._sessions = 0

    def close(self) -> None:
        self.store.client.close()
        self.raw.close()

    # Scripts.

    def enqueue(
        self,
        n: int = 1,
        *,
        priority: int = 0,
        chunk_id: str | None = None,
        delay_ms: int = 0,
        due_at_ms: int = 0,
        blob: bytes | None = None,
    ) -> str:
        """Enqueues a new chunk; returns its id."""
        chunk_id = chunk_id or new_id()
        result = self.try_enqueue(
            n, priority=priority, chunk_id=chunk_id, delay_ms=delay_ms, due_at_ms=due_at_ms, blob=blob
        )
        assert result.is_new
        return chunk_id

    def try_enqueue(
        self,
        n: int = 1,
        *,
        chunk_id: str,
        priority: int = 0,
        delay_ms: int = 0,
        due_at_ms: int = 0,
        blob: bytes | None = None,
        sent_as: Origin | None = None,
    ) -> Stored:
        blob, sent_as = blob or pack(n), sent_as or origin()
        batch = self.store.batch()
        return batch.enqueue(
            self.name, chunk_id, n, priority, blob, sent_as, delay_ms=delay_ms, due_at_ms=due_at_ms
        ).run()

    def open(self, session: str | None = None) -> str:
        """Opens a session; returns its id."""
        self._sessions += 1
        session = session or f"session{self._sessions}"
        assert self.store.batch().open(self.name, session).run()
        return session

    def next_request(self) -> int:
        self._requests += 1
        return self._requests

    def fetch(self, session: str, want: int = 1, *, held: Iterable[str] = (), request: int | None = None) -> Held:
        request = self.next_request() if request is None else request
        lease = self.store.batch().fetch(self.name, session, request, want, held).run()
        return Held(session, lease)

    def ack(self, held: Held, runs: Sequence[Run] = (), outcomes: Sequence[Outcome] = ()) -> int:
        taken = self.store.batch().ack(self.name, held.session, held.fence, runs, outcomes).run()
        return int(taken)

    def finish(self, held: Held, *, keep_ms: int = 0) -> int:
        """Acks all of a lease as finished."""
        runs, outcomes = self.finished(held, keep_ms=keep_ms)
        return self.ack(held, runs, outcomes)

    def finished(self, held: Held, *, keep_ms: int = 0) -> tuple[list[Run], list[Outcome]]:
        """What to ack so that all of a lease has finished."""
        runs, outcomes = [], []
        for ref in held.refs:
            chunk_id, first, count, kind = parse_ref(ref)
            if kind == "detached":
                outcomes.append(self.outcome(ref, first, "finished", n=0, keep_ms=keep_ms))
            else:
                runs.append(self.run(chunk_id, self.size_of(chunk_id), first, count, keep_ms=keep_ms))
        return runs, outcomes

    def run(self, chunk_id: str, n: int, first: int, count: int, *, keep_ms: int = 0) -> Run:
        columns = b"".join(bytes((index & 0xFF,)) * 8 for index in range(first, first + count))
        return Run(chunk_id, n, first, count, HEAD, columns, keep_ms)

    def outcome(
        self,
        ref: str,
        index: int,
        state: str,
        *,
        n: int | None = None,
        delay_ms: int = 0,
        priority: int = 0,
        keep_ms: int = 0,
        type_name: str = "work",
    ) -> Outcome:
        """An outcome of the job at an index of a chunk, or (ref of a detached job) of that one."""
        n = self.size_of(ref) if n is None else n
        job_id = job_ref(parse_ref(ref).chunk_id, index)
        body = record(job_id, type_name=type_name)
        return Outcome(ref, n, index, state, delay_ms, priority, keep_ms, type_name, body)

    def size_of(self, chunk_id: str) -> int:
        """Jobs in a stored chunk; 0 when there is none (it is the ref of a detached job)."""
        stored = self.raw.hget(self.keys.chunks, chunk_id)
        return split_chunk(stored)[1] if stored else 0

    def release(self, held: Held, refs: Iterable[str] | None = None) -> int:
        refs = held.refs if refs is None else refs
        taken = self.store.batch().release(self.name, held.session, held.fence, refs).run()
        return int(taken)

    def postpone(self, held: Held, delay_ms: int, refs: Iterable[str] | None = None) -> int:
        refs = held.refs if refs is None else refs
        moved = self.store.batch().postpone(self.name, held.session, held.fence, delay_ms, refs).run()
        return int(moved)

    def renew(self, *sessions: str) -> list[bool]:
        renewed = self.store.batch().renew(self.name, sessions).run()
        return list(renewed.alive)

    def reclaim(self) -> Reclaimed:
        step = self.store.batch().reclaim(self.name).run()
        return Reclaimed(*step)

    def reclaim_all(self) -> int:
        """Reclaims until there is no more; returns the number of jobs."""
        jobs = 0
        while True:
            step = self.reclaim()
            jobs += step.jobs
            if not step.more:
                return jobs

    def audit(self, session: str, fences: Iterable[int] = (), *, request: int | None = None) -> int:
        request = self._requests if request is None else request
        jobs = self.store.batch().audit(self.name, session, request, fences).run()
        return int(jobs)

    def close_session(self, session: str) -> list[int]:
        reply = self.store.batch().close(self.name, session).run()
        return list(reply)

    def find(self, chunk_id: str, index: int = 0, *, alone: bool = False) -> FoundJob | None:
        return self.store.batch().find(self.name, JobAddress(chunk_id, index, alone)).run()

    def status(self, chunk_id: str, index: int = 0) -> str | None:
        found = self.find(chunk_id, index)
        return None if found is None else found.status

    # Seeds: a job or chunk in a status, by the same scripts.

    def seed_queued(self, n: int = 1, **options: Any) -> str:
        return self.enqueue(n, **options)

    def seed_scheduled(self, n: int = 1, *, delay_ms: int = 3_600_000, **options: Any) -> str:
        return self.enqueue(n, delay_ms=delay_ms, **options)

    def seed_executing(self, n: int = 1, *, session: str | None = None, **options: Any) -> Held:
        """Enqueues a chunk and leases it whole; only for a queue with nothing queued before it."""
        chunk_id = self.enqueue(n, **options)
        held = self.fetch(session or self.open(), n)
        assert {parse_ref(ref).chunk_id for ref in held.refs} == {chunk_id}
        return held

    def _seed_settled(self, state: str, **options: Any) -> str:
        held = self.seed_executing()
        (ref,) = held.refs
        assert self.ack(held, (), [self.outcome(ref, 0, state, **options)]) == 1
        assert self.close_session(held.session) == [0, 1]
        return ref

    def seed_retrying(self, *, delay_ms: int = 3_600_000, **options: Any) -> str:
        return self._seed_settled("retrying", delay_ms=delay_ms, **options)

    def seed_failed(self, **options: Any) -> str:
        return self._seed_settled("failed", **options)

    def seed_cancelled(self, **options: Any) -> str:
        return self._seed_settled("cancelled", **options)

    def seed_finished(self, n: int = 1, *, keep_ms: int = 3_600_000) -> str:
        held = self.seed_executing(n)
        assert self.finish(held, keep_ms=keep_ms) == n
        assert self.close_session(held.session) == [0, 1]
        return parse_ref(held.refs[0]).chunk_id

    def seed_cancelling(self, held: Held, index: int) -> str:
        """Marks a leased job of a chunk as to be cancelled, as the cancel script does."""
        (ref,) = held.refs
        job = job_ref(parse_ref(ref).chunk_id, index)
        line = f"executing 0 0000000000000 {held.lease.now_ms} - work\n".encode()
        self.raw.hset(self.keys.jobs, job, line + record(job))
        self.raw.zadd(self.keys.cancelling, {job: held.lease.now_ms})
        return job

    def seed_expired(self, session: str) -> None:
        """Lets the session's deadline have passed a moment ago."""
        self.raw.zadd(self.keys.sessions, {session: self.server_ms() - 1})

    def seed_due(self) -> None:
        """Lets everything scheduled be due now."""
        for member in self.raw.zrange(self.keys.scheduled, 0, -1):
            self.raw.zadd(self.keys.scheduled, {member: self.server_ms() - 1})

    def server_ms(self) -> int:
        seconds, microseconds = self.raw.time()
        return seconds * 1000 + microseconds // 1000

    # Getters.

    def counts(self) -> dict[str, int]:
        """The statuses that have jobs."""
        values = self.raw.hmget(self.keys.stats, *STATUSES)
        return {name: int(value) for name, value in zip(STATUSES, values, strict=True) if int(value or 0)}

    def get_ready(self) -> list[str]:
        """The jobs in line, in order."""
        members = self.raw.zrange(self.keys.ready, 0, -1)
        return [job for member in members for job in jobs_of(split_member(member)[1])]

    def get_scheduled(self) -> dict[str, int]:
        """The jobs in the schedule -> when they are due (ms)."""
        members = self.raw.zrange(self.keys.scheduled, 0, -1, withscores=True)
        return {job: int(due) for member, due in members for job in parse_scheduled(member.decode()).ref.jobs}

    def get_ended(self, state: str) -> list[str]:
        """The refs of the failed or cancelled jobs, oldest first."""
        return [ref.decode() for ref in self.raw.zrange(getattr(self.keys, state), 0, -1)]

    def drain(self, session: str, want: int = 100, *, keep_ms: int = 0) -> list[str]:
        """Fetches and finishes until there is nothing to do; returns the jobs in the order they came."""
        order: list[str] = []
        while True:
            held = self.fetch(session, want)
            if held.fence == 0:
                return order
            order += [job for ref in held.refs for job in jobs_of(ref)]
            assert self.finish(held, keep_ms=keep_ms) > 0

    def snapshot(self) -> Snapshot:
        """All keys of the queue, read in one step, checked."""
        snapshot = take_snapshot(self.raw, self.keys)
        check_invariants(snapshot)
        return snapshot

    def stored(self) -> dict[str, Any]:
        """All keys of the queue, read in one step, without the tick of the last call: for comparing."""
        contents = {name: value for name, value in take_snapshot(self.raw, self.keys).contents.items() if value}
        stats = dict(contents.get("stats", {}))
        stats.pop(b"tick", None)
        return {**contents, "stats": stats}


def payloads(lease: Lease) -> list[Any]:
    """The arguments of all jobs of the chunks in a lease."""
    found = []
    for span in lease.spans:
        assert span.payload is not None
        chunk = Chunk.decode(span.payload)
        _, first, count, _ = parse_ref(span.ref)
        found += [json.loads(chunk.payload(index)) for index in range(first, first + count)]
    return found


def key_names() -> list[str]:
    """The names of all keys of a queue."""
    return list(QUEUE_KEYS)


def count_jobs(refs: Iterable[str]) -> Counter[str]:
    return Counter(job for ref in refs for job in jobs_of(ref))
