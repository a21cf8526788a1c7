"""Finds out whether the job that has an id already is the very job that was sent.

The scripts compare bytes. They cannot decide for a chunk that was sealed with another key, nor for a job that left its
chunk: then what is stored is read and compared here.
"""

from __future__ import annotations

import orjson

from fastjobs import errors
from fastjobs._core import Chunk
from fastjobs.model.record import JobRecord
from fastjobs.model.refs import job_ref
from fastjobs.model.stored import packed_chunk, record_body
from fastjobs.producing.sent import Sent
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Stored
from fastjobs.store.sealing import CONTENT_START
from fastjobs.store.store import Store


def is_taken(store: Store, sent: Sent) -> bool:
    """Whether another job has the id of a chunk of one.

    Raises:
        ConnectionLost: the server could not be asked.
    """
    if sent.stored.value is Stored.CONFLICT:
        return not _is_resealed(store, sent)
    return sent.stored.value is Stored.DETACHED and not _is_same_record(store, sent)


def _is_resealed(store: Store, sent: Sent) -> bool:
    """Whether the chunk with this id is the same, but was sealed with another key."""
    if not store.keyring.seals:
        return False
    chunk = sent.chunk
    stored = _ask(store, store.batch().stored_chunk(chunk.partition, chunk.id))
    if stored is None:
        return _is_same_record(store, sent)
    try:
        there = store.keyring.open_chunk(chunk.partition, chunk.id, packed_chunk(stored))
    except errors.ChunkError:
        return False
    return there[CONTENT_START:] == chunk.blob[CONTENT_START:]


def _is_same_record(store: Store, sent: Sent) -> bool:
    """Whether the job with this id left its chunk and is the same."""
    partition, ref = sent.chunk.partition, job_ref(sent.chunk.id, 0)
    stored = _ask(store, store.batch().stored_record(partition, ref))
    if stored is None:
        # It was destroyed or trimmed a moment ago.
        return True
    try:
        record = JobRecord.decode(store.keyring.open_record(partition, ref, record_body(stored)))
    except errors.ChunkError:
        return False
    chunk = Chunk.decode(sent.chunk.blob)
    name, options = chunk.types[0]
    same_options = record.options == (orjson.loads(options) if options else {})
    return record.type == name and record.payload == orjson.loads(chunk.payload(0)) and same_options


def _ask(store: Store, reply: Reply[bytes | None]) -> bytes | None:
    try:
        return reply.run(PRODUCER_RETRIES, store.config.retry_budget_s)
    except errors.StoreError as error:
        raise errors.ConnectionLost(f"the id is taken, it is not known by which job: {error}") from error
