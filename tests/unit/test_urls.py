"""URLs: which servers they name, and that TLS is verified."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from fastjobs import FastJobs
from fastjobs.errors import ConfigError
from fastjobs.model.urls import mask_url
from fastjobs.server.connection import Client
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


@pytest.mark.parametrize("database", ["shop", "1/2", "-1", "1.5", "²", "0x1", "9" * 5000])
def test_a_database_that_is_no_number_is_refused_and_not_shown(database: str) -> None:
    for url in (f"redis://host/{database}", f"redis://host?db={database}", f"redis+sentinel://host/name/{database}"):
        with pytest.raises(ConfigError, match="must be one number") as caught:
            read_url(url)
        assert database not in str(caught.value).replace("host:6379/0", "")


def test_two_databases_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be one number"):
        read_url("redis://host/1?db=2")
    assert options(read_url("redis://host/1?db=1"))["db"] == 1


def test_several_hosts_need_a_scheme_for_several() -> None:
    with pytest.raises(ConfigError, match=r"redis\+cluster"):
        read_url("redis://one,two")


@pytest.mark.parametrize(
    "password", ["pa[ss", "[", "]", "a[b]c", "[::1]", "a:b", "a@b", "p%41ss", "%5B%2F%3F%23%40", "ö"]
)
def test_a_password_may_have_any_character_that_does_not_end_it(password: str) -> None:
    for url in (f"redis://user:{password}@host:7000/3", f"redis+cluster://user:{password}@[::1]:7000,[::2]:7001"):
        found = options(read_url(url))
        assert (found["username"], found["password"]) == ("user", unquote(password))
        assert options(read_url(url))["port"] == 7000


def test_a_list_of_ipv6_addresses_is_read() -> None:
    nodes = (("::1", 7000), ("fe80::1%eth0", 7001), ("::3", 6379), ("four", 6379))
    assert read_url("redis+cluster://[::1]:7000,[fe80::1%25eth0]:7001,[::3],four").nodes == nodes
    assert options(read_url("redis://user:pass@[::1]:7000/1"))["host"] == "::1"


def test_an_empty_password_is_none() -> None:
    assert options(read_url("redis://user:@host"))["password"] is None


@pytest.mark.parametrize(
    "url", ["unix://", "unix://run/x", "redis://[host", "redis://host]", "redis://::1", "redis://a b"]
)
def test_hosts_and_paths_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not usable"):
        read_url(url)


def test_a_password_file_that_is_no_text_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"hunter2\xff")
    with pytest.raises(OSError, match="is not UTF-8 text") as caught:
        read_url(f"redis://host?password_file={file}").connection(1)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user@host/0", "redis://user@host/0"),
        ("redis://user:hunter2@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("redis://:hun[ter2@host", "redis://:***@host"),
        ("redis://:hun/ter2@host", "redis://***"),
        ("redis://:hun@ter2@host", "redis://:***@host"),
        ("rediss://:hunter2@[::1]:6379/0?ssl_cert_reqs=none", "rediss://:***@[::1]:6379/0?ssl_cert_reqs=none"),
        ("unix:///tmp/s?password=hunter2&db=1", "unix:///tmp/s?password=***&db=1"),
        ("unix:///tmp/s", "unix:///tmp/s"),
        ("redis://u@host?password=hun@ter2", "redis://u@host?password=***"),
        ("redis://host?pass%77ord=hunter2", "redis://host?password=***"),
        (":hunter2@host", "***"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


#: Passwords with characters that end them early, each of whose parts could be taken for something else.
_CUT = [
    f"{first}{mark}{rest}"
    for first in ("1", "hunter2", "")
    for mark in "/?#"
    for rest in ("hunter2", "2", "hunter2&a=1")
]


@pytest.mark.parametrize(
    "password", [*_CUT, "[hunter2", "hunter2]", "[hunter2]", "[::hunter2", "hun@ter2", "hunter2:1"]
)
@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@host",
        "redis://user:{}@host:6379/0",
        "rediss://user:{}@[::1]:6379/0?ssl_ca_certs=/x",
        "redis+sentinel://user:{}@one,two/shop/0",
        "valkey+cluster://user:{}@one:1,[::2]:2",
        "unix://user:{}@/tmp/socket?db=1",
        "redis://host?password={}&colour=red",
        "redis+sentinel://host/shop?sentinel_password={}&db=x",
        "user:{}@host:6379",
    ],
)
def test_no_part_of_a_password_is_ever_shown(url: str, password: str) -> None:
    """Whatever is wrong with it, and whichever part of the URL it was taken for."""
    whole = url.format(password)
    texts = [mask_url(whole)]
    try:
        servers = read_url(whole)
        texts += [repr(servers), repr(Client(whole)), repr(FastJobs(whole).config), repr(FastJobs(whole))]
        connection = servers.connection(0.01, ("127.0.0.1", 1) if servers.kind != "single" else None)
        # The library's own text shows the user and the host.
        texts += [servers.kind, str(servers.nodes), str(getattr(connection, "path", ""))]
    except ConfigError as error:
        texts += [str(error), "".join(traceback.format_exception(error))]
    shown = [text for text in texts for line in text.splitlines() if "hunter" in line and not line.startswith("    ")]
    assert not shown
