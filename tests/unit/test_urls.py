"""URLs: which servers they name, and that TLS is verified."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from fastjobs.config import mask_url
from fastjobs.errors import ConfigError
from fastjobs.server.urls import Servers, read_url


def options(servers: Servers, node: tuple[str, int] | None = None) -> dict[str, Any]:
    connection = servers.connection(1.0, node)
    return {name: getattr(connection, name, None) for name in ("host", "port", "db", "username", "password", "path")}


def test_a_single_server_is_named_as_ever() -> None:
    servers = read_url("redis://user:pa%2Fss@host:7000/3")
    assert servers.kind == "single"
    connection = servers.connection(1.5)
    assert type(connection) is Connection
    assert (connection.host, connection.port, connection.db) == ("host", 7000, 3)
    assert connection.socket_timeout == 1.5
    assert isinstance(read_url("unix:///run/x?db=2").connection(1), UnixDomainSocketConnection)
    assert isinstance(read_url("rediss://host").connection(1), SSLConnection)


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    servers = read_url("valkey+cluster://user:secret@one:1,two,[::1]:3")
    assert servers.kind == "cluster"
    assert servers.nodes == (("one", 1), ("two", 6379), ("::1", 3))
    found = options(servers, ("elsewhere", 9))
    assert (found["host"], found["port"], found["db"]) == ("elsewhere", 9, 0)


def test_sentinels_are_named_with_the_service_and_the_database() -> None:
    servers = read_url("redis+sentinel://user:secret@one:1,two/shop/4?sentinel_password=other")
    assert servers.kind == "sentinel"
    assert servers.nodes == (("one", 1), ("two", 26379))
    assert servers.service == "shop"
    assert options(servers, ("master", 6))["db"] == 4
    assert servers.sentinel_options(1.0)["password"] == "other"
    assert servers.sentinel_options(1.0)["ssl"] is False
    assert read_url("rediss+sentinel://one/shop").sentinel_options(1.0)["ssl"] is True


def test_a_timeout_may_be_in_the_url() -> None:
    assert read_url("redis://host?socket_timeout=2.5").timeout_s == 2.5
    assert read_url("redis://host").timeout_s is None


def test_tls_is_verified_unless_insecure_is_said() -> None:
    verified = read_url("rediss://host?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem").connection(1)
    assert verified.cert_reqs == ssl.CERT_REQUIRED
    assert verified.check_hostname
    assert (verified.ca_certs, verified.certfile, verified.keyfile) == ("/ca.pem", "/c.pem", "/k.pem")
    insecure = read_url("rediss+cluster://host?insecure=true").connection(1, ("host", 1))
    assert insecure.cert_reqs == ssl.CERT_NONE
    assert not insecure.check_hostname


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"])
def test_unverified_tls_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="insecure=true"):
        read_url(f"rediss://host?{option}")
    assert read_url(f"rediss://host?{option}&insecure=yes").kind == "single"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("redis+sentinel://one:1", "does not name the master"),
        ("redis+cluster://one:1/3", "database 0"),
        ("redis+cluster://", "not usable"),
        ("redis+cluster://one:x", "not usable"),
        ("redis+other://one", "not supported"),
        ("unix+cluster://one", "not supported"),
        ("redis://host?colour=red", "option 'colour'"),
        ("redis://host?ssl_ca_certs=/ca.pem", "rediss://"),
        ("redis://host?insecure=true", "rediss://"),
        ("redis://host?socket_timeout=soon", "not usable"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_url(url)


def test_a_password_in_a_file_is_read_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    servers = read_url(f"redis://user@host?password_file={file}")
    assert "first" in str(servers.connection(1).credential_provider or servers.connection(1).password)
    file.write_text("second\n")
    assert servers.connection(1).password == "second"


def test_no_password_is_shown() -> None:
    for url in ("redis+cluster://u:hunter2@a:1,b:2", "redis+sentinel://u:hunter2@a/s?sentinel_password=hunter2"):
        assert "hunter2" not in mask_url(url)
        assert "hunter2" not in repr(read_url(url))
