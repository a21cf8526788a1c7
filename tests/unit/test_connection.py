"""The connection: what errors mean, which URLs are understood, and that nothing is resent or mixed up."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fastjobs import errors
from fastjobs._core import CommandBuffer, ReplyError, pack_head
from fastjobs.server.connection import Client, server_version
from fastjobs.server.error_replies import classify
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until


def command(*parts: bytes | str | int) -> bytes:
    buffer = CommandBuffer()
    buffer.call(pack_head(*parts))
    return buffer.tobytes()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    client = Client(server.url, 5)
    yield client
    client.close()


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    with Proxy(server.socket) as process:
        yield process


# What errors mean.


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", errors.Unavailable),
        ("BUSY Redis is busy running a script", errors.Unavailable),
        ("MASTERDOWN Link with MASTER is down", errors.Unavailable),
        ("CLUSTERDOWN The cluster is down", errors.Unavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", errors.Unavailable),
        ("NOREPLICAS Not enough good replicas to write.", errors.Unavailable),
        ("ERR max number of clients reached", errors.Unavailable),
        ("READONLY You can't write against a read only replica.", errors.ReadOnly),
        ("ERR WAITAOF cannot be used with replica instances. Please also note ...", errors.ReadOnly),
        ("UNBLOCKED force unblock from blocking operation", errors.ReadOnly),
        ("OOM command not allowed when used memory > 'maxmemory'.", errors.OutOfMemory),
        ("MISCONF Redis is configured to save RDB snapshots", errors.OutOfMemory),
        ("NOAUTH Authentication required.", errors.AccessDenied),
        ("NOPERM this user has no permissions to run the 'get' command", errors.AccessDenied),
        ("ERR ACL failure in script: User x has no permissions to run the 'hscan' command", errors.AccessDenied),
        ("ERR The user executing the script can't run this command or subcommand", errors.AccessDenied),
        ("WRONGPASS invalid username-password pair", errors.AccessDenied),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", errors.WrongKeyType),
        ("ERR unknown command 'WAITAOF'", errors.StoreError),
        ("", errors.StoreError),
        # As servers before Redis 7 report what happened in a script.
        ("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed", errors.OutOfMemory),
        ("ERR Error running script (call to f_1): @user_script:9: @-READONLY You can't write", errors.ReadOnly),
        # As ours report a foreign key.
        ("ERR user_script:5: WRONGTYPE Operation against a key (k) script: 12", errors.WrongKeyType),
    ],
)
def test_error_replies_are_told_apart(message: str, kind: type[errors.StoreError]) -> None:
    error = classify(message)
    assert type(error) is kind
    assert str(error) == message


# URLs.


@pytest.mark.parametrize("url", ["http://host", "memcached://host:11211", "host:6379", "redis", ""])
def test_other_schemes_are_refused_and_the_right_ones_named(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="redis://"):
        Client(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2/x@host:6379/0",
        "redis://:hunter2@host:port/0",
        "redis://:x@host/0?socket_timeout=hunter2",
        "valkeys://:hunter2@host:99999999",
    ],
)
def test_an_unusable_url_is_refused_without_showing_the_password(url: str) -> None:
    try:
        Client(url)
    except errors.ConfigError as error:
        assert "hunter2" not in str(error)
        assert error.__suppress_context__ or error.__context__ is None
    else:
        # Some are only found out when connecting.
        assert url.startswith("valkeys")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_password_is_never_in_errors_or_logs(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(f"{scheme}://user:hunter2@127.0.0.1:1/0", 1)
    with pytest.raises(errors.Unavailable) as caught:
        client.connect()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(client)


def test_wrong_credentials_are_told_and_not_shown(server: ServerProcess) -> None:
    with server.client() as admin:
        admin.acl_setuser("someone", enabled=True, passwords=["+right"], reset=True)
        client = Client(server.url.replace("unix://", "unix://someone:hunter2@"), 5)
        with pytest.raises(errors.AccessDenied) as caught:
            client.connect()
        admin.acl_deluser("someone")
    assert "hunter2" not in str(caught.value)


def test_a_valkey_url_speaks_to_a_server_over_tcp(server: ServerProcess) -> None:
    with Proxy(server.socket, tcp=True) as proxy:
        client = Client(proxy.url.replace("redis://", "valkey://"), 5)
        assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]
        client.close()


def test_a_server_says_what_it_is(server: ServerProcess) -> None:
    name, _, version = server_version(server.url).partition(" ")
    assert name in ("valkey", "redis")
    assert version[0].isdecimal()


# Commands and replies.


def test_replies_are_values_and_errors_are_values_too(client: Client) -> None:
    client.receive(client.send(command("DEL", "k"), 1))
    data = command("SET", "k", "v") + command("INCR", "k") + command("GET", "k") + command("GET", "none")
    done, refused, value, none = client.receive(client.send(data, 4))
    assert (done, value, none) == (b"OK", b"v", None)
    assert isinstance(refused, ReplyError)
    client.receive(client.send(command("DEL", "k"), 1))


def test_replies_reach_whoever_sent_in_any_order(client: Client) -> None:
    first = client.send(command("ECHO", "1") + command("ECHO", "2"), 2)
    second = client.send(command("ECHO", "3"), 1)
    third = client.send(command("ECHO", "4"), 1)
    assert client.receive(third) == [b"4"]
    assert client.receive(first) == [b"1", b"2"]
    assert client.receive(second) == [b"3"]


def test_replies_that_nobody_asks_for_do_not_answer_the_next(client: Client) -> None:
    for number in range(20):
        client.send(command("ECHO", number), 1)
    assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]


def test_connecting_loads_the_scripts(server: ServerProcess) -> None:
    from fastjobs.store.scripts import all_scripts

    with server.client() as admin:
        admin.script_flush()
        client = Client(server.url, 5)
        client.scripts = all_scripts
        client.connect()
        assert all(admin.script_exists(*(script.sha for script in all_scripts())))
        client.close()


def test_a_reply_that_is_no_reply_ends_the_connection(proxy: Proxy) -> None:
    client = Client(proxy.url, 5)
    client.connect()
    proxy.behave(Behaviour.GARBLE, 1)
    sent = client.send(command("PING"), 1)
    with pytest.raises(errors.ConnectionLost, match="protocol"):
        client.receive(sent)
    assert client.fileno() == -1
    assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]
    client.close()


@pytest.mark.parametrize("behaviour", [Behaviour.CUT_AFTER_REQUEST, Behaviour.RESET, Behaviour.HALF_CLOSE])
def test_a_lost_connection_is_told_to_all_who_wait_and_made_again(proxy: Proxy, behaviour: Behaviour) -> None:
    client = Client(proxy.url, 5)
    client.connect()
    proxy.behave(behaviour, 1)
    sent = [client.send(command("PING"), 1)]
    # The first request breaks the connection, maybe before the others are written.
    with suppress(errors.ConnectionLost):
        sent += [client.send(command("PING"), 1) for _ in range(2)]
    for expected in sent:
        with pytest.raises(errors.ConnectionLost):
            client.receive(expected)
    assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]
    client.close()


def test_a_reply_that_does_not_come_in_time_ends_the_connection(proxy: Proxy) -> None:
    client = Client(proxy.url, 0.2)
    client.connect()
    proxy.behave(Behaviour.BLACKHOLE)
    sent = client.send(command("PING"), 1)
    with pytest.raises(errors.ConnectionLost):
        client.receive(sent)
    assert client.fileno() == -1
    client.close()


@contextmanager
def signals(every_s: float, most: int) -> Iterator[None]:
    """Interrupts every system call of this thread, again and again; raises after so many times."""
    times = 0

    def count(number: int, frame: object) -> None:
        nonlocal times
        times += 1
        if times == most:
            raise AssertionError(f"still waiting after {most} signals")

    before = signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_timeout_holds_however_many_signals_come(proxy: Proxy) -> None:
    """Fault B32."""
    client = Client(proxy.url, 0.3)
    client.connect()
    proxy.behave(Behaviour.BLACKHOLE)
    sent = client.send(command("PING"), 1)
    with signals(0.01, most=600), pytest.raises(errors.ConnectionLost, match="no reply in time"):
        client.receive(sent)
    client.close()


def test_a_timeout_of_a_write_holds_however_many_signals_come() -> None:
    """Fault B32."""
    with ServerProcess() as server:
        client = Client(server.url, 0.3)
        client.connect()
        server.freeze()
        with signals(0.01, most=600), pytest.raises(errors.ConnectionLost, match="while sending"):
            client.send(command("ECHO", "x" * 10_000_000), 1)
        server.thaw()
        assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]
        client.close()


def test_what_is_read_and_written_among_signals_arrives_whole(client: Client) -> None:
    """Fault B32."""
    text = "x" * 3_000_000
    with signals(0.001, most=100_000):
        for _ in range(20):
            assert client.receive(client.send(command("ECHO", text), 1)) == [text.encode()]


def test_replies_in_drips_are_put_together(proxy: Proxy) -> None:
    client = Client(proxy.url, 20)
    # Connecting sends more than the proxy takes in while it drips: each would wait for the other.
    client.connect()
    proxy.behave(Behaviour.DRIP)
    assert client.receive(client.send(command("ECHO", "x" * 3000), 1)) == [b"x" * 3000]
    client.close()


def test_nothing_is_sent_twice_behind_our_back(proxy: Proxy) -> None:
    """redis-py's own retries are off: a lost reply is reported, not asked for again."""
    client = Client(proxy.url, 5)
    client.connect()
    client.receive(client.send(command("DEL", "n"), 1))
    proxy.swallow_one_reply()
    requests = proxy.requests
    sent = client.send(command("INCR", "n"), 1)
    with pytest.raises(errors.ConnectionLost):
        client.receive(sent)
    assert proxy.requests == requests + 1
    assert client.receive(client.send(command("GET", "n"), 1)) == [b"1"]
    client.close()


