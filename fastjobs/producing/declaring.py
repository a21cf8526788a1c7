"""Recurring jobs on their way from the app to the server: declaring needs none, storing takes three round trips."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.config import Config
from fastjobs.errors import ConfigError
from fastjobs.model.definition import Declared, Definition, RecurringPolicy, check_id, check_policy
from fastjobs.model.partitions import queue_of
from fastjobs.model.schedules import Schedule
from fastjobs.producing.call import Call
from fastjobs.store.store import Batch, Store

#: Definitions looked for in one round trip, over all queues.
_LOOKS = 2000


def declare(config: Config, call: Call, schedule: Schedule, definition_id: str, policy: RecurringPolicy) -> Declared:
    """Returns the definition of a recurring job, made without a server.

    Raises:
        ConfigError: a value that cannot be used, or arguments that the handler does not take.
        PayloadError: an argument cannot be stored exactly.
    """
    check_policy(**policy._asdict())
    call.options.check_recurring()
    _check_arguments(call, definition_id)
    definition = Definition(
        id=check_id(definition_id),
        schedule=schedule,
        type=call.job_type.name,
        payload=[*_payload(config, call)],
        options=call.options.chosen,
        priority=call.line.priority,
        **policy._asdict(),
    )
    return Declared(call.line.queue, definition)


def _check_arguments(call: Call, definition_id: str) -> None:
    """Calls the handler's signature, as no run would be there to see a mistake before the first is due."""
    handler = call.job_type.handler
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # Some compiled functions have none.
    context = (None,) if call.job_type.takes_context else ()
    try:
        signature.bind(*context, *call.args, **(call.kwargs or {}))
    except TypeError as error:
        raise ConfigError(
            f"recurring job {definition_id!r} does not fit {call.job_type.name}{signature}: {error}"
        ) from error


def _payload(config: Config, call: Call) -> Sequence[Any]:
    """The arguments as they will be stored."""
    writer = ChunkWriter(config.max_payload_bytes, config.compress_min_bytes)
    writer.add(writer.entry(call.job_type.name), call.args, call.kwargs)
    payload: Sequence[Any] = orjson.loads(Chunk.decode(writer.finish(0)).payload(0))
    return payload


def store_declared(
    store: Store, declared: Sequence[Declared], run: Callable[[Batch], None]
) -> list[Declared | Exception]:
    """Stores definitions, each unless a newer version of it is stored, and moves those that have another queue now.

    Args:
        store: where to.
        declared: the definitions; safe to give again.
        run: sends a batch and waits for its replies.

    Returns:
        What is now stored of each, or why it cannot be: what is stored of it cannot be read here.

    Raises:
        StoreError: the server does not serve; some may be stored.
    """
    batch = store.batch()
    clock, used = batch.time_ms(), batch.used_partitions()
    for queue in {one.queue for one in declared}:
        batch.list_partition(queue)
    run(batch)
    queues = sorted({queue_of(name) for name in used.value} | {one.queue for one in declared})
    page = max(1, _LOOKS // len(queues)) if queues else 1
    return [
        stored
        for first in range(0, len(declared), page)
        for stored in _store_page(store, declared[first : first + page], queues, clock.value, run)
    ]


def _store_page(
    store: Store, declared: Sequence[Declared], queues: Sequence[str], now_ms: int, run: Callable[[Batch], None]
) -> list[Declared | Exception]:
    reading = store.batch()
    found = [
        {name: reading.stored_definition(name, one.definition.id) for name in queues if name != one.queue}
        for one in declared
    ]
    if len(reading):
        run(reading)
    writing = store.batch()
    outcomes: list[Callable[[], Declared] | Exception] = []
    for one, replies in zip(declared, found, strict=True):
        there = {name: reply.value for name, reply in replies.items() if reply.value is not None}
        outcomes.append(_attempt(partial(_add, writing, store, one, there, now_ms)))
    if len(writing):
        run(writing)
    return [_attempt(one) if callable(one) else one for one in outcomes]


def _attempt(call: Callable[[], Any]) -> Any:
    """Calls, and returns an exception that says that a definition cannot be read: the others are not to blame."""
    try:
        return call()
    except Exception as error:
        return error


def _add(
    batch: Batch, store: Store, declared: Declared, there: dict[str, bytes], now_ms: int
) -> Callable[[], Declared]:
    """Adds what stores one definition, of which others may be in other queues; returns what reads the result."""
    queue, definition = declared
    elsewhere = {name: store.definition(name, definition.id, stored) for name, stored in there.items()}
    for name, other in elsewhere.items():
        if other.version > definition.version:
            newer = Declared(name, other)
            return lambda: newer
    due_ms = definition.schedule.first(now_ms)
    for other in elsewhere.values():
        if other.schedule.text == definition.schedule.text:
            due_ms = other.due_ms
    # Not the other way round: should this process die in between, a job that recurs twice until it is defined again is
    # better than one that has stopped.
    defined = batch.define_recurring(queue, definition, due_ms)
    paused = None
    if any(other.paused for other in elsewhere.values()):
        batch.pause_recurring(queue, definition.id)
        paused = batch.stored_definition(queue, definition.id)
    for name in elsewhere:
        batch.cancel_recurring(name, definition.id, definition.version)

    def result() -> Declared:
        stored = (paused and paused.value) or defined.value[1]
        return Declared(queue, store.definition(queue, definition.id, stored))

    return result
