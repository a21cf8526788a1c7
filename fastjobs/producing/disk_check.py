"""Makes sure, before anything is stored, that a server can keep `durability="fsync"`: say what is on its disk."""

from __future__ import annotations

from fastjobs import errors
from fastjobs.server.exchanges.single import PRODUCER_RETRIES
from fastjobs.store.store import Store

#: What servers answer that cannot: older ones, and those without an append-only file.
_CANNOT = ("unknown command", "appendonly is disabled")


class DiskCheck:
    """What one thread knows of the servers that it stores jobs on. Each is asked once per connection.

    Args:
        store: of the thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_wanted = store.config.durability == "fsync"
        #: The partitions whose servers can, over the connections of this generation; "" = the only server.
        self._known: set[str] = set()
        self._generation = -1

    def require(self, partition: str) -> None:
        """Makes sure that the server of a partition can.

        Raises:
            ConfigError: it cannot.
            StoreError: it could not be asked.
        """
        if not self._is_wanted:
            return
        store = self._store
        if self._generation != store.client.generation:
            self._known.clear()
        where = partition if store.is_cluster else ""
        if where not in self._known:
            self._ask(partition)
            self._generation = store.client.generation
            self._known.add(where)

    def _ask(self, partition: str) -> None:
        batch = self._store.batch()
        # On a cluster, a wait goes to the server of the call before it.
        batch.last_sequence(partition)
        batch.wait_for_disk(1)
        try:
            batch.run(PRODUCER_RETRIES, self._store.config.retry_budget_s)
        except errors.StoreError as error:
            if not any(words in str(error) for words in _CANNOT):
                raise
            raise errors.ConfigError(
                "nothing was enqueued: durability='fsync' needs WAITAOF (Redis 7.2 or Valkey) and a server with"
                f" `appendonly yes`; this one says: {error}"
            ) from error
