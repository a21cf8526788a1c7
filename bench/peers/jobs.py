"""The handlers, and where everything happens: a server at the socket PEERS_SOCKET."""

from __future__ import annotations

import os
import time
from typing import Any

import redis

SOCKET = os.environ.get("PEERS_SOCKET", "")
URL = f"unix://{SOCKET}"


def client() -> Any:
    """Returns a connection for redis-py users."""
    return redis.Redis(unix_socket_path=SOCKET)


def welcome(user_id: int, *, email: str, template: str) -> None:
    """The reference job."""


def mark(name: str) -> None:
    """Notes when it ran."""
    with client() as connection:
        connection.set(f"peers:{name}", time.time())
