"""The store of one thread: batches of calls, and the look-ups that need more than one."""

from __future__ import annotations

from collections.abc import Iterable

from fastjobs.config import Config
from fastjobs.model.definition import Definition
from fastjobs.model.partitions import partition_name, partition_order, queue_of
from fastjobs.server.cluster import Cluster
from fastjobs.server.connection import Client
from fastjobs.store.calls import ScriptCalls
from fastjobs.store.keys import QueueKeys
from fastjobs.store.keyspace import Keyspace
from fastjobs.store.queries import Queries
from fastjobs.store.scripts import all_scripts


class Batch(ScriptCalls, Queries):
    """Calls of scripts and plain commands that travel together; see `BaseBatch`."""


class Store:
    """All queues of one namespace, over one connection.

    Its methods and calls take partitions of queues, `mail` or `mail#3`: they share nothing.
    Not for use by several threads at once, as its `Client`.

    Args:
        client: the connection, or those to a cluster.
        config: namespace, lease and retention come from here.
        patience_s: how long a passing error is waited out by calls that have no budget of their own.
    """

    def __init__(self, client: Client | Cluster, config: Config, patience_s: float = 0.0) -> None:
        client.scripts = all_scripts
        self.client = client
        self.config = config
        self.patience_s = patience_s
        self._keyspace = Keyspace(config)
        #: Seals what batches store; whoever reads what is stored opens it.
        self.keyring = self._keyspace.keyring

    def batch(self) -> Batch:
        """Returns an empty batch of calls."""
        return Batch(self.client, self._keyspace, self.patience_s)

    def keys(self, partition: str) -> QueueKeys:
        """Returns the keys of a partition."""
        return self._keyspace.keys(partition)

    @property
    def is_cluster(self) -> bool:
        """Whether partitions can be on different servers."""
        return isinstance(self.client, Cluster)

    def definition(self, partition: str, definition_id: str, stored: bytes) -> Definition:
        """Reads the stored definition of a recurring job; errors as for `Definition.decode` and `Keyring`."""
        line, newline, body = stored.partition(b"\n")
        body = self.keyring.open_definition(partition, definition_id, body)
        return Definition.decode(definition_id, line + newline + body)

    def partitions(self, queues: Iterable[str] | None = None) -> dict[str, list[str]]:
        """Asks which partitions queues have: those that were ever used, and those that are configured.

        Args:
            queues: which; None = all that were ever used.

        Returns:
            Queue -> its partitions, both in order.
        """
        used: dict[str, list[str]] = {}
        for name in self.batch().used_partitions().run():
            used.setdefault(queue_of(name), []).append(name)
        wanted = sorted(used) if queues is None else dict.fromkeys(queues)
        return {queue: self.known_partitions(queue, used.get(queue, ())) for queue in wanted}

    def known_partitions(self, queue: str, used: Iterable[str]) -> list[str]:
        """Returns the partitions of one queue: those among the used ones, and those that are configured."""
        configured = {partition_name(queue, number) for number in range(self.config.partitions_of(queue))}
        return sorted(configured.union(name for name in used if queue_of(name) == queue), key=partition_order)
