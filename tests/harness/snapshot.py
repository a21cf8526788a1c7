"""Everything stored of one queue at one instant, and what has to be true of it at every instant."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import is_detached, parse_lease_name, parse_logged, parse_ref, read_ready, read_scheduled
from fastjobs.model.stored import (
    ChunkHead,
    DefinitionLine,
    HeldFences,
    Marks,
    StoredRecord,
    packed_chunk,
    parse_leased,
    segments,
    split_finishing,
)
from fastjobs.store.keys import QUEUE_KEYS, QueueKeys

#: Reads all keys in one step: {type, content} of each.
_READ_ALL = """
local found = {}
for position, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  local content = {}
  if type == 'hash' then
    content = redis.call('HGETALL', key)
  elseif type == 'zset' then
    content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif type == 'list' then
    content = redis.call('LRANGE', key, 0, -1)
  elseif type == 'string' then
    content = {redis.call('GET', key)}
  end
  found[position] = {type, content}
end
return found
"""

STATUSES = ("scheduled", "queued", "executing", "retrying", "finished", "failed", "cancelled")
#: Fields of `stats` that do not count jobs in a status.
_WAITING = ("queued", "scheduled", "retrying")


@dataclass
class Snapshot:
    """The keys of a queue by name: a dict for a hash or sorted set, a list for a list."""

    contents: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.contents[name]


def take_snapshot(client: redis.Redis, keys: QueueKeys) -> Snapshot:
    """Reads all keys of a queue in one step."""
    replies = client.eval(_READ_ALL, len(QUEUE_KEYS), *(getattr(keys, name) for name in QUEUE_KEYS))
    contents = {}
    for (name, key), (kind, content) in zip(QUEUE_KEYS.items(), replies, strict=True):
        pairs = dict(zip(content[::2], content[1::2], strict=True)) if kind in (b"hash", b"zset") else None
        contents[name] = ([] if key.type == "list" else {}) if kind == b"none" else content if pairs is None else pairs
    return Snapshot(contents)


@dataclass
class _Jobs:
    """Where each job was met: "<chunk id>~<index>" -> statuses."""

    met: dict[str, list[str]] = field(default_factory=dict)

    def meet(self, job: str, status: str) -> None:
        self.met.setdefault(job, []).append(status)

    def meet_ref(self, ref: str, status: str) -> None:
        for job in jobs_of(ref):
            self.meet(job, status)


def jobs_of(ref: str) -> list[str]:
    """The jobs a ref names, "<chunk id>~<index>" each."""
    return parse_ref(ref).jobs


def check_invariants(snapshot: Snapshot) -> dict[str, str]:
    """Fails when something is not as it always has to be, and says what; see docs/invariants.md for the whole list.

    Each job is in one place only; the counters equal what is there; nothing is referred to that is not stored, and
    nothing is stored that nothing refers to; leases belong to known sessions; what is due is kept where it is said to
    be; active recurring jobs have a due instant.

    Returns:
        "<chunk id>~<index>" -> status of each job that is stored.
    """
    jobs = _Jobs()
    _walk_ready(snapshot, jobs)
    _walk_scheduled(snapshot, jobs)
    _walk_leases(snapshot, jobs)
    _walk_records(snapshot, jobs)
    kept = _walk_chunks(snapshot, jobs)
    twice = {job: statuses for job, statuses in jobs.met.items() if len(statuses) > 1}
    assert not twice, f"jobs in several places: {twice}"
    _check_counters(snapshot, jobs, kept)
    _check_sequences(snapshot)
    _check_recurring(snapshot)
    if not jobs.met:
        _check_nothing_left(snapshot)
    return {job: statuses[0] for job, statuses in jobs.met.items()}


def _walk_ready(snapshot: Snapshot, jobs: _Jobs) -> None:
    for member in snapshot["ready"]:
        met = read_ready(member.decode(), "0")
        assert met, f"ready holds {member!r}"
        _check_stored(snapshot, met.ref.text, "ready")
        jobs.meet_ref(met.ref.text, "queued")


def _walk_scheduled(snapshot: Snapshot, jobs: _Jobs) -> None:
    for member in snapshot["scheduled"]:
        met = read_scheduled(member.decode())
        assert met, f"scheduled holds {member!r}"
        _check_stored(snapshot, met.ref.text, "scheduled")
        jobs.meet_ref(met.ref.text, "retrying" if met.kind == "r" else "scheduled")


def _walk_leases(snapshot: Snapshot, jobs: _Jobs) -> None:
    leases = {name.decode(): value for name, value in snapshot["leases"].items()}
    sessions = {name.decode() for name in snapshot["sessions"]}
    fences = {}
    for name, value in leases.items():
        if parse_lease_name(name) is None:
            assert name in sessions, f"leases knows a session that does not exist: {name!r}"
            fences[name] = HeldFences.parse(value).fences
    for name, value in leases.items():
        lease = parse_lease_name(name)
        if lease is None:
            continue
        session, fence = lease
        assert session in sessions, f"a lease of a session that does not exist: {name!r}"
        assert fence in fences[session], f"session {session!r} does not list its lease {fence}: {fences[session]}"
        for member in parse_leased(value):
            assert re.fullmatch(r"-?\d+", member.place.score), f"lease {name!r} holds {value!r}"
            _check_stored(snapshot, member.ref.text, "a lease")
            jobs.meet_ref(member.ref.text, "executing")
    listed = {f"{session}:{fence}" for session, held in fences.items() for fence in held}
    assert listed <= set(leases), f"leases that are listed and do not exist: {listed - set(leases)}"


def _check_stored(snapshot: Snapshot, ref: str, where: str) -> None:
    if is_detached(ref):
        assert ref.encode() in snapshot["jobs"], f"{where} holds {ref!r}, which has no record"
        return
    chunk_id = parse_ref(ref).chunk_id
    assert chunk_id.encode() in snapshot["chunks"], f"{where} holds {ref!r}, whose chunk is not stored"


def _walk_records(snapshot: Snapshot, jobs: _Jobs) -> None:
    """Records: their own line and the place they are in have to agree."""
    cancelling = {ref.decode() for ref in snapshot["cancelling"]}
    logged = {parse_logged(name.decode())[1] for name in snapshot["finished_log"]}
    for state in ("failed", "cancelled"):
        for ref in snapshot[state]:
            assert ref in snapshot["jobs"], f"{state} holds {ref!r}, which has no record"
    for name, stored in snapshot["jobs"].items():
        ref = name.decode()
        record = StoredRecord.parse(stored)
        state = record.status
        JobRecord.decode(record.body)
        assert (name in snapshot["failed"]) == (state == "failed"), f"{ref} says {state}"
        assert (name in snapshot["cancelled"]) == (state == "cancelled"), f"{ref} says {state}"
        assert (ref in logged) == (state == "finished"), f"{ref} says {state}"
        if state in ("failed", "cancelled", "finished"):
            jobs.meet(ref, state)
        elif state == "executing":
            assert ref in cancelling, f"{ref} says {state} and is not to be cancelled"
            assert jobs.met.get(ref) == ["executing"], f"{ref} is to be cancelled, and {jobs.met.get(ref)}"
        else:
            assert state in _WAITING, f"{ref} says {state!r}"
            found = jobs.met.get(ref)
            assert found, f"{ref} says {state}, and is in no line and no lease"
    for ref in cancelling:
        assert jobs.met.get(ref) == ["executing"], f"{ref} is to be cancelled, and {jobs.met.get(ref)}"
        assert ref.encode() in snapshot["jobs"], f"{ref} is to be cancelled, and has no record"


def _walk_chunks(snapshot: Snapshot, jobs: _Jobs) -> int:
    """Chunks: each of their jobs is somewhere; returns how many finished jobs of them are kept."""
    marks = {name.decode(): Marks.parse(value) for name, value in snapshot["marks"].items()}
    logged = {ref: number for number, ref in (parse_logged(name.decode()) for name in snapshot["finished_log"])}
    kept = 0
    finishing: dict[str, bytes] = {}
    for member in snapshot["finishing"]:
        chunk_id, segment = split_finishing(member)
        finishing[chunk_id] = finishing.get(chunk_id, b"") + segment
    for name, stored in snapshot["chunks"].items():
        chunk_id = name.decode()
        head = ChunkHead.read(stored)
        assert head, f"chunk {chunk_id} is stored as {stored[:50]!r}..."
        try:
            assert Chunk.decode(packed_chunk(stored)).n == head.n, f"chunk {chunk_id} claims {head.n} jobs"
        except ChunkError:
            # A chunk that cannot be read: its jobs have failed, their records tell.
            continue
        mark = marks.pop(chunk_id, Marks())
        left = set(mark.detached)
        going_on = finishing.pop(chunk_id, b"")
        finished = _finished_indexes(snapshot["finished"].get(name, b"") + going_on, chunk_id)
        if chunk_id in logged:
            assert not going_on, f"chunk {chunk_id} has ended, and has times of one that goes on"
            assert name in snapshot["finished"], f"chunk {chunk_id} is logged as finished and has no times"
            kept += logged[chunk_id]
            for index in finished - left:
                jobs.meet(f"{chunk_id}~{index:03d}", "finished")
            continue
        assert name not in snapshot["finished"], f"chunk {chunk_id} goes on, and has times of one that has ended"
        # A job that finished and was rescheduled or destroyed is in both.
        assert mark.done == len(finished | left), f"chunk {chunk_id}: {mark!r}, finished {sorted(finished)}"
        kept += mark.finished if mark.keep_ms else 0
        for index in range(head.n):
            job = f"{chunk_id}~{index:03d}"
            if index in finished - left:
                jobs.meet(job, "finished")
            elif index not in left:
                assert job in jobs.met, f"{job} is in no line, no lease and not finished"
    assert not finishing, f"times of chunks that are not stored: {list(finishing)}"
    for name in snapshot["finished"]:
        assert name in snapshot["chunks"], f"times of chunk {name!r}, which is not stored"
    for what in logged:
        assert what.encode() in (snapshot["jobs"] if is_detached(what) else snapshot["chunks"]), f"logged: {what!r}"
    for name in marks:
        assert is_detached(name) and name.encode() in snapshot["jobs"], f"marks of {name!r}, which is not stored"
    return kept


def _finished_indexes(stored: bytes, chunk_id: str) -> set[int]:
    """The indexes in the segments of a chunk's finished jobs."""
    indexes: set[int] = set()
    position = 0
    for segment in segments(stored):
        new = set(segment.indexes)
        assert not indexes & new, f"chunk {chunk_id}: finished twice: {indexes & new}"
        indexes |= new
        position += len(segment.pack())
    assert position == len(stored), f"the times of chunk {chunk_id} cannot be read at {position}"
    return indexes


