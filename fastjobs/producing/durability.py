"""Waits until stored chunks are as safe as the setting `durability` asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fastjobs import errors
from fastjobs.model.times import now_ms
from fastjobs.producing.sent import PackedChunk, Sent
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.store import Store

#: Chunks kept until they are known to be safe: a server may lose what it has stored.
_MOST_UNSAFE = 32


class Durability:
    """The chunks of one call that are stored, but not known to be as safe as was asked for.

    Args:
        store: over the connection that sends the chunks.
        in_doubt: makes the error for some of them, with a message.
    """

    def __init__(self, store: Store, in_doubt: Callable[[str, Sequence[PackedChunk]], errors.EnqueueUnknown]) -> None:
        self._store = store
        self._config = store.config
        self._in_doubt = in_doubt
        self._unsafe: list[Sent] = []
        #: The connection over which the first of them was sent.
        self._generation = store.client.generation

    @property
    def is_full(self) -> bool:
        """Whether it is time to wait."""
        return len(self._unsafe) > _MOST_UNSAFE

    def begin(self) -> None:
        """Notes the connection over which a chunk was sent while no other one was on its way."""
        if not self._unsafe:
            self._generation = self._store.client.generation

    def add(self, sent: Sent) -> None:
        """Adds a chunk that is stored."""
        if self._config.durability != "fire":
            self._unsafe.append(sent)

    def wait(self) -> None:
        """Waits until all chunks are safe.

        A wait speaks for one connection to one server. If another server has taken over meanwhile, it may not have
        what the one before had stored: then that is sent again, and waited for again.

        Raises:
            EnqueueUnknown: they are stored, but it is not known how safely.
        """
        deadline = time.monotonic() + self._config.retry_budget_s
        while self._unsafe:
            self._wait_for_copies()
            if self._generation == self._store.client.generation:
                self._unsafe.clear()
            else:
                self._generation = self._store.client.generation
                self._send_again(deadline)

    def _wait_for_copies(self) -> None:
        """Waits once for all chunks of a server: a wait covers every write before it."""
        config = self._config
        timeout_ms = max(1, int(config.socket_timeout_s * 900))
        copies = self._copies(timeout_ms)
        if copies < (1 if config.durability == "fsync" else config.replicas):
            on_replicas = f"{config.replicas} replicas, only {copies}"
            where = "the server's disk" if config.durability == "fsync" else on_replicas
            raise self._not_safe(f"stored, but not on {where} within {timeout_ms} ms")

    def _copies(self, timeout_ms: int) -> int:
        """Returns how many copies there are of the chunk that has the fewest."""
        config, batch, reached = self._config, self._store.batch(), []
        partitions = list(dict.fromkeys(sent.chunk.partition for sent in self._unsafe))
        for partition in partitions if self._store.is_cluster else partitions[-1:]:
            # A write of its own, should the connection that stored the chunks have been lost meanwhile.
            batch.note_durable(partition, now_ms())
            on_disk = config.durability == "fsync"
            reached.append(
                batch.wait_for_disk(timeout_ms) if on_disk else batch.wait_for_replicas(config.replicas, timeout_ms)
            )
        try:
            batch.run(PRODUCER_RETRIES, config.retry_budget_s)
        except errors.StoreError as error:
            raise self._not_safe(f"stored, but it is not known how safely: {error}") from error
        return min(reply.value for reply in reached)

    def _send_again(self, deadline: float) -> None:
        try:
            for sent in self._unsafe:
                sent.batch.send()
            for sent in self._unsafe:
                sent.batch.result(PRODUCER_RETRIES, max(0.0, deadline - time.monotonic()))
        except errors.StoreError as error:
            raise self._not_safe(f"a server may have forgotten what it had stored: {error}") from error
        if time.monotonic() > deadline:
            raise self._not_safe("servers take over from each other all the time")

    def _not_safe(self, message: str) -> errors.EnqueueUnknown:
        chunks = [sent.chunk for sent in self._unsafe]
        self._unsafe.clear()
        return self._in_doubt(message, chunks)
