"""Where the server is: the configured URL, or else the project's embedded server, started when first needed."""

from __future__ import annotations

import threading

from fastjobs.config import Config
from fastjobs.server import embedded
from fastjobs.server.cluster import Cluster, SlotOwner, slot_of
from fastjobs.server.connection import Client
from fastjobs.server.urls import Servers, read_url

#: Longer than a failover takes with the servers' usual settings.
_PATIENCE_S = 20.0


class Endpoint:
    """The server of an app.

    Args:
        config: names the URL, or None for an embedded server.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._url = config.url

    @property
    def url(self) -> str:
        """The server's URL.

        Raises:
            ConfigError: no URL is configured, and there is no server program to embed.
            StoreError: the embedded server does not start.
        """
        with self._lock:
            if self._url is None:
                self._url = embedded.start().url
            return self._url

    @property
    def patience_s(self) -> float:
        """How long a look-up waits, in seconds, until other servers have taken over; 0 where there are none."""
        return 0.0 if self._servers().kind == "single" else _PATIENCE_S

    def connect(self, timeout_s: float | None = None) -> Client | Cluster:
        """Returns a new connection, or those to a cluster, opened at their first use.

        Args:
            timeout_s: seconds until a connect or a reply is given up; None = as the URL says, or `socket_timeout_s`.
        """
        servers = self._servers()
        if timeout_s is None:
            timeout_s = self._config.socket_timeout_s if servers.timeout_s is None else servers.timeout_s
        if servers.kind == "cluster":
            return Cluster(servers, self.url, timeout_s)
        # An embedded server that died is started again by whoever needs it next.
        revive = embedded.start if self._config.url is None else None
        return Client(self.url, timeout_s, revive)

    def connect_beside(self, known: Client | Cluster, key: bytes, timeout_s: float) -> Client:
        """Returns a connection of its own to the server of a key.

        Args:
            known: what the thread uses otherwise: it knows where keys are.
            key: which key.
            timeout_s: seconds until a connect or a reply is given up.
        """
        if isinstance(known, Cluster):
            return Client(SlotOwner(known, self._servers(), slot_of(key)), timeout_s)
        return Client(self.url, timeout_s, embedded.start if self._config.url is None else None)

    def _servers(self) -> Servers:
        return read_url(self.url)
