"""Chooses where a chunk is stored: in which partition, and under which id."""

from __future__ import annotations

from typing import NamedTuple

from fastjobs._core import new_id
from fastjobs.model.partitions import Partitioner, chunk_id_in, earlier_places, partition_name
from fastjobs.model.refs import job_ref
from fastjobs.producing.call import Line
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.store import Store


class Destination(NamedTuple):
    """Where a chunk is stored."""

    partition: str
    chunk_id: str
    #: Whether a user chose the id.
    is_chosen: bool = False


def new_destination(partitioner: Partitioner, line: Line) -> Destination:
    """Returns a destination for the next chunk of a line."""
    number = partitioner.next(line.queue) if line.partition is None else line.partition
    return Destination(partition_name(line.queue, number), chunk_id_in(new_id(), number))


def destination_of(store: Store, line: Line, job_id: str) -> Destination:
    """Returns the destination of the job with a chosen id: where it is already, otherwise where it belongs.

    Raises:
        StoreError: the server could not be asked.
    """
    count = store.config.partitions_of(line.queue)
    if count == 1:
        return Destination(line.queue, job_id, is_chosen=True)
    # A job that was stored when there were fewer partitions must be found there, not stored twice.
    pinned = [] if line.partition is None else [line.partition]
    names = [partition_name(line.queue, number) for number in pinned + earlier_places(job_id, count)]
    batch = store.batch()
    looks = [(name, batch.has_chunk(name, job_id), batch.has_record(name, job_ref(job_id, 0))) for name in names]
    batch.run(PRODUCER_RETRIES, store.config.retry_budget_s)
    used = (name for name, in_chunk, detached in looks if in_chunk.value or detached.value)
    return Destination(next(used, names[0]), job_id, is_chosen=True)
