"""Finds out whether the job that has an id already is the very job that was sent.

The scripts compare bytes. They find a job the same only if it was packed and sealed in the same way, and they cannot
decide for a job that left its chunk: then what is stored is read, and the contents are compared here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from fastjobs.store.store import Store


class _Content(NamedTuple):
    """What makes two jobs the same, as text: for Python, 1, 1.0 and True are equal, for a handler they are not."""

    type: str
    options: bytes
    payload: bytes


def is_taken(store: Store, sent: Sent, budget_s: float) -> bool:
    """Whether another job has the id of a chunk of one.

    Args:
        store: of the calling thread.
        sent: the chunk, and the answer to it.
        budget_s: how long the server is asked for what is stored, in seconds.

    Raises:
        ConnectionLost: the server could not be asked.
    """
    result = sent.stored.value
    if result is Stored.CONFLICT:
        return not _is_same_chunk(store, sent, budget_s)
    return result is Stored.DETACHED and not _is_same_record(store, sent, budget_s)


def _is_same_chunk(store: Store, sent: Sent, budget_s: float) -> bool:
    """Whether the chunk with this id holds the same job, packed or sealed in another way."""
    chunk = sent.chunk
    stored = _ask(store, store.batch().stored_chunk(chunk.partition, chunk.id), budget_s)
    if stored is None:
        return _is_same_record(store, sent, budget_s)
    try:
        there = Chunk.decode(store.keyring.open_chunk(chunk.partition, chunk.id, packed_chunk(stored)))
    except errors.ChunkError:
        return False
    return there.n == 1 and _content_of(there) == _content_of(Chunk.decode(chunk.blob))


def _is_same_record(store: Store, sent: Sent, budget_s: float) -> bool:
    """Whether the job with this id left its chunk and is the same."""
    partition, ref = sent.chunk.partition, job_ref(sent.chunk.id, 0)
    stored = _ask(store, store.batch().stored_record(partition, ref), budget_s)
    if stored is None:
        # It was destroyed or trimmed a moment ago.
        return True
    try:
        record = JobRecord.decode(store.keyring.open_record(partition, ref, record_body(stored)))
    except errors.ChunkError:
        return False
    there = _Content(record.type, _as_text(record.options), _as_text(record.payload))
    return there == _content_of(Chunk.decode(sent.chunk.blob))


def _content_of(chunk: Chunk) -> _Content:
    name, options = chunk.types[0]
    return _Content(name, _as_text(orjson.loads(options or b"{}")), _as_text(orjson.loads(chunk.payload(0))))


def _as_text(value: Any) -> bytes:
    """The JSON of a value, the same for dicts in any order."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _ask(store: Store, reply: Reply[bytes | None], budget_s: float) -> bytes | None:
    try:
        return reply.run(PRODUCER_RETRIES, budget_s)
    except errors.StoreError as error:
        raise errors.ConnectionLost(f"the id is taken, it is not known by which job: {error}") from error
