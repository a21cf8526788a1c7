"""Where the server is: the configured URL, or else the project's embedded server, started when first needed."""

from __future__ import annotations

import threading

from fastjobs import embedded
from fastjobs.config import Config
from fastjobs.connection import Client


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

    def connect(self, timeout_s: float | None = None) -> Client:
        """Returns a new connection, opened at its first use.

        Args:
            timeout_s: seconds until a connect or a reply is given up; None = `socket_timeout_s`.
        """
        # An embedded server that died is started again by whoever needs it next.
        revive = embedded.start if self._config.url is None else None
        return Client(self.url, self._config.socket_timeout_s if timeout_s is None else timeout_s, revive)
