"""Finds the server for each new connection: the one that a URL names, or the current master.

redis-py asks the Sentinels; it also makes the connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastjobs.server.urls import Node, Servers, read_url

if TYPE_CHECKING:
    from redis.connection import AbstractConnection


class Locator(Protocol):
    """Finds one server."""

    #: Whether the server itself must report that it is a master.
    wants_master: bool

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Returns a connection that is not open yet.

        Raises:
            redis.exceptions.RedisError, OSError: the server cannot be found at the moment.
        """


class OneServer:
    """The server that a URL names, or one node of a cluster."""

    wants_master = False

    def __init__(self, servers: Servers, node: Node | None = None) -> None:
        self._servers = servers
        self._node = node

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Returns a connection that is not open yet."""
        return self._servers.connection(timeout_s, self._node)


class AnyNode:
    """The nodes of a cluster that a URL names, one after the other."""

    wants_master = False

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._turn = 0

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Returns a connection that is not open yet, to another node each time."""
        nodes = self._servers.nodes
        self._turn += 1
        return self._servers.connection(timeout_s, nodes[self._turn % len(nodes)])


class Master:
    """The master that Sentinels agree on."""

    wants_master = True

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Asks the Sentinels, and returns a connection that is not open yet.

        Raises:
            redis.exceptions.RedisError: no Sentinel knows a master that is up.
        """
        from redis.exceptions import ConnectionError, RedisError  # noqa: PLC0415 - see the module urls
        from redis.sentinel import Sentinel  # noqa: PLC0415 - see the module urls

        sentinel = Sentinel(self._servers.nodes, sentinel_kwargs=self._servers.sentinel_options(timeout_s))
        try:
            node = sentinel.discover_master(self._servers.service)
        except RedisError as error:
            raise ConnectionError(f"no Sentinel knows a master {self._servers.service!r} that is up") from error
        finally:
            for asked in sentinel.sentinels:
                asked.close()
        return self._servers.connection(timeout_s, node)


def locate(url: str) -> Locator:
    """Returns the locator of a URL; for a cluster it finds any of the nodes.

    Raises:
        ConfigError: the URL is not usable.
    """
    servers = read_url(url)
    if servers.kind == "sentinel":
        return Master(servers)
    return AnyNode(servers) if servers.kind == "cluster" else OneServer(servers)
