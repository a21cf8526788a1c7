"""Fills a queue with many entries of every kind, by plain writes: so many that no script may go through them."""

from __future__ import annotations

from typing import Any

from fastjobs.model.refs import Member, Place, Ref, format_sequence, job_ref, logged_member
from fastjobs.model.stored import HeldFences, Marks, Segment, StoredRecord, chunk_value, finishing_member, leased_value
from tests.harness.queue import HEAD, QueueUnderTest, pack, record

#: Entries written with one command.
_STEP = 1000
#: Refs in one lease, and of how many entries one is a recurring job or an open cancellation.
_LEASED, _SELDOM = 100, 10
#: Behind the jobs that the calls are about.
_SCORE = "9"


def fill(queue: QueueUnderTest, number: int) -> None:
    """Adds `number` jobs in each status, and as much of all that belongs to them."""
    now_ms = queue.server_ms()
    later_ms = now_ms + 86_400_000
    keys, packed, body = queue.keys, pack(), record()
    place = Place(_SCORE, format_sequence(now_ms * 1000))
    late = Place(_SCORE, format_sequence(later_ms * 1000))
    stored, segment = chunk_value(place, 1, packed), Segment(0, 1, HEAD, bytes(8))

    def detached(status: str) -> bytes:
        return StoredRecord(status, place, now_ms, "-", "work", body).pack()

    def alone(kind: str, at: int) -> Ref:
        return Ref(f"{kind}{at:07d}", 0, 1, "alone")

    for first in range(0, number, _STEP):
        some = range(first, first + _STEP)
        few = [at for at in some if at % _SELDOM == 0]
        pipe = queue.raw.pipeline(transaction=False)
        ids = [f"{kind}{at:07d}" for kind in ("queued", "later", "ended", "running") for at in some]
        pipe.hset(keys.chunks, mapping=dict.fromkeys(ids, stored))
        pipe.zadd(keys.ready, {Member(place, alone("queued", at)).ready: int(_SCORE) for at in some})
        pipe.zadd(keys.scheduled, {Member(late, alone("later", at), "s").scheduled: later_ms for at in some})
        for status in ("failed", "cancelled"):
            refs = [job_ref(f"{status}{at:07d}", 0) for at in some]
            pipe.hset(keys.jobs, mapping=dict.fromkeys(refs, detached(status)))
            pipe.zadd(getattr(keys, status), dict.fromkeys(refs, now_ms))
        retrying = [Ref(f"retrying{at:07d}", 0, 1, "detached") for at in some]
        pipe.hset(keys.jobs, mapping={ref.text: detached("retrying") for ref in retrying})
        pipe.zadd(keys.scheduled, {Member(late, ref, "r").scheduled: later_ms for ref in retrying})
        pipe.hset(keys.finished, mapping={f"ended{at:07d}": segment.pack() for at in some})
        pipe.zadd(keys.finished_log, {logged_member(1, f"ended{at:07d}"): later_ms for at in some})
        pipe.zadd(keys.finishing, {finishing_member(f"going{at:07d}", segment): 0 for at in some})
        pipe.hset(keys.marks, mapping={f"going{at:07d}": Marks(1, 0, 1, 1000).pack() for at in some})
        pipe.hset(keys.senders, mapping={f"sender{at:07d}": f"{later_ms} 7" for at in some})
        running = {job_ref(f"running{at:07d}", 0): now_ms for at in few}
        pipe.zadd(keys.cancelling, running)
        pipe.hset(keys.jobs, mapping=dict.fromkeys(running, detached("executing")))
        line = f"0 1 active {later_ms} 0 - skip every 1000 0\n".encode()
        pipe.hset(keys.recurring, mapping={f"hourly{at:07d}": line + b"{}" for at in few})
        pipe.zadd(keys.recurring_due, {f"hourly{at:07d}": later_ms for at in few})
        for at in range(first, first + _STEP, _LEASED):
            members = [Member(place, alone("running", at + index)) for index in range(_LEASED)]
            session, held = f"worker{at:07d}", HeldFences("1:1", ("1",))
            pipe.hset(keys.leases, mapping={f"{session}:1": leased_value(members), session: held.pack()})
            pipe.zadd(keys.sessions, {session: later_ms})
        pipe.execute()
    counters: dict[str, Any] = dict.fromkeys(("queued", "scheduled", "retrying", "executing", "finished"), number)
    counters |= {"failed": number, "failed:work": number, "cancelled": number, "cancelled:work": number}
    for name, count in counters.items():
        queue.raw.hincrby(keys.stats, name, count)
