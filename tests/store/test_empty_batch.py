"""A batch without calls, as a process that ends with nothing to report sends one."""

from __future__ import annotations

from fastjobs.config import Config
from fastjobs.server.connection import Client
from fastjobs.store.store import Store
from tests.harness.server import ServerProcess


def test_a_batch_without_calls_takes_no_reply_of_the_next_one(server: ServerProcess, namespace: str) -> None:
    # Well below the timeout of a test: a reply that went astray is missed after this long.
    client = Client(server.url, 2.0)
    store = Store(client, Config(namespace=namespace))
    store.batch().run()
    batch = store.batch()
    replies = [batch.command("PING"), batch.command("ECHO", "it is mine")]
    batch.run()
    assert [reply.value for reply in replies] == [b"PONG", b"it is mine"]
    client.close()
