"""Labs and workers for faults of the server and of connections to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.proxy import Proxy
from tests.harness.server import ServerProcess
from tests.harness.worker import Lab, Worker

#: Shorter than most faults here: what they do must not look like the death of a process.
LEASE_MS = 1500
#: A worker gives a reply up after this long.
TIMEOUT_S = "0.3"


@contextmanager
def made_lab(namespace: str, directory: Path, *server_options: str, lease_ms: int = LEASE_MS) -> Iterator[Lab]:
    with ServerProcess(*server_options) as process:
        lab = Lab(process, namespace, directory, lease_ms)
        try:
            yield lab
        finally:
            lab.close()


@contextmanager
def lined_worker(lab: Lab, *, tcp: bool = False) -> Iterator[tuple[Worker, Proxy]]:
    """A worker behind a proxy, that has run a job."""
    with Proxy(lab.server.socket, tcp=tcp) as proxy:
        environment = {"FASTJOBS_URL": proxy.url, "FASTJOBS_SOCKET_TIMEOUT_S": TIMEOUT_S}
        worker = lab.worker("-p", "2", "-c", "2", env=environment).wait_ready(2)
        lab.jobs.note.enqueue("first")
        lab.wait_ended("first")
        yield worker, proxy
        proxy.heal()
        proxy.delay_replies(0)
        worker.close()


@contextmanager
def repeated(step: Callable[[], object], every_s: float) -> Iterator[None]:
    """Repeats a step in a thread while the block lasts."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(every_s):
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def each_ran_once(lab: Lab, *keys: str | int) -> None:
    counts = lab.ledger.counts("START")
    assert {key: counts[str(key)] for key in keys} == dict.fromkeys(keys, 1)


def kill_connections(lab: Lab) -> None:
    lab.redis.client_kill_filter(_type="normal", skipme=True)
