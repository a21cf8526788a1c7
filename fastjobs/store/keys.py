"""Every Redis key fastjobs uses, with its type and meaning.

All keys of one partition of a queue share one hash tag, so a script that declares them works on
a cluster; scripts are given every key they touch and build none themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one partition of one queue."""

    chunks: bytes
    """hash: chunk id -> "<score> <sequence> <n> <packed chunk>"; also of ended chunks while their history is kept."""
    ready: bytes
    """zset: 13 hex digits of sequence + ref, score = -priority: priority first, then FIFO."""
    scheduled: bytes
    """zset: "s<score>,<member of ready>" delayed, "r..." retrying -> due (ms)."""
    marks: bytes
    """hash: chunk id or detached ref -> "<done> <redeliveries> <finished> <keep ms> <detached>"."""
    jobs: bytes
    """hash: ref of a detached job -> a line for scripts, then its record (JSON, opaque to Lua)."""
    leases: bytes
    """hash: "<session>:<fence>" -> leased entries; "<session>" -> last request and fences."""
    sessions: bytes
    """zset: session -> deadline (ms); 0 while it is being reclaimed."""
    failed: bytes
    """zset: ref of a failed job -> when it failed (ms)."""
    cancelled: bytes
    """zset: ref of a cancelled job -> when it was cancelled (ms)."""
    cancelling: bytes
    """zset: ref of an executing job that is to be cancelled -> when that was asked (ms)."""
    finished: bytes
    """hash: chunk id -> segments of start and run times of its finished jobs."""
    finished_log: bytes
    """zset: "<jobs> <chunk id or ref>" of what ended whole -> when to forget it (ms)."""
    recurring: bytes
    """hash: id of a recurring job -> a line for scripts, then its definition (JSON, opaque to Lua)."""
    recurring_due: bytes
    """zset: id of a recurring job that is not paused -> its next due instant (ms)."""
    stats: bytes
    """hash: exact counters per status, totals, moves, sequence, fence, tick, grace_until."""
    wake: bytes
    """list: capped hints that wake idle workers; never carries a job."""


def queue_keys(namespace: str, queue: str, partition: int = 0) -> QueueKeys:
    """Returns the keys of one partition of a queue."""
    prefix = f"{{fastjobs:{namespace}:{queue}:{partition}}}:"
    names = QueueKeys.__slots__
    return QueueKeys(**{name: (prefix + name).encode() for name in names})


def queues_key(namespace: str) -> bytes:
    """set: the names of all queues that were ever used in the namespace."""
    return f"{{fastjobs:{namespace}}}:queues".encode()


def worker_orders_key(namespace: str) -> bytes:
    """hash: worker id -> "quiet" or "stop", for it to find with its next heartbeat."""
    return f"{{fastjobs:{namespace}}}:worker_orders".encode()


def workers_key(namespace: str) -> bytes:
    """hash: worker id -> what it says about itself (JSON), renewed with its heartbeat."""
    return f"{{fastjobs:{namespace}}}:workers".encode()
