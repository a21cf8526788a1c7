"""The masters of a cluster: which one owns which slot, and a connection to each.

The servers decide where slots are and report it (CLUSTER SLOTS, MOVED); this module only keeps the map.
"""

from __future__ import annotations

import time
from binascii import crc_hqx
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastjobs import errors
from fastjobs._core import ReplyError
from fastjobs.server.connection import Client
from fastjobs.server.locators import OneServer, locate
from fastjobs.server.script import Script
from fastjobs.server.urls import Node, Servers

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

_CLUSTER_SLOTS = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"
#: Slots of a cluster.
_SLOTS = 16384
#: Least time between two requests for the map: many calls fail together.
_REFRESH_S = 0.05


def slot_of(key: bytes | str) -> int:
    """Returns the slot of a key: by its CRC, or by that of what is between its first braces."""
    if isinstance(key, str):
        key = key.encode()
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1)
    tagged = begin >= 0 and end > begin + 1
    return crc_hqx(key[begin + 1 : end] if tagged else key, 0) % _SLOTS


class Cluster:
    """Connections to the nodes of a cluster, opened at their first use.

    Not thread-safe, like `Client`.

    Args:
        servers: names some of the nodes.
        url: the URL that names them.
        timeout_s: seconds until a connect or a reply is given up.
    """

    def __init__(self, servers: Servers, url: str, timeout_s: float) -> None:
        self._servers = servers
        self._timeout_s = timeout_s
        #: Asked when no known node answers.
        self._entrance = Client(locate(url), timeout_s)
        #: Returns the scripts that every new connection loads if its node lacks them; the store sets it first.
        self.scripts: Callable[[], Sequence[Script]] = tuple
        self._clients: dict[Node, Client] = {}
        self._owners: dict[int, Node] = {}
        self._asked_at = float("-inf")
        #: How often the map was requested.
        self._asked = 0
        #: Whether the map must be requested again before it is used.
        self.stale = True
        #: Counts the changes of the map.
        self._changes = 0
        #: Whether the map is being read, or that was interrupted.
        self._refreshing = False

    @property
    def generation(self) -> int:
        """Changes with each connection and each owner: data written before may be on another server now."""
        return self._changes + sum(client.generation for client in list(self._clients.values()))

    @property
    def midway(self) -> bool:
        """Whether a step is being made, or was interrupted; see `Client`."""
        return self._refreshing or any(client.midway for client in list(self._clients.values()))

    def owner(self, slot: int) -> Client:
        """Returns the connection to the master of a slot; for a negative slot, to any master.

        Raises:
            Unavailable: no node knows the owner.
        """
        if self.stale:
            self._refresh()
        node = self._owners.get(slot) if slot >= 0 else next(iter(self._owners.values()), None)
        if node is None:
            self.stale = True
            raise errors.Unavailable(f"no node of the cluster owns slot {slot}")
        return self.client(node)

    def owner_of(self, slot: int) -> Node | None:
        """Returns the node that owns a slot, or None if that is unknown."""
        if self.stale:
            self._refresh()
        return self._owners.get(slot)

    def client(self, node: Node) -> Client:
        """Returns the connection to a node."""
        found = self._clients.get(node)
        if found is None:
            found = Client(OneServer(self._servers, node), self._timeout_s)
            found.scripts = self.scripts
            self._clients[node] = found
        return found

    def client_at(self, address: str, sender: Client) -> Client:
        """Returns the connection to the node that a redirection names; without a host it is the node that sent it."""
        return self.client(self._node_at(address, sender))

    def moved(self, slot: int, address: str, sender: Client) -> None:
        """Notes a new owner of a slot."""
        self._own(slot, self._node_at(address, sender))

    def load_scripts(self) -> None:
        """Makes sure that every master knows every script.

        Raises:
            StoreError: a master refuses the scripts, or cannot be reached.
        """
        if self.stale:
            self._refresh()
        for node in set(self._owners.values()):
            self.client(node).load_scripts()

    def close(self) -> None:
        """Closes all connections; the next use opens them again."""
        self._entrance.close()
        for client in self._clients.values():
            client.close()

    def _node_at(self, address: str, sender: Client) -> Node:
        host, _, port = address.rpartition(":")
        if not host:
            host = next((node[0] for node, client in self._clients.items() if client is sender), "")
        return host, int(port)

    def _own(self, slot: int, node: Node) -> None:
        if self._owners.get(slot) != node:
            self._changes += 1
            self._owners[slot] = node

    def _refresh(self) -> None:
        """Requests the map from the known nodes, and then from those that the URL names.

        Raises:
            Unavailable: none of them answers with a map.
        """
        if self._owners and time.monotonic() - self._asked_at < _REFRESH_S:
            return
        self._refreshing = True
        self._asked_at = time.monotonic()
        failure: errors.StoreError = errors.Unavailable("no node of the cluster answers")
        known = deque(client for client in self._clients.values() if client.fileno() >= 0)
        # Each time another node is asked first: a node that is cut off from the others answers with an outdated map.
        known.rotate(self._asked)
        self._asked += 1
        for client in [*known, *[self._entrance] * len(self._servers.nodes)]:
            try:
                self._read_map(client)
                break
            except errors.StoreError as error:
                client.close()
                failure = error
        else:
            self._refreshing = False
            if isinstance(failure, errors.AccessDenied):
                raise failure
            raise errors.Unavailable(f"no node of the cluster reports where its slots are: {failure}") from failure
        self._entrance.close()
        self.stale = False
        self._refreshing = False

    def _read_map(self, client: Client) -> None:
        (reply,) = client.receive(client.send(_CLUSTER_SLOTS, 1))
        if isinstance(reply, ReplyError):
            raise errors.StoreError(reply.message)
        owners: dict[int, Node] = {}
        for first, last, (host, port, *_), *_ in reply:
            node = (_text(host) or client.peer[0], int(port))
            owners |= dict.fromkeys(range(first, last + 1), node)
        for slot in range(_SLOTS):
            if slot in owners:
                self._own(slot, owners[slot])
            elif slot in self._owners:
                self._changes += 1
                self._owners.pop(slot, None)
        in_use = set(owners.values())
        for node in [node for node in self._clients if node not in in_use]:
            # Closed, but not forgotten: whoever waits for its replies must learn that none will come.
            self._clients[node].close()


def _text(host: Any) -> str:
    text = host.decode() if isinstance(host, bytes) else ""
    return "" if text == "?" else text


class SlotOwner:
    """Finds the master of one slot, for a connection besides those of the cluster.

    Args:
        cluster: the cluster, of the same thread.
        servers: the cluster's URL, read.
        slot: the slot.
    """

    wants_master = False

    def __init__(self, cluster: Cluster, servers: Servers, slot: int) -> None:
        self._cluster = cluster
        self._servers = servers
        self._slot = slot

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Returns a connection that is not open yet.

        Raises:
            redis.exceptions.RedisError: the owner of the slot is unknown at the moment.
        """
        from redis.exceptions import ConnectionError  # noqa: PLC0415 - see the module urls

        # The slot may have moved: that may be why a new connection is needed.
        self._cluster.stale = True
        try:
            node = self._cluster.owner_of(self._slot)
        except errors.StoreError as error:
            raise ConnectionError(str(error)) from error
        if node is None:
            raise ConnectionError(f"no node of the cluster owns slot {self._slot}")
        return self._servers.connection(timeout_s, node)