def test_connecting_is_tried_once(server: ServerProcess) -> None:
    with Proxy(server.socket) as proxy:
        proxy.behave(Behaviour.REFUSE)
        client = Client(proxy.url, 2)
        with pytest.raises(errors.StoreError):
            client.connect()
        assert proxy.requests == 0


def test_a_server_that_is_gone_may_be_revived(server: ServerProcess) -> None:
    with Proxy(server.socket) as proxy:
        path = Path(proxy.url.removeprefix("unix://"))
        gone = path.rename(f"{path}-gone")
        client = Client(proxy.url, 2, revive=lambda: gone.rename(path))
        assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]
        client.close()


# Forks.


def test_a_child_makes_its_own_connection_and_leaves_its_parents_alone(client: Client) -> None:
    (parents_id,) = client.receive(client.send(command("CLIENT", "ID"), 1))
    pending = client.send(command("ECHO", "parent"), 1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                client.receive(pending)
            except errors.ConnectionLost:
                os.write(writer, b"%d" % client.receive(client.send(command("CLIENT", "ID"), 1))[0])
                client.close()
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert int(os.read(reader, 100)) != parents_id
    os.close(reader)
    os.close(writer)
    assert client.receive(pending) == [b"parent"]
    assert client.receive(client.send(command("CLIENT", "ID"), 1)) == [parents_id]


def test_a_child_that_closes_does_not_hang_up_for_its_parent(client: Client) -> None:
    client.connect()
    pid = os.fork()
    if pid == 0:
        client.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert client.receive(client.send(command("PING"), 1)) == [b"PONG"]


def test_ready_does_not_wait(client: Client, server: ServerProcess) -> None:
    client.connect()
    sent = client.send(command("BLPOP", "wake-test", 5), 1)
    assert not client.ready(sent)
    other = Client(server.url, 5)
    pusher = threading.Thread(target=lambda: other.receive(other.send(command("RPUSH", "wake-test", "x"), 1)))
    pusher.start()
    wait_until(lambda: client.ready(sent), 5, "the reply is there")
    pusher.join(5)
    assert sent.replies == [[b"wake-test", b"x"]]
    other.close()
