"""Reads the leases of a partition in steps of a bounded size: what is being executed, and in which lease a job is."""

from __future__ import annotations

from collections.abc import Iterator

from fastjobs.model.refs import JobAddress, Member, parse_lease_name
from fastjobs.model.stored import read_leased
from fastjobs.store.store import Store

#: Leases read in one round trip; each has at most 256 refs.
_STEP = 20

#: The session and the fence that name a lease.
LeaseName = tuple[str, str]


def leases(store: Store, partition: str, first: str = "") -> Iterator[tuple[str, list[Member]]]:
    """Yields the leases of a partition in the order of their names: name, and what is in it.

    Args:
        store: of the calling thread.
        partition: which.
        first: leave out the leases whose names come before this one.
    """
    found = store.batch().lease_names(partition).run()
    names = sorted(name for name in found if name >= first and parse_lease_name(name) is not None)
    for at in range(0, len(names), _STEP):
        batch = store.batch()
        replies = [batch.stored_lease(partition, name) for name in names[at : at + _STEP]]
        batch.run()
        for name, reply in zip(names[at:], replies, strict=False):
            # None: it was settled between the two steps.
            yield name, read_leased(reply.value or b"")


def lease_of(store: Store, partition: str, job: JobAddress) -> LeaseName | None:
    """Returns the lease in which a job is; None when it is in none."""
    for name, members in leases(store, partition):
        for ref in (member.ref for member in members):
            if ref.chunk_id == job.chunk_id and 0 <= job.position - ref.first < ref.count:
                return parse_lease_name(name)
    return None
