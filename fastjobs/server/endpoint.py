"""The server of an app: the configured URL, or the project's embedded server, which is started when first needed."""

from __future__ import annotations

import threading
from pathlib import Path

from fastjobs.config import Config
from fastjobs.server.cluster import Cluster, SlotOwner, slot_of
from fastjobs.server.connection import Client
from fastjobs.server.urls import Servers, read_url

#: Longer than a failover takes with the servers' usual settings.
_PATIENCE_S = 20.0


class Endpoint:
    """The server of an app.

    Args:
        config: has the URL, or None for an embedded server.
        directory: of the project, or below it; default: the current directory, as it is now.
    """

    def __init__(self, config: Config, directory: Path | None = None) -> None:
        self._config = config
        #: Where to look for the project: a program that goes to another directory later keeps its server.
        self.directory = directory or Path.cwd()
        # Re-entrant: a signal handler may enqueue while its thread holds it.
        self._lock = threading.RLock()
        self._url = config.url

    def redirect(self, config: Config) -> None:
        """Changes where the server is, for connections that are still to be made."""
        with self._lock:
            self._config, self._url = config, config.url

    @property
    def url(self) -> str:
        """The server's URL.

        Raises:
            ConfigError: no URL is configured, and there is no server program to start.
            StoreError: the embedded server does not start.
        """
        with self._lock:
            if self._url is None:
                self._url = self._start_embedded()
            return self._url

    @property
    def patience_s(self) -> float:
        """Seconds that a look-up waits until another server has taken over; 0 where there is none."""
        return 0.0 if self._servers().kind == "single" else _PATIENCE_S

    def connect(self, timeout_s: float | None = None) -> Client | Cluster:
        """Returns a new connection, or the connections to a cluster; they are opened at their first use.

        Args:
            timeout_s: seconds until a connect or a reply is given up; None = the URL's, or `socket_timeout_s`.
        """
        servers = self._servers()
        if timeout_s is None:
            timeout_s = self._config.socket_timeout_s if servers.timeout_s is None else servers.timeout_s
        if servers.kind == "cluster":
            return Cluster(servers, self.url, timeout_s)
        return self._client(timeout_s)

    def connect_beside(self, known: Client | Cluster, key: bytes, timeout_s: float) -> Client:
        """Returns another connection, to the server of a key.

        Args:
            known: the other connections of the thread: they know where keys are.
            key: the key.
            timeout_s: seconds until a connect or a reply is given up.
        """
        if isinstance(known, Cluster):
            return Client(SlotOwner(known, self._servers(), slot_of(key)), timeout_s)
        return self._client(timeout_s)

    def _client(self, timeout_s: float) -> Client:
        # If an embedded server died, the next connection starts it again.
        return Client(self.url, timeout_s, self._start_embedded if self._config.url is None else None)

    def _servers(self) -> Servers:
        return read_url(self.url)

    def _start_embedded(self) -> str:
        """Starts the project's embedded server unless it runs, and returns its URL."""
        from fastjobs.server import embedded  # noqa: PLC0415 - not needed with a URL

        return embedded.start(embedded.project_directory(self.directory)).url