def _check_counters(snapshot: Snapshot, jobs: _Jobs, kept: int) -> None:
    stats = {name.decode(): value for name, value in snapshot["stats"].items()}
    there = Counter(statuses[0] for statuses in jobs.met.values())
    # Finished jobs whose chunk is not over are there, but only counted as finished if they will be kept.
    there["finished"] = kept + sum(1 for name in snapshot["jobs"].values() if name.startswith(b"finished "))
    for status in STATUSES:
        counted = int(stats.get(status, 0))
        assert counted == there[status], f"{status}: {counted} counted, {there[status]} there"
    for state in ("failed", "cancelled"):
        types = Counter(_type_of(snapshot, ref) for ref in snapshot[state])
        counted_types = {
            name.partition(":")[2]: int(value) for name, value in stats.items() if name.startswith(f"{state}:")
        }
        assert counted_types == dict(types), f"{state} by type: {counted_types} counted, {dict(types)} there"


def _check_sequences(snapshot: Snapshot) -> None:
    """No fence and no place in line was given that the counters do not know of: each is given once."""
    fence = int(snapshot["stats"].get(b"fence", 0))
    leases = filter(None, (parse_lease_name(name.decode()) for name in snapshot["leases"]))
    given = [int(fence) for _, fence in leases]
    assert max(given, default=0) <= fence, f"leases {given} although the last fence is {fence}"
    assert len(given) == len(set(given)), f"a fence names two leases: {sorted(given)}"
    assert len(snapshot["wake"]) <= 64, "hints are capped"


def _check_recurring(snapshot: Snapshot) -> None:
    """An active definition is due some time, at the instant it says; a paused one never is."""
    due = {name: int(score) for name, score in snapshot["recurring_due"].items()}
    expected = {}
    for name, stored in snapshot["recurring"].items():
        line = DefinitionLine.parse(stored)
        if line.status == "active":
            expected[name] = line.due_ms
    assert due == expected, f"recurring_due holds {due}, the definitions say {expected}"


def _type_of(snapshot: Snapshot, ref: bytes) -> str:
    return StoredRecord.parse(snapshot["jobs"][ref]).type


def _check_nothing_left(snapshot: Snapshot) -> None:
    """With no job, only counters remain, open sessions, and hints."""
    for name in (
        "chunks",
        "jobs",
        "marks",
        "ready",
        "scheduled",
        "failed",
        "cancelled",
        "cancelling",
        "finished",
        "finishing",
    ):
        assert not snapshot[name], f"no job is left, and {name} holds {list(snapshot[name])[:3]}"
    assert not snapshot["finished_log"], "no job is left, and finished_log holds something"
    leases = [name for name in snapshot["leases"] if parse_lease_name(name.decode())]
    assert not leases, "no job is left, and leases are"
