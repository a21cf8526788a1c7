"""Sends one job by itself, by the shortest way that its destination and the setting `durability` allow."""

from __future__ import annotations

from fastjobs import errors
from fastjobs.producing.call import Line
from fastjobs.producing.channel import Channel
from fastjobs.producing.destinations import Destination
from fastjobs.producing.sending import Sending, in_doubt
from fastjobs.producing.sent import PackedChunk
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.replies import Stored


def send_one(channel: Channel, line: Line, destination: Destination, blob: bytes) -> None:
    """Stores a chunk of one and waits for it; arguments and errors as for `Sending`.

    The usual case, a new job for a partition that is known, takes the short way.
    """
    store = channel.store
    chunk = PackedChunk(line, destination, 1, blob, channel.sender.number(destination))
    if destination.partition in channel.listed and store.config.durability == "fire":
        result = _store(channel, chunk)
        if result is Stored.CREATED and not channel.listed.outdated:
            return
        if result.is_new:
            channel.listed.settle(destination.partition, is_first=result is Stored.FIRST)
            return
        if result is Stored.EXISTING:
            channel.sender.note_unused()
            return
    # Sent before or not, it may be sent again.
    sending = Sending(channel)
    sending.send(chunk)
    sending.finish()


def _store(channel: Channel, chunk: PackedChunk) -> Stored:
    """Sends a chunk and returns the server's answer; errors as for `Sending`."""
    store = channel.store
    try:
        return chunk.add_to(store.batch()).run(PRODUCER_RETRIES, store.config.retry_budget_s)
    except BaseException as error:
        channel.sender.begin_anew()
        if isinstance(error, errors.ConnectionLost):
            message = f"the outcome of job {chunk.id} is unknown: {error}"
            raise in_doubt(message, [chunk], (), channel.here) from error
        if isinstance(error, errors.StoreError):
            raise errors.NotEnqueued(f"job {chunk.id} was not stored: {error}") from error
        raise
