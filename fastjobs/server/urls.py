"""Reads server URLs: one server, a master watched by Sentinels, or a cluster; over TCP, TLS or a unix socket.

redis-py takes longer to import than all of fastjobs, so the modules of this folder import it when they first connect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

from fastjobs.errors import ConfigError
from fastjobs.model.urls import split_url, unusable

if TYPE_CHECKING:
    from redis.connection import AbstractConnection
    from redis.retry import Retry

#: A server's host and port.
Node = tuple[str, int]

_DEFAULT_PORTS = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_YES = frozenset({"1", "true", "yes"})


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that a URL names, and how to connect to them.

    Attributes:
        kind: single, sentinel or cluster.
        nodes: the server, some nodes of a cluster, or the Sentinels; none for a unix socket.
        service: the name by which Sentinels know the master; else "".
        sentinel: credentials for the Sentinels.
        password_file: file with the password, read again for each connection; None = the URL has it, or there is none.
        timeout_s: seconds to wait for a connection or a reply; None = the URL does not say.
    """

    kind: str
    nodes: tuple[Node, ...]
    service: str
    sentinel: dict[str, Any] = field(repr=False)
    password_file: Path | None
    timeout_s: float | None
    _class: type[AbstractConnection]
    _options: dict[str, Any] = field(repr=False)

    def connection(self, timeout_s: float, node: Node | None = None) -> AbstractConnection:
        """Returns a connection of redis-py that is not open yet, with its retries off.

        Args:
            timeout_s: seconds until a connect or a reply is given up.
            node: the server; None = the one that the URL names.

        Raises:
            OSError: the password cannot be read.
        """
        options = dict(self._options)
        if self.password_file is not None:
            options["password"] = _password_in(self.password_file)
        if node is not None:
            options |= {"host": node[0], "port": node[1]}
        return self._class(
            **options,
            protocol=2,
            retry=_no_retries(),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
        )

    def sentinel_options(self, timeout_s: float) -> dict[str, Any]:
        """Returns the options with which redis-py's `Sentinel` reaches the Sentinels."""
        from redis.connection import SSLConnection  # noqa: PLC0415 - see the module

        shared = {name: value for name, value in self._options.items() if name.startswith("ssl_")}
        return {
            **self.sentinel,
            **shared,
            "ssl": issubclass(self._class, SSLConnection),
            "protocol": 2,
            "retry": _no_retries(),
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
        }


def _password_in(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        # This error shows what it could not read.
        raise OSError(f"the password in {file} is not UTF-8 text") from None


def read_url(url: str) -> Servers:
    """Reads a server URL.

    Args:
        url: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://h1:p,h2:p/service/db`,
            `redis+cluster://h1:p,h2:p`; `rediss+...` for TLS to these, and `valkey` in place of `redis`.

    Raises:
        ConfigError: it cannot be read, or asks for TLS without verification but not for `insecure=true`.
    """
    from redis.connection import ConnectionPool  # noqa: PLC0415 - see the module

    parts = split_url(url)
    base, kind = _scheme(parts.scheme)
    options = _options(parts.options, tls=base == "rediss")
    path, service = parts.path, ""
    if kind == "sentinel":
        service, _, path = path.strip("/").partition("/")
        if not service:
            raise ConfigError("the server URL does not name the master: redis+sentinel://host:26379/service/database")
    database = _database("" if base == "unix" else path, options.pop("db", ""))
    if kind == "cluster" and database:
        raise ConfigError("a cluster has only database 0")
    nodes = () if base == "unix" else tuple(_node(host, kind) for host in parts.hosts.split(","))
    if kind == "single" and len(nodes) > 1:
        raise ConfigError("the server URL has several hosts; use redis+sentinel:// or redis+cluster://")
    sentinel = {
        name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options
    }
    timeout = options.pop("socket_timeout", None)
    password_file = options.pop("password_file", None)
    given = {"username": parts.username, "password": parts.password}
    options |= {name: value for name, value in given.items() if value}
    try:
        timeout_s = None if timeout is None else float(timeout)
        # redis-py reads the values of the options, and knows which connection a scheme stands for.
        pool = ConnectionPool.from_url(f"{base}://{'/' if base == 'unix' else 'host'}?{urlencode(options)}")
    except ValueError:
        # The library's message may contain a part of the password.
        raise unusable() from None
    known = {name: value for name, value in pool.connection_kwargs.items() if name not in {"retry", "protocol"}}
    known |= {"path": path} if base == "unix" else {"host": nodes[0][0], "port": nodes[0][1]}
    file = None if password_file is None else Path(password_file)
    return Servers(kind, nodes, service, sentinel, file, timeout_s, pool.connection_class, known | {"db": database})


def _no_retries() -> Retry:
    from redis.backoff import NoBackoff  # noqa: PLC0415 - see the module
    from redis.retry import Retry  # noqa: PLC0415 - see the module

    return Retry(NoBackoff(), 0)


def _scheme(scheme: str) -> tuple[str, str]:
    """Returns the scheme that redis-py knows, and the kind of servers."""
    base, plus, kind = scheme.partition("+")
    base = {"valkey": "redis", "valkeys": "rediss"}.get(base, base)
    usable = (
        base in {"redis", "rediss"} and kind in {"sentinel", "cluster"} if plus else base in {"redis", "rediss", "unix"}
    )
    if not usable:
        raise ConfigError(
            f"server URL scheme {scheme!r} is not supported; use redis://, rediss://, valkey://, unix://,"
            " redis+sentinel:// or redis+cluster://"
        )
    return base, kind or "single"


def _database(path: str, option: str) -> int:
    """Returns the number of the database, which a path or an option may name."""
    found = {text for text in (path.strip("/"), option) if text}
    if not all(text.isascii() and text.isdecimal() and len(text) < 10 for text in found) or len(found) > 1:
        # What stands there is not shown: it may be the rest of a password with a slash in it.
        raise ConfigError(
            "the database of the server URL must be one number, as in redis://host:6379/0; apps that share a database"
            " are kept apart by their namespace"
        )
    return int(found.pop()) if found else 0


def _options(given: dict[str, str], *, tls: bool) -> dict[str, str]:
    options = dict(given)
    insecure = options.pop("insecure", "no").lower() in _YES
    if not tls:
        if insecure or any(name.startswith("ssl_") for name in options):
            raise ConfigError("the server URL has options for TLS, so its scheme must be rediss://")
        return options
    unverified = options.get("ssl_cert_reqs", "required").lower() != "required"
    unverified |= options.get("ssl_check_hostname", "true").lower() not in _YES
    if unverified and not insecure:
        raise ConfigError(
            "the server URL asks for TLS without verification: anyone in between could read and change everything;"
            " set ssl_ca_certs=/path/to/ca.pem, or insecure=true"
        )
    if insecure:
        return options | {"ssl_cert_reqs": "none", "ssl_check_hostname": "false"}
    return options | {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}


def _node(text: str, kind: str) -> Node:
    """Parses `host:port`, `host`, `[v6]:port` or `[v6]`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise unusable() from None
    host = unquote(host.removeprefix("[").removesuffix("]"))
    if not host and kind != "single":
        raise unusable() from None
    return host or "localhost", int(port) if port else _DEFAULT_PORTS[kind]
